"""The split3 service: its one step, with the exchange."""

from __future__ import annotations

from PGP_COMMON import market
from PGP_COMMON.engine import Flow
from PGP_COMMON.runtime import Runtime
from PGP_SPLIT_v1.split3_exchanger import steps

STEPS: dict[str, Flow] = {"swap.create": {"start": steps.order, "confirm": steps.confirm_order}}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The exchange, as the settings say."""
    return steps.Clients(market.exchange(runtime.config))
