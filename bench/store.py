"""Every SQL statement of the benchmark: reads only, about the orders of its own channel."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row


@dataclass(frozen=True)
class Progress(Row):
    """How far a channel's orders are.

    `delivered`: paid ones whose buyer has his invite, whose owner was told and has his part. `quiet`: the bot has nothing left to say.
    `settled`: no notice waits.
    """

    offered: int
    observed: int
    delivered: int
    quiet: bool
    settled: bool


@dataclass(frozen=True)
class Done(Row):
    """One payment: when the notice that finished it was kept, and seconds from then until it was credited, the invite sent, the owner told."""

    kept_at: datetime
    credited_s: float
    invited_s: float
    told_s: float


@dataclass(frozen=True)
class Named(Row):
    """Something by its name."""

    name: str


@dataclass(frozen=True)
class Body(Row):
    """A notice as it came."""

    body: bytes


@dataclass(frozen=True)
class Delivered(Row):
    """How many tasks of a queue have been delivered."""

    queue: str
    tasks: int


def progress(tx: Transaction, channel_id: int) -> Progress:
    """Count what has come of a channel's orders."""
    found = tx.one(
        Progress,
        """
        SELECT count(i.url) AS offered, count(p.id) AS observed,
               count(*) FILTER (WHERE v.state = 'sent' AND n.state = 'sent' AND a.id IS NOT NULL) AS delivered,
               NOT EXISTS (SELECT 1 FROM work WHERE step IN ('bot.say', 'invoice.create') AND state = 'open') AS quiet,
               NOT EXISTS (SELECT 1 FROM work WHERE step = 'payment.settle' AND state = 'open') AS settled
          FROM orders o
          JOIN invoice i ON i.order_id = o.id
          LEFT JOIN processed_payments p ON p.order_id = o.id
          LEFT JOIN payout_accumulation a ON a.payment_id = p.id
          LEFT JOIN notification n ON n.subject = p.id AND n.kind = 'sale'
          LEFT JOIN entitlement e ON e.order_id = o.id
          LEFT JOIN invite v ON v.entitlement_id = e.id
         WHERE o.channel_id = :channel
        """,
        channel=channel_id,
    )
    if found is None:
        raise SystemExit("nothing can be counted")
    return found


def unpaid_invoices(tx: Transaction, channel_id: int) -> list[str]:
    """The vendor's ids of a channel's invoices that nobody has begun to pay."""
    rows = tx.all(
        Named,
        """
        SELECT i.provider_id AS name FROM invoice i JOIN orders o ON o.id = i.order_id
         WHERE o.channel_id = :channel AND i.provider_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM processed_payments p WHERE p.order_id = o.id)
         ORDER BY i.id
        """,
        channel=channel_id,
    )
    return [row.name for row in rows]


def observed_payments(tx: Transaction, channel_id: int) -> list[str]:
    """The vendor's ids of a channel's payments that wait for their money."""
    rows = tx.all(
        Named,
        """
        SELECT p.provider_id AS name FROM processed_payments p JOIN orders o ON o.id = p.order_id
         WHERE o.channel_id = :channel AND p.state = 'observed' ORDER BY p.id
        """,
        channel=channel_id,
    )
    return [row.name for row in rows]


def notices(tx: Transaction, channel_id: int) -> list[bytes]:
    """The bodies of the notices about a channel's payments."""
    rows = tx.all(
        Body,
        """
        SELECT b.body FROM inbox b JOIN processed_payments p ON p.provider_id = CAST(convert_from(b.body, 'UTF8') AS jsonb) ->> 'payment_id'
          JOIN orders o ON o.id = p.order_id
         WHERE o.channel_id = :channel ORDER BY b.id
        """,
        channel=channel_id,
    )
    return [bytes(row.body) for row in rows]


def settled(tx: Transaction, provider_ids: list[str]) -> list[Done]:
    """The credited ones of these payments with their delays; the first notice that says `finished` counts."""
    return tx.all(
        Done,
        """
        WITH notice AS (
            SELECT said ->> 'payment_id' AS provider_id, min(first_seen) AS kept_at
              FROM (SELECT CAST(convert_from(body, 'UTF8') AS jsonb) AS said, first_seen FROM inbox) b
             WHERE said ->> 'payment_status' = 'finished' AND said ->> 'payment_id' = ANY(:ids) GROUP BY 1)
        SELECT b.kept_at, CAST(extract(epoch FROM p.credited_at - b.kept_at) AS float8) AS credited_s,
               CAST(extract(epoch FROM h.at - b.kept_at) AS float8) AS invited_s, CAST(extract(epoch FROM n.sent_at - b.kept_at) AS float8) AS told_s
          FROM notice b
          JOIN processed_payments p ON p.provider_id = b.provider_id AND p.state = 'credited'
          JOIN payout_accumulation a ON a.payment_id = p.id
          JOIN entitlement e ON e.order_id = p.order_id
          JOIN invite v ON v.entitlement_id = e.id
          JOIN state_history h ON h.machine = 'invite' AND h.subject = v.id AND h.target = 'sent'
          JOIN notification n ON n.kind = 'sale' AND n.subject = p.id AND n.state = 'sent'
        """,
        ids=provider_ids,
    )


def delivered(tx: Transaction) -> dict[str, int]:
    """How many tasks each queue of the emulator has delivered (names that are over stay for an hour)."""
    rows = tx.all(
        Delivered,
        "SELECT q.name AS queue, count(*) AS tasks FROM cloudtasks.task t JOIN cloudtasks.queue q ON q.id = t.queue_id WHERE t.over IS NOT NULL GROUP BY q.name",
    )
    return {row.queue.rpartition("/")[2]: row.tasks for row in rows}
