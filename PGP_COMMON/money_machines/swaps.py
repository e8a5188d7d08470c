"""Exchanges at ChangeNOW: states and SQL of swap."""

from __future__ import annotations

import enum

from PGP_COMMON.states import Machine


class Swap(enum.StrEnum):
    """Who acts next stands beside each state."""

    PLANNED = "planned"  # wanted, nothing asked: we act
    CREATED = "created"  # the exchange has it, nobody paid: we act
    FUNDING = "funding"  # one transfer may be signed for it: we act
    FUNDED = "funded"  # our coins are with the exchange: the exchange acts
    HOLD = "hold"  # the exchange keeps it, says not why: an operator acts
    FINISHED = "finished"  # paid out: the end
    REFUNDED = "refunded"  # came back: the end
    LOST = "lost"  # given up by an operator: the end
    ABANDONED = "abandoned"  # never funded: the end


SWAP_LIFE = Machine(
    "swap",
    Swap,
    Swap.PLANNED,
    {
        Swap.PLANNED: {Swap.CREATED, Swap.ABANDONED},
        Swap.CREATED: {Swap.FUNDING, Swap.ABANDONED},
        Swap.FUNDING: {Swap.FUNDED, Swap.HOLD, Swap.ABANDONED},
        Swap.FUNDED: {Swap.FINISHED, Swap.REFUNDED, Swap.HOLD},
        Swap.HOLD: {Swap.FUNDED, Swap.FINISHED, Swap.REFUNDED, Swap.LOST},
        Swap.FINISHED: set(),
        Swap.REFUNDED: set(),
        Swap.LOST: set(),
        Swap.ABANDONED: set(),
    },
)
