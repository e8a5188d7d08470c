"""What only a person may do, through `pgp`: the moves that he makes, and the steps that they set in motion; data only."""

from __future__ import annotations

from typing import Final

from PGP_COMMON.manifest import Move, moves

# Some of these edges are a service's as well: a person takes one when the service cannot know what he knows.
MOVES: Final[tuple[Move, ...]] = (
    moves("payment", review="credited rejected reversed", credited="reversed")
    + moves("order", created="invoiced", invoiced="part_paid paid", part_paid="paid", expired="part_paid paid", cancelled="part_paid paid")
    + moves("accumulation", pending="frozen", frozen="pending reversed", converting="pending converted", attached="converted paid")
    + moves("conversion", review="planned done refunded")
    + moves("payout", reserved="released", quoted="released", funded="review", review="reserved funded settled released")
    + moves("swap", planned="abandoned", created="abandoned", funded="hold", hold="finished refunded lost")
    + moves("transfer", requested="cancelled", stuck="broadcast superseded", superseded="broadcast")
)

# After a restore he makes again, by `pgp wallet adopt` and `pgp wallet explain`, the moves of the history that was lost.
RESTORE_MOVES: Final[tuple[Move, ...]] = (
    moves("accumulation", pending="converting", converted="attached")
    + moves("conversion", planned="quoted", quoted="planned swapping", swapping="planned")
    + moves("payout", reserved="quoted", quoted="reserved swap_ready funding", swap_ready="reserved funding", funding="reserved")
    + moves("swap", planned="created", created="funding", funding="abandoned")
    + moves("transfer", requested="signed", signed="stuck", broadcast="stuck")
)

# What a move of his makes necessary is done by the services, from work that commits with it.
SENDS: Final[tuple[str, ...]] = (
    "transfer.sign",
    "transfer.watch",
    "transfer.ended",
    "arrival.look",
    "wallet.reconcile",
    "swap.ended",
    "conversion.quote",
    "conversion.finish",
    "payout.requote",
    "payment.payout_hash",
    "invoice.create",
    "invite.send",
    "notify.send",
)
