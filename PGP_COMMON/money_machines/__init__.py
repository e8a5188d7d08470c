"""The machines that several services move: every life cycle of the money path, in one list."""

from __future__ import annotations

import enum

from PGP_COMMON.money_machines.access import INVITE_LIFE
from PGP_COMMON.money_machines.accumulations import ACCUMULATION_LIFE
from PGP_COMMON.money_machines.conversions import CONVERSION_LIFE
from PGP_COMMON.money_machines.orders import ORDER_LIFE
from PGP_COMMON.money_machines.payments import PAYMENT_LIFE
from PGP_COMMON.money_machines.payouts import PAYOUT_LIFE
from PGP_COMMON.money_machines.swaps import SWAP_LIFE
from PGP_COMMON.money_machines.transfers import TRANSFER_LIFE
from PGP_COMMON.states import Machine

MACHINES: tuple[Machine[enum.StrEnum], ...] = (
    ORDER_LIFE,  # type: ignore[assignment]
    PAYMENT_LIFE,
    INVITE_LIFE,
    ACCUMULATION_LIFE,
    CONVERSION_LIFE,
    PAYOUT_LIFE,
    SWAP_LIFE,
    TRANSFER_LIFE,
)
