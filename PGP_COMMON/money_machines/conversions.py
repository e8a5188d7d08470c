"""Many accumulations exchanged at once, ETH to USDT: states and SQL of batch_conversions."""

from __future__ import annotations

import enum

from PGP_COMMON.states import Machine


class Conversion(enum.StrEnum):
    """Who acts next stands beside each state."""

    PLANNED = "planned"  # its accumulations are collected: MICROBATCH acts
    QUOTED = "quoted"  # the exchange has named its price: MICROBATCH acts
    SWAPPING = "swapping"  # a swap carries it: HOSTPAY acts
    DONE = "done"  # the USDT is shared out: the end
    REFUNDED = "refunded"  # the ETH came back: the end
    REVIEW = "review"  # something does not fit: an operator acts
    CANCELLED = "cancelled"  # given up before a price: the end


CONVERSION_LIFE = Machine(
    "conversion",
    Conversion,
    Conversion.PLANNED,
    {
        Conversion.PLANNED: {Conversion.QUOTED, Conversion.CANCELLED},
        Conversion.QUOTED: {Conversion.PLANNED, Conversion.SWAPPING},
        Conversion.SWAPPING: {Conversion.PLANNED, Conversion.DONE, Conversion.REFUNDED, Conversion.REVIEW},
        Conversion.DONE: set(),
        Conversion.REFUNDED: set(),
        Conversion.REVIEW: {Conversion.PLANNED, Conversion.DONE, Conversion.REFUNDED},
        Conversion.CANCELLED: set(),
    },
)
