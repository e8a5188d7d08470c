"""What the bot reads of memberships: whose time is over or nearly so, who should be where, what a buyer has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row


def due_to_expire(tx: Transaction, *, limit: int = 500) -> list[int]:
    """Entitlements whose time is over and whose end nobody has been asked for yet, the oldest first: those that cannot be ended keep nobody waiting."""
    return list(
        tx.value(
            """
            SELECT coalesce(array_agg(id ORDER BY ends_at), '{}')
              FROM (SELECT e.id, e.ends_at FROM entitlement e
                     WHERE e.expired_at IS NULL AND e.ends_at <= pgp_now()
                       AND NOT EXISTS (SELECT 1 FROM work w WHERE w.step = 'entitlement.expire' AND w.subject = CAST(e.id AS text))
                     ORDER BY e.ends_at LIMIT :limit) due
            """,
            limit=limit,
        )
    )


@dataclass(frozen=True)
class Reminder(Row):
    """An entitlement that ends soon, and whom to tell."""

    id: int
    buyer_id: int


def due_to_remind(tx: Transaction, *, before_s: int, limit: int = 500) -> list[Reminder]:
    """Entitlements that end within so many seconds, after which the buyer has nothing, and of which he was not reminded.

    Nobody is reminded in the first half of his time: who bought a day knows that it ends.
    """
    return tx.all(
        Reminder,
        """
        SELECT e.id, m.buyer_id
          FROM entitlement e JOIN membership m ON m.id = e.membership_id
         WHERE e.expired_at IS NULL AND e.revoked_at IS NULL AND e.reminded_at IS NULL
           AND e.ends_at > pgp_now() AND e.ends_at <= pgp_now() + make_interval(secs => :before)
           AND e.ends_at - pgp_now() <= pgp_now() - (SELECT min(r.starts_at) FROM entitlement r
                                                      WHERE r.membership_id = e.membership_id AND r.revoked_at IS NULL AND r.expired_at IS NULL)
           AND NOT EXISTS (SELECT 1 FROM entitlement n WHERE n.membership_id = e.membership_id AND n.revoked_at IS NULL AND n.ends_at > e.ends_at)
         ORDER BY e.ends_at LIMIT :limit
        """,
        before=before_s,
        limit=limit,
    )


@dataclass(frozen=True)
class Member(Row):
    """One membership beside what it should be. `has_way_in`: an invite of what it has now is open, or was used and may be used again."""

    id: int
    closed_channel_id: int
    buyer_id: int
    present: bool
    entitled: bool
    has_way_in: bool


def members(tx: Transaction, *, turn: str, limit: int) -> list[Member]:
    """Memberships that are or should be in use, to compare with Telegram: another handful each turn, so that everybody's comes."""
    return tx.all(
        Member,
        """
        SELECT id, closed_channel_id, buyer_id, present, entitled,
               EXISTS (SELECT 1 FROM entitlement e JOIN invite v ON v.entitlement_id = e.id
                        WHERE e.membership_id = looked.id AND e.revoked_at IS NULL AND e.ends_at > pgp_now() AND v.state <> 'expired'
                          AND (v.mode = 'join_request' OR (v.link_used_at IS NULL AND coalesce(v.link_expires_at > pgp_now(), true)))) AS has_way_in
          FROM (SELECT id, closed_channel_id, buyer_id, present, entitled
                  FROM (SELECT m.id, c.closed_channel_id, m.buyer_id, m.present,
                               EXISTS (SELECT 1 FROM entitlement e WHERE e.membership_id = m.id AND e.revoked_at IS NULL AND e.ends_at > pgp_now()) AS entitled
                          FROM membership m JOIN channel c ON c.id = m.channel_id) found
                 WHERE present OR entitled ORDER BY md5(CAST(id AS text) || :turn) LIMIT :limit) looked
        """,
        turn=turn,
        limit=limit,
    )


@dataclass(frozen=True)
class Access(Row):
    """What a buyer has in one channel, and his way in: `usable` when its link lets him in, `spent` when he needs another."""

    membership_id: int
    invite_id: int
    title: str
    ends_at: datetime
    present: bool
    link: str | None
    usable: bool
    spent: bool


def standing(tx: Transaction, *, buyer_id: int) -> list[Access]:
    """Everything that a buyer may be in now, with the invite of what runs now, or of the last that he bought."""
    return tx.all(
        Access,
        """
        SELECT DISTINCT ON (m.id) m.id AS membership_id, v.id AS invite_id, c.closed_title AS title, max(e.ends_at) OVER (PARTITION BY m.id) AS ends_at,
               m.present, v.link,
               v.link IS NOT NULL AND v.state IN ('linked', 'sent', 'blocked', 'joined') AND NOT w.over AS usable,
               v.link IS NOT NULL AND v.mode = 'single_use' AND w.over AS spent
          FROM membership m
          JOIN channel c ON c.id = m.channel_id
          JOIN entitlement e ON e.membership_id = m.id AND e.revoked_at IS NULL AND e.ends_at > pgp_now()
          JOIN invite v ON v.entitlement_id = e.id
         CROSS JOIN LATERAL (SELECT v.link_used_at IS NOT NULL OR coalesce(v.link_expires_at <= pgp_now(), false) AS over) w
         WHERE m.buyer_id = :buyer_id
         ORDER BY m.id, NOT w.over DESC, e.starts_at DESC
        """,
        buyer_id=buyer_id,
    )
