"""Every SQL statement on broadcasts and their posts, and what the texts of notices read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class Sale:
    """What an owner wants to know of a payment; `days` are those that the order gave in the end."""

    channel: str
    price_usd: Decimal
    days: int | None
    buyer: str
    owner_units: Decimal
    asset: str
    decimals: int
    value_usd: Decimal | None


@dataclass(frozen=True)
class PayoutFacts:
    """What an owner wants to know of a payout."""

    units: Decimal
    decimals: int
    payout_asset: str
    payout_decimals: int
    network: str
    paid_out_units: Decimal | None
    tx_hash: str | None
    reason: str | None


@dataclass(frozen=True)
class Ending:
    """What a buyer wants to know of his access."""

    channel: str
    channel_id: int
    ends_at: datetime


@dataclass(frozen=True)
class AddressFacts:
    """A changed payout address."""

    asset: str
    address: str
    usable_from: datetime


@dataclass(frozen=True)
class Post:
    """One post of a broadcast to one chat."""

    id: int
    chat_id: int
    part: str
    state: str
    text: str
    channel_id: int
    channel_title: str
    donation_message: str


@dataclass(frozen=True)
class History:
    """A broadcast as its owner sees it."""

    id: int
    channel_id: int
    kind: str
    due_at: datetime
    posts: int
    sent: int
    undeliverable: int


def sale(tx: Transaction, payment_id: int) -> Sale | None:
    """What stands behind a sale, a donation or a part payment."""
    return tx.one(
        Sale,
        """
        SELECT c.closed_title AS channel, o.price_usd, o.buyer_name AS buyer, p.owner_units, p.outcome_asset AS asset, k.decimals, p.value_usd,
               coalesce(CAST(round(extract(epoch FROM e.ends_at - e.starts_at) / 86400) AS int), o.days) AS days
          FROM processed_payments p JOIN orders o ON o.id = p.order_id JOIN channel c ON c.id = o.channel_id
          JOIN currency_to_network k ON k.asset = p.outcome_asset LEFT JOIN entitlement e ON e.order_id = o.id WHERE p.id = :id
        """,
        id=payment_id,
    )


def payout(tx: Transaction, payout_id: int) -> PayoutFacts | None:
    """What stands behind a payout."""
    return tx.one(
        PayoutFacts,
        """
        SELECT q.units, a.decimals, q.payout_asset, b.decimals AS payout_decimals, b.network, q.paid_out_units, q.tx_hash, q.reason
          FROM split_payout_que q JOIN currency_to_network a ON a.asset = q.asset JOIN currency_to_network b ON b.asset = q.payout_asset WHERE q.id = :id
        """,
        id=payout_id,
    )


def ending(tx: Transaction, entitlement_id: int) -> Ending | None:
    """What stands behind a reminder or an ended access."""
    return tx.one(
        Ending,
        """
        SELECT c.closed_title AS channel, c.id AS channel_id, e.ends_at
          FROM entitlement e JOIN membership m ON m.id = e.membership_id JOIN channel c ON c.id = m.channel_id WHERE e.id = :id
        """,
        id=entitlement_id,
    )


def address(tx: Transaction, details_id: int) -> AddressFacts | None:
    """What stands behind a changed address."""
    return tx.one(AddressFacts, "SELECT asset, address, usable_from FROM payout_details WHERE id = :id", id=details_id)


def plan_due(tx: Transaction, *, hours: Decimal) -> list[int]:
    """Plan the scheduled broadcast of every channel whose last one is old enough; two schedulers at once plan it once."""
    # The second planner waits here and then sees what the first one planned.
    tx.run("SELECT pg_advisory_xact_lock(hashtext('broadcast.plan'))")
    return [
        row.id
        for row in tx.all(
            Id,
            """
            INSERT INTO broadcast_manager (channel_id, kind)
            SELECT c.id, 'scheduled' FROM channel c
             WHERE c.active AND NOT EXISTS (SELECT 1 FROM broadcast_manager b WHERE b.channel_id = c.id AND b.kind = 'scheduled'
                                             AND b.due_at > pgp_now() - make_interval(secs => CAST(:hours AS numeric) * 3600))
             ORDER BY c.id
            RETURNING id
            """,
            hours=hours,
        )
    ]


@dataclass(frozen=True)
class Id:
    """A row's id."""

    id: int


def add_posts(tx: Transaction, broadcast_id: int) -> list[int]:
    """The posts of a broadcast: offers to the open channel, if there are any or the owner has written something; the donation to the closed one."""
    rows = tx.all(
        Id,
        """
        INSERT INTO broadcast_post (broadcast_id, chat_id, part)
        SELECT b.id, v.chat_id, v.part FROM broadcast_manager b JOIN channel c ON c.id = b.channel_id
         CROSS JOIN LATERAL (VALUES (c.open_channel_id, 'subscribe'), (c.closed_channel_id, 'donate')) AS v (chat_id, part)
         WHERE b.id = :id
           AND (v.part = 'donate' OR b.text <> '' OR EXISTS (SELECT 1 FROM subscription_tier_map t WHERE t.channel_id = c.id AND t.active))
        ON CONFLICT (broadcast_id, chat_id) DO NOTHING RETURNING id
        """,
        id=broadcast_id,
    )
    return [row.id for row in rows]


def post(tx: Transaction, post_id: int) -> Post | None:
    """A post with what its text needs."""
    return tx.one(
        Post,
        """
        SELECT p.id, p.chat_id, p.part, p.state, b.text, c.id AS channel_id, c.closed_title AS channel_title, c.donation_message
          FROM broadcast_post p JOIN broadcast_manager b ON b.id = p.broadcast_id JOIN channel c ON c.id = b.channel_id WHERE p.id = :id
        """,
        id=post_id,
    )


def mark_post(tx: Transaction, post_id: int, *, state: str, message_id: int | None) -> None:
    """Note that a post stands in its chat, or cannot."""
    tx.run(
        "UPDATE broadcast_post SET state = :state, message_id = CAST(:message AS bigint), sent_at = pgp_now() WHERE id = :id AND state = 'planned'",
        id=post_id,
        state=state,
        message=message_id,
    )


def count_unknown_send(tx: Transaction, post_id: int) -> int:
    """Note that a post was sent and no answer came; gives back how often."""
    return int(tx.value("UPDATE broadcast_post SET unknown_sends = unknown_sends + 1 WHERE id = :id RETURNING unknown_sends", id=post_id))


def own_channel(tx: Transaction, *, account_id: int, channel_id: int) -> bool:
    """Whether a channel is the account's; locks it, so that two requests at once meet."""
    return bool(
        tx.value(
            """
            SELECT true FROM channel c JOIN client_table o ON o.id = c.owner_id
             WHERE c.id = :channel_id AND o.account_id = :account_id AND c.active FOR UPDATE OF c
            """,
            channel_id=channel_id,
            account_id=account_id,
        )
    )


@dataclass(frozen=True)
class Requested:
    """A broadcast that an owner asked for before."""

    id: int
    text: str


def requested(tx: Transaction, *, channel_id: int, key: str) -> Requested | None:
    """The broadcast that a request with this key made before."""
    return tx.one(Requested, "SELECT id, text FROM broadcast_manager WHERE channel_id = :channel_id AND idempotency_key = :key", channel_id=channel_id, key=key)


def seconds_to_wait(tx: Transaction, *, channel_id: int, hours: Decimal) -> int:
    """How long until a channel may be posted to by hand again."""
    return int(
        tx.value(
            """
            SELECT coalesce(ceil(extract(epoch FROM max(due_at) + make_interval(secs => CAST(:hours AS numeric) * 3600) - pgp_now())), 0)
              FROM broadcast_manager WHERE channel_id = :channel_id AND kind = 'manual'
            """,
            channel_id=channel_id,
            hours=hours,
        )
    )


def add_manual(tx: Transaction, *, channel_id: int, account_id: int, text: str, key: str | None) -> int:
    """A broadcast that an owner asked for."""
    return int(
        tx.value(
            """
            INSERT INTO broadcast_manager (channel_id, kind, text, requested_by, idempotency_key)
            VALUES (:channel_id, 'manual', :text, :account_id, :key) RETURNING id
            """,
            channel_id=channel_id,
            text=text,
            account_id=account_id,
            key=key,
        )
    )


def history(tx: Transaction, *, account_id: int, limit: int) -> list[History]:
    """An owner's broadcasts, newest first."""
    return tx.all(
        History,
        """
        SELECT b.id, b.channel_id, b.kind, b.due_at, count(p.id) AS posts, count(p.id) FILTER (WHERE p.state = 'sent') AS sent,
               count(p.id) FILTER (WHERE p.state = 'undeliverable') AS undeliverable
          FROM broadcast_manager b JOIN channel c ON c.id = b.channel_id JOIN client_table o ON o.id = c.owner_id
          LEFT JOIN broadcast_post p ON p.broadcast_id = b.id
         WHERE o.account_id = :account_id GROUP BY b.id ORDER BY b.id DESC LIMIT :limit
        """,
        account_id=account_id,
        limit=limit,
    )
