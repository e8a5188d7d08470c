"""What each payment earned its owner: states and SQL of payout_accumulation."""

from __future__ import annotations

import enum

from PGP_COMMON.states import Machine


class Accumulation(enum.StrEnum):
    """Who acts next stands beside each state."""

    PENDING = "pending"  # earned, not converted: MICROBATCH acts
    CONVERTING = "converting"  # part of a conversion: MICROBATCH acts
    CONVERTED = "converted"  # is USDT now: BATCH acts
    ATTACHED = "attached"  # part of a payout: HOSTPAY1 acts
    PAID = "paid"  # the owner has it: the end
    FROZEN = "frozen"  # its payment was taken back: an operator acts
    REVERSED = "reversed"  # given back: the end


ACCUMULATION_LIFE = Machine(
    "accumulation",
    Accumulation,
    Accumulation.PENDING,
    {
        Accumulation.PENDING: {Accumulation.CONVERTING, Accumulation.FROZEN},
        Accumulation.CONVERTING: {Accumulation.PENDING, Accumulation.CONVERTED},
        Accumulation.CONVERTED: {Accumulation.ATTACHED},
        Accumulation.ATTACHED: {Accumulation.CONVERTED, Accumulation.PAID},
        Accumulation.PAID: set(),
        Accumulation.FROZEN: {Accumulation.PENDING, Accumulation.REVERSED},
        Accumulation.REVERSED: set(),
    },
)
