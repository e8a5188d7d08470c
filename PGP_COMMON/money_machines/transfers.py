"""What our wallet sends: states and SQL of transfer and transfer_attempt."""

from __future__ import annotations

import enum

from PGP_COMMON.states import Machine


class Transfer(enum.StrEnum):
    """Who acts next stands beside each state."""

    REQUESTED = "requested"  # wanted, no nonce yet: HOSTPAY3 acts
    SIGNED = "signed"  # its nonce and bytes are kept for ever: HOSTPAY3 acts
    BROADCAST = "broadcast"  # in a pool: the chain acts
    MINED = "mined"  # in a block: the chain acts
    FINAL = "final"  # in a finalized block: the end
    FAILED_ONCHAIN = "failed_onchain"  # mined, but it failed: the end
    CANCELLED = "cancelled"  # given up before it was signed: the end
    STUCK = "stuck"  # its nonce was used by something else: an operator acts
    SUPERSEDED = "superseded"  # a self-transfer took its nonce: the end


TRANSFER_LIFE = Machine(
    "transfer",
    Transfer,
    Transfer.REQUESTED,
    {
        Transfer.REQUESTED: {Transfer.SIGNED, Transfer.CANCELLED},
        Transfer.SIGNED: {Transfer.BROADCAST, Transfer.STUCK},
        Transfer.BROADCAST: {Transfer.MINED, Transfer.STUCK},
        Transfer.MINED: {Transfer.FINAL, Transfer.FAILED_ONCHAIN, Transfer.BROADCAST},
        Transfer.FINAL: set(),
        Transfer.FAILED_ONCHAIN: set(),
        Transfer.CANCELLED: set(),
        Transfer.STUCK: {Transfer.BROADCAST, Transfer.SUPERSEDED},
        Transfer.SUPERSEDED: set(),
    },
)
