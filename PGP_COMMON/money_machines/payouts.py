"""One owner's converted money on its way to him: states and SQL of split_payout_que."""

from __future__ import annotations

import enum

from PGP_COMMON.states import Machine


class Payout(enum.StrEnum):
    """Who acts next stands beside each state."""

    RESERVED = "reserved"  # the owner's USDT is set aside: SPLIT1 acts
    QUOTED = "quoted"  # a price is agreed: SPLIT1 acts
    SWAP_READY = "swap_ready"  # the exchange waits for our USDT: HOSTPAY1 acts
    FUNDING = "funding"  # one transfer may be signed for it: HOSTPAY3 acts
    FUNDED = "funded"  # our USDT is with the exchange: the exchange acts
    SETTLED = "settled"  # the owner has his coin: the end
    REFUNDING = "refunding"  # the exchange sends it back: the exchange acts
    RELEASED = "released"  # back on the owner's balance: the end
    REVIEW = "review"  # something does not fit: an operator acts


PAYOUT_LIFE = Machine(
    "payout",
    Payout,
    Payout.RESERVED,
    {
        Payout.RESERVED: {Payout.QUOTED, Payout.RELEASED},
        Payout.QUOTED: {Payout.RESERVED, Payout.SWAP_READY, Payout.FUNDING, Payout.RELEASED},
        Payout.SWAP_READY: {Payout.RESERVED, Payout.FUNDING},
        Payout.FUNDING: {Payout.FUNDED, Payout.SETTLED, Payout.RESERVED, Payout.REVIEW},
        Payout.FUNDED: {Payout.SETTLED, Payout.REFUNDING, Payout.REVIEW},
        Payout.SETTLED: set(),
        Payout.REFUNDING: {Payout.RELEASED, Payout.REVIEW},
        Payout.RELEASED: set(),
        Payout.REVIEW: {Payout.RESERVED, Payout.FUNDED, Payout.SETTLED, Payout.RELEASED},
    },
)
