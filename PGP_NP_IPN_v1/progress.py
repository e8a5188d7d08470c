"""What the payment page says of an order: one word, and a link where there is something to do."""

from __future__ import annotations

import enum
from typing import Final

from PGP_COMMON.money_machines.orders import Order
from PGP_NP_IPN_v1.store import Standing

# The vendor's ranks (money.md 4.2): 2 is "confirming", seen on the chain; from 3 on the chain has confirmed it and the vendor works on it.
SEEN: Final = 2


class Progress(enum.StrEnum):
    """Where a payment is, as a buyer understands it."""

    WAITING = "waiting"
    SEEN = "seen"
    CONFIRMING = "confirming"
    PAID = "paid"
    PART_PAID = "part_paid"
    EXPIRED = "expired"


def progress_of(standing: Standing) -> Progress:
    """The word for an order: money on its way counts more than what the order waits for."""
    if standing.order_state == Order.PAID:
        return Progress.PAID
    if standing.rank >= SEEN:
        return Progress.SEEN if standing.rank == SEEN else Progress.CONFIRMING
    if standing.order_state == Order.PART_PAID:
        return Progress.PART_PAID
    if standing.order_state in {Order.EXPIRED, Order.CANCELLED}:
        return Progress.EXPIRED
    return Progress.WAITING


def link_of(standing: Standing) -> str | None:
    """Where the buyer goes on: to the payment of the rest, or into the channel when the bot could not write to him."""
    progress = progress_of(standing)
    if progress is Progress.PART_PAID:
        return standing.rest_url
    return standing.invite_link if progress is Progress.PAID else None
