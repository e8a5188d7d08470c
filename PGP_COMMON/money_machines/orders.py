"""Orders with their invoices: states and SQL. The payments made for them are in payments.py."""

from __future__ import annotations

import enum
import re
import secrets
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.log import correlation, new_correlation
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine

if TYPE_CHECKING:
    from PGP_COMMON.money_machines.owners import Channel


class Order(enum.StrEnum):
    """Who acts next stands beside each state."""

    CREATED = "created"  # written down, no invoice yet: we act
    INVOICED = "invoiced"  # the buyer has a link: the buyer acts
    PART_PAID = "part_paid"  # some of the price came: the buyer acts
    PAID = "paid"  # the price is met: the end
    EXPIRED = "expired"  # nobody paid in time: a late payment still counts
    CANCELLED = "cancelled"  # given up: a late payment still counts


ORDER_LIFE = Machine(
    "order",
    Order,
    Order.CREATED,
    {
        Order.CREATED: {Order.INVOICED, Order.CANCELLED, Order.EXPIRED},
        Order.INVOICED: {Order.PART_PAID, Order.PAID, Order.EXPIRED, Order.CANCELLED},
        Order.PART_PAID: {Order.PAID, Order.EXPIRED},
        Order.PAID: set(),
        Order.EXPIRED: {Order.PART_PAID, Order.PAID},
        Order.CANCELLED: {Order.PART_PAID, Order.PAID},
    },
)


# --- the order's names

# Crockford's base 32: no letter that is read as another one.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SENT: Final = re.compile(r"PGP-[0-9]{1,16}\|-[0-9]{1,16}\|([0-9A-Z]{26})", re.ASCII)
VIEW_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22,64}", re.ASCII)


def new_unique_id() -> str:
    """A fresh order's name, 26 characters: 48 bits of the time, so that names sort by age, and 80 random ones."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -5, -5))


def sent_id(*, buyer_id: int, open_channel_id: int, unique_id: str) -> str:
    """The order's id as the vendor is told (product.md 7.2). Nothing is ever read out of it but the last part."""
    return f"PGP-{buyer_id}|{open_channel_id}|{unique_id}"


def unique_id_of(order_id: str | None) -> str | None:
    """The order's name in an id that the vendor says, or None if it is none of ours; compare the whole id with `Sold.sent_id` then."""
    found = _SENT.fullmatch(order_id or "")
    return found.group(1) if found else None


# --- making an order and its invoice


def create(
    tx: Transaction,
    *,
    channel: Channel,
    buyer_id: int,
    buyer_name: str,
    price_usd: Decimal,
    fee_percent: Decimal,
    lifetime_s: int,
    tier_id: int | None = None,
    days: int | None = None,
) -> int:
    """Write an order down with everything it is made under (price, days, fee, tolerance), and its first invoice, whose id is given back.

    Without a tier it is a donation.
    """
    return int(
        tx.value(
            """
            WITH made AS (
                INSERT INTO orders (unique_id, view_token, kind, owner_id, channel_id, tier_id, buyer_id, buyer_name, price_usd, days, fee_percent,
                                    tolerance_bps, correlation, expires_at)
                VALUES (:unique_id, :view_token, :kind, :owner_id, :channel_id, :tier_id, :buyer_id, :buyer_name, :price_usd, :days, :fee_percent,
                        :tolerance_bps, :correlation, pgp_now() + make_interval(secs => :lifetime))
                RETURNING id, price_usd)
            INSERT INTO invoice (order_id, price_usd) SELECT id, price_usd FROM made RETURNING id
            """,
            unique_id=new_unique_id(),
            view_token=secrets.token_urlsafe(16),
            kind="donation" if tier_id is None else "subscription",
            owner_id=channel.owner_id,
            channel_id=channel.id,
            tier_id=tier_id,
            buyer_id=buyer_id,
            buyer_name=buyer_name,
            price_usd=price_usd,
            days=days,
            fee_percent=fee_percent,
            tolerance_bps=channel.tolerance_bps,
            correlation=correlation.get() or new_correlation(),
            lifetime=lifetime_s,
        )
    )


@dataclass(frozen=True)
class InvoiceRow(Row):
    """An invoice with what its order says: what the vendor is asked for, and what the buyer is told. `url` is set once it is made."""

    id: int
    order_id: int
    price_usd: Decimal
    url: str | None
    unique_id: str
    view_token: str
    days: int | None
    buyer_id: int
    open_channel_id: int
    closed_title: str
    order_state: str

    @property
    def sent_id(self) -> str:
        """The order's id as the vendor is told."""
        return sent_id(buyer_id=self.buyer_id, open_channel_id=self.open_channel_id, unique_id=self.unique_id)


def invoice(tx: Transaction, invoice_id: int) -> InvoiceRow | None:
    """An invoice with its order."""
    return tx.one(
        InvoiceRow,
        """
        SELECT i.id, i.order_id, i.price_usd, i.url, o.unique_id, o.view_token, o.days, o.buyer_id, c.open_channel_id, c.closed_title, o.state AS order_state
          FROM invoice i JOIN orders o ON o.id = i.order_id JOIN channel c ON c.id = o.channel_id
         WHERE i.id = :id
        """,
        id=invoice_id,
    )


def add_invoice(tx: Transaction, order_id: int, *, price_usd: Decimal) -> int:
    """Write down another invoice of an order (its rest, or its twin after a lost answer); the vendor is asked for it as work."""
    return int(tx.value("INSERT INTO invoice (order_id, price_usd) VALUES (:order_id, :price) RETURNING id", order_id=order_id, price=price_usd))


def attach_invoice(tx: Transaction, invoice_id: int, *, provider_id: str, url: str) -> bool:
    """Keep what the vendor made of an invoice, and move a created order on to `invoiced`; False when it had been made before.

    The order is locked first: whoever settles a payment holds it when the payment's row comes to name its invoice.
    """
    order_id = tx.value("SELECT o.id FROM orders o JOIN invoice i ON i.order_id = o.id WHERE i.id = :id FOR NO KEY UPDATE OF o", id=invoice_id)
    kept = tx.run(
        "UPDATE invoice SET provider_id = :provider_id, url = :url WHERE id = :id AND provider_id IS NULL",
        id=invoice_id,
        provider_id=provider_id,
        url=url,
    )
    if not kept:
        return False
    mark_invoiced(tx, order_id)
    return True


def mark_invoiced(tx: Transaction, order_id: int) -> bool:
    """`created` → `invoiced`: the buyer can pay; False when the order is further."""
    return tx.run("UPDATE orders SET state = 'invoiced' WHERE id = :id AND state = 'created'", id=order_id) == 1


def expire_due(tx: Transaction, *, limit: int = 500) -> int:
    """Let orders expire whose time is over; gives back how many. A payment that comes later still counts."""
    return tx.run(
        """
        UPDATE orders SET state = 'expired'
         WHERE id IN (SELECT id FROM orders WHERE state IN ('created', 'invoiced', 'part_paid') AND expires_at <= pgp_now()
                       ORDER BY expires_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
        """,
        limit=limit,
    )


def cancel(tx: Transaction, order_id: int) -> bool:
    """Give an unpaid order up; False when it is not one (any more)."""
    return (
        tx.run("UPDATE orders SET state = 'cancelled' WHERE id = :id AND state = ANY(:sources)", id=order_id, sources=ORDER_LIFE.sources(Order.CANCELLED)) == 1
    )


# --- settling an order


@dataclass(frozen=True)
class Sold(Row):
    """A locked order with what a payment for it is measured against. The invoice is the one that the payment names, or None."""

    id: int
    unique_id: str
    kind: str
    owner_id: int
    channel_id: int
    buyer_id: int
    price_usd: Decimal
    days: int | None
    fee_percent: Decimal
    tolerance_bps: int
    paid_usd: Decimal
    state: str
    correlation: str
    open_channel_id: int
    access_mode: str
    notify_chat_id: int | None
    invoice_id: int | None
    invoice_usd: Decimal | None

    @property
    def sent_id(self) -> str:
        """The order's id as the vendor was told."""
        return sent_id(buyer_id=self.buyer_id, open_channel_id=self.open_channel_id, unique_id=self.unique_id)

    @property
    def is_open(self) -> bool:
        """Whether it still needs money; late money counts too."""
        return self.state != Order.PAID

    def is_met_by(self, paid_usd: Decimal) -> bool:
        """Whether so much (USD) meets the price, within the owner's tolerance."""
        return paid_usd >= self.price_usd * (10_000 - self.tolerance_bps) / 10_000


def lock(tx: Transaction, unique_id: str, *, provider_invoice_id: str | None, price_usd: Decimal) -> Sold | None:
    """Lock an order and find the invoice that a payment is for.

    A repeated deposit names no invoice (contracts: 1.7 E), and an invoice may be one whose answer was lost, so that its id is not known:
    both are measured against the order's first invoice with the payment's price.
    """
    return tx.one(
        Sold,
        """
        SELECT o.id, o.unique_id, o.kind, o.owner_id, o.channel_id, o.buyer_id, o.price_usd, o.days, o.fee_percent, o.tolerance_bps, o.paid_usd, o.state,
               o.correlation, c.open_channel_id, c.access_mode, w.notify_chat_id, i.id AS invoice_id, i.price_usd AS invoice_usd
          FROM orders o
          JOIN channel c ON c.id = o.channel_id
          JOIN client_table w ON w.id = o.owner_id
          LEFT JOIN LATERAL (
               SELECT id, price_usd FROM invoice
                WHERE order_id = o.id
                  AND (provider_id = CAST(:invoice AS text) OR (CAST(:invoice AS text) IS NULL OR provider_id IS NULL) AND price_usd = CAST(:price AS numeric))
                ORDER BY provider_id = CAST(:invoice AS text) DESC NULLS LAST, id LIMIT 1) i ON true
         WHERE o.unique_id = :unique_id
           FOR NO KEY UPDATE OF o
        """,
        unique_id=unique_id,
        invoice=provider_invoice_id,
        price=price_usd,
    )


def record_paid(tx: Transaction, order_id: int, *, source: str, state: str, paid_usd: Decimal) -> bool:
    """Write down what has been paid for a locked order, and the state that follows."""
    return (
        tx.run(
            "UPDATE orders SET paid_usd = :paid, state = :state WHERE id = :id AND state = :source",
            id=order_id,
            paid=paid_usd,
            state=state,
            source=source,
        )
        == 1
    )
