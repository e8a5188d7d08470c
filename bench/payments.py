"""The main road: from the vendor's notice to the invite sent, the owner told and his part written down."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench import client
from deploy.local.demo import acts, people
from deploy.local.demo.people import Owner
from deploy.local.demo.world import World
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.money_machines.rows import Row

TICK_S: Final = 0.1
# A fleet that does less than two payments a second is not measured but broken.
PATIENCE_S: Final = 300.0
JSON: Final = {"Content-Type": "application/json"}
# One notice a payment, the vendor's last. `payout`: nothing moves on the chain, which is another road.
PAY: Final = {"pay_currency": "eth", "statuses": ["finished"], "payout": False}


class StuckError(RuntimeError):
    """What was waited for did not come."""


@dataclass(frozen=True)
class Shop:
    """A fresh owner with a channel, whose orders are ours alone."""

    owner: Owner

    @property
    def channel_id(self) -> int:
        """The channel's id in our books."""
        return self.owner.channel_id


def open_shop(world: World) -> Shop:
    """Let a new owner register and connect a channel, as in the demonstration."""
    owner = people.owners()[-1]
    acts.found_channel(world, owner)
    return Shop(owner)


@dataclass(frozen=True)
class Progress(Row):
    """How far a channel's orders are."""

    orders: int
    offered: int
    quiet: bool
    invited: int
    told: int
    accrued: int


def progress(db: BaseDatabaseManager, shop: Shop) -> Progress:
    """Count what has come of a shop's orders. `quiet`: the bot has nothing left to say."""
    with db.reading() as tx:
        found = tx.one(
            Progress,
            """
            SELECT count(*) AS orders, count(i.url) AS offered,
                   NOT EXISTS (SELECT 1 FROM work WHERE step IN ('bot.say', 'invoice.create') AND state = 'open') AS quiet,
                   count(v.id) FILTER (WHERE v.state = 'sent') AS invited, count(n.id) FILTER (WHERE n.state = 'sent') AS told, count(a.id) AS accrued
              FROM orders o
              JOIN invoice i ON i.order_id = o.id
              LEFT JOIN processed_payments p ON p.order_id = o.id
              LEFT JOIN payout_accumulation a ON a.payment_id = p.id
              LEFT JOIN notification n ON n.subject = p.id AND n.kind = 'sale'
              LEFT JOIN entitlement e ON e.order_id = o.id
              LEFT JOIN invite v ON v.entitlement_id = e.id
             WHERE o.channel_id = :channel
            """,
            channel=shop.channel_id,
        )
    if found is None:
        raise StuckError("nothing can be counted")
    return found


def until(what: str, done: Callable[[], bool]) -> None:
    """Look until it is so. Raises StuckError."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise StuckError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(TICK_S)


@dataclass(frozen=True)
class Ordered:
    """Orders with payment links, and how many of them a second the bot made."""

    invoices: list[str]
    per_second: float


def order(world: World, db: BaseDatabaseManager, shop: Shop, count: int) -> Ordered:
    """Let so many new buyers open the channel's link in the bot, and wait until each has his payment link."""
    start = shop.owner.links["subscribe"][str(shop.owner.tier_id)].partition("start=")[2]
    url = f"{world.simulators['telegram']}/_control/updates"
    said = [json.dumps({"user": {"id": 10**9 + secrets.randbelow(10**9), "first_name": "Reader"}, "text": f"/start {start}"}).encode() for _ in range(count)]
    before, begun = progress(db, shop).offered, time.perf_counter()
    client.burst(url, [client.post(url, body, JSON) for body in said], connections=8)
    until("payment links", lambda: (now := progress(db, shop)).offered >= before + count and now.quiet)
    return Ordered(_invoices(db, shop), count / (time.perf_counter() - begun))


@dataclass(frozen=True)
class Invoice(Row):
    """An invoice that nobody has paid."""

    provider_id: str


def _invoices(db: BaseDatabaseManager, shop: Shop) -> list[str]:
    with db.reading() as tx:
        rows = tx.all(
            Invoice,
            """
            SELECT i.provider_id FROM invoice i JOIN orders o ON o.id = i.order_id
             WHERE o.channel_id = :channel AND o.state = 'invoiced' AND i.provider_id IS NOT NULL ORDER BY i.id
            """,
            channel=shop.channel_id,
        )
    return [row.provider_id for row in rows]


@dataclass(frozen=True)
class Done(Row):
    """One payment: when its notice was kept, and seconds from then until it was credited, the invite sent, the owner told."""

    kept_at: Any
    credited_s: float
    invited_s: float
    told_s: float


def pay(world: World, db: BaseDatabaseManager, shop: Shop, invoices: Sequence[str], *, per_second: float = 0.0) -> list[Done]:
    """Pay invoices, so many a second (0: as fast as eight payers can), and wait until everything has followed from all of them."""
    base = f"{world.simulators['nowpayments']}/_control/invoices"
    body = json.dumps(PAY).encode()
    before = progress(db, shop)
    requests = [client.post(f"{base}/{invoice}/pay", body, JSON) for invoice in invoices]
    if per_second:
        client.steadily(base, requests, per_second=per_second)
    else:
        client.burst(base, requests, connections=8)
    wanted = len(invoices)
    until("invites, notices and accumulations", lambda: all_there(progress(db, shop), before, wanted))
    return settled(db, shop)[-wanted:]


def all_there(now: Progress, before: Progress, wanted: int) -> bool:
    """Whether everything has followed from so many more payments."""
    return min(now.invited - before.invited, now.told - before.told, now.accrued - before.accrued) >= wanted


def settled(db: BaseDatabaseManager, shop: Shop) -> list[Done]:
    """Every payment of a shop with its delays, in the order in which the notices were kept."""
    with db.reading() as tx:
        return tx.all(
            Done,
            """
            SELECT b.first_seen AS kept_at, CAST(extract(epoch FROM p.credited_at - b.first_seen) AS float8) AS credited_s,
                   CAST(extract(epoch FROM h.at - b.first_seen) AS float8) AS invited_s, CAST(extract(epoch FROM n.sent_at - b.first_seen) AS float8) AS told_s
              FROM orders o
              JOIN processed_payments p ON p.order_id = o.id AND p.state = 'credited'
              JOIN work w ON w.step = 'payment.settle' AND w.correlation = p.correlation
              JOIN inbox b ON encode(b.body_sha256, 'hex') = w.subject
              JOIN entitlement e ON e.order_id = o.id
              JOIN invite v ON v.entitlement_id = e.id
              JOIN state_history h ON h.machine = 'invite' AND h.subject = v.id AND h.target = 'sent'
              JOIN notification n ON n.kind = 'sale' AND n.subject = p.id
             WHERE o.channel_id = :channel ORDER BY b.id
            """,
            channel=shop.channel_id,
        )
