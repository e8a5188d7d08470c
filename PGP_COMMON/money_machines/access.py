"""Memberships, entitlements and invites: who may be in a channel, and how he gets in."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine


class Invite(enum.StrEnum):
    """Who acts next stands beside each state."""

    PLANNED = "planned"  # an entitlement waits to be delivered: we act
    LINKED = "linked"  # its link is known: we act
    SENT = "sent"  # the buyer has the link: the buyer acts
    JOINED = "joined"  # he is in: the end
    EXPIRED = "expired"  # he never came, or his time is over: the end
    BLOCKED = "blocked"  # the bot may not write to him: the buyer acts, with /start


INVITE_LIFE = Machine(
    "invite",
    Invite,
    Invite.PLANNED,
    {
        Invite.PLANNED: {Invite.LINKED, Invite.BLOCKED, Invite.EXPIRED},
        Invite.LINKED: {Invite.SENT, Invite.BLOCKED, Invite.EXPIRED},
        Invite.SENT: {Invite.JOINED, Invite.EXPIRED},
        Invite.JOINED: set(),
        Invite.EXPIRED: {Invite.JOINED},
        Invite.BLOCKED: {Invite.LINKED, Invite.SENT, Invite.JOINED, Invite.EXPIRED},
    },
)


# --- entitlements: access is a row; who is in the channel only follows from it


def plan_entitlement(tx: Transaction, *, channel_id: int, buyer_id: int, order_id: int, days: int, mode: str) -> int | None:
    """Give a buyer so many days, from now or from the end of what he has, and plan the invite; asks INVITE to send it.

    Gives back the invite's id; None when the order has had its entitlement before. Two orders of one buyer take turns at the membership.
    """
    membership_id = lock_membership(tx, channel_id=channel_id, buyer_id=buyer_id)
    invite_id = tx.value(
        """
        WITH planned AS (
            INSERT INTO entitlement (membership_id, order_id, starts_at, ends_at)
            SELECT :membership_id, :order_id, run.starts_at, run.starts_at + make_interval(days => :days)
              FROM (SELECT greatest(pgp_now(), max(ends_at)) AS starts_at FROM entitlement WHERE membership_id = :membership_id AND revoked_at IS NULL) run
            ON CONFLICT (order_id) DO NOTHING RETURNING id)
        INSERT INTO invite (entitlement_id, mode) SELECT id, :mode FROM planned RETURNING id
        """,
        membership_id=membership_id,
        order_id=order_id,
        days=days,
        mode=mode,
    )
    if invite_id is None:
        return None
    tx.send("invite.send", invite_id)
    return int(invite_id)


def lock_membership(tx: Transaction, *, channel_id: int, buyer_id: int) -> int:
    """The one row of a buyer in a channel, locked until the transaction ends."""
    return int(
        tx.value(
            """
            INSERT INTO membership (channel_id, buyer_id) VALUES (:channel_id, :buyer_id)
            ON CONFLICT (channel_id, buyer_id) DO UPDATE SET buyer_id = excluded.buyer_id
            RETURNING id
            """,
            channel_id=channel_id,
            buyer_id=buyer_id,
        )
    )


@dataclass(frozen=True)
class Live(Row):
    """Access that a buyer has now; `ends_at` is the end of the last of his entitlements, which follow one another."""

    membership_id: int
    channel_id: int
    closed_title: str
    ends_at: datetime


def live_entitlement(tx: Transaction, *, closed_channel_id: int, buyer_id: int) -> Live | None:
    """What a Telegram user may be in a closed channel for, or None."""
    return tx.one(
        Live,
        """
        SELECT m.id AS membership_id, c.id AS channel_id, c.closed_title, max(e.ends_at) AS ends_at
          FROM channel c
          JOIN membership m ON m.channel_id = c.id AND m.buyer_id = :buyer_id
          JOIN entitlement e ON e.membership_id = m.id AND e.revoked_at IS NULL AND e.ends_at > pgp_now()
         WHERE c.closed_channel_id = :closed_channel_id
         GROUP BY m.id, c.id
        """,
        closed_channel_id=closed_channel_id,
        buyer_id=buyer_id,
    )


# --- the end of access


@dataclass(frozen=True)
class Ending(Row):
    """An entitlement whose time is over, or not yet: `renewed` when the buyer has more time after it, `expired` when this was done before."""

    id: int
    membership_id: int
    buyer_id: int
    channel_id: int
    closed_channel_id: int
    ends_at: datetime
    over: bool
    renewed: bool
    expired: bool
    present: bool


def lock_ending(tx: Transaction, entitlement_id: int) -> Ending | None:
    """An entitlement with its membership locked, so that a renewal waits for us or we see it."""
    tx.value("SELECT m.id FROM membership m JOIN entitlement e ON e.membership_id = m.id WHERE e.id = :id FOR NO KEY UPDATE OF m", id=entitlement_id)
    return tx.one(
        Ending,
        """
        SELECT e.id, e.membership_id, m.buyer_id, m.channel_id, c.closed_channel_id, e.ends_at, e.ends_at <= pgp_now() OR e.revoked_at IS NOT NULL AS over,
               EXISTS (SELECT 1 FROM entitlement n WHERE n.membership_id = e.membership_id AND n.id <> e.id AND n.revoked_at IS NULL AND n.ends_at > pgp_now())
               AS renewed, e.expired_at IS NOT NULL AS expired, m.present
          FROM entitlement e JOIN membership m ON m.id = e.membership_id JOIN channel c ON c.id = m.channel_id
         WHERE e.id = :id
        """,
        id=entitlement_id,
    )


def mark_expired(tx: Transaction, entitlement_id: int) -> bool:
    """End an entitlement whose time is over, and its invite; False when that was done before or its time is not over."""
    closed = tx.run(
        "UPDATE entitlement SET expired_at = pgp_now() WHERE id = :id AND expired_at IS NULL AND (ends_at <= pgp_now() OR revoked_at IS NOT NULL)",
        id=entitlement_id,
    )
    if closed:
        tx.run(
            "UPDATE invite SET state = 'expired' WHERE entitlement_id = :id AND state = ANY(:sources)",
            id=entitlement_id,
            sources=INVITE_LIFE.sources(Invite.EXPIRED),
        )
    return closed == 1


def mark_removed(tx: Transaction, membership_id: int) -> None:
    """Note that a buyer whose access ended was taken out of the channel."""
    tx.run("UPDATE membership SET present = false, present_changed_at = pgp_now(), removed_at = pgp_now() WHERE id = :id", id=membership_id)


def mark_reminded(tx: Transaction, entitlement_id: int) -> bool:
    """Note that a buyer is reminded; False when he was before."""
    return tx.run("UPDATE entitlement SET reminded_at = pgp_now() WHERE id = :id AND reminded_at IS NULL", id=entitlement_id) == 1


# --- who is in the channel


def note_presence(tx: Transaction, *, closed_channel_id: int, buyer_id: int, present: bool) -> bool:
    """Keep what Telegram says of somebody in a closed channel; whoever came in has used his invites. False for people who never bought."""
    membership_id = tx.value(
        """
        UPDATE membership m SET present = :present, present_changed_at = CASE WHEN m.present = :present THEN m.present_changed_at ELSE pgp_now() END
          FROM channel c WHERE c.id = m.channel_id AND c.closed_channel_id = :closed_channel_id AND m.buyer_id = :buyer_id
        RETURNING m.id
        """,
        present=present,
        closed_channel_id=closed_channel_id,
        buyer_id=buyer_id,
    )
    if membership_id is not None and present:
        mark_joined(tx, int(membership_id))
    return membership_id is not None


def mark_joined(tx: Transaction, membership_id: int) -> int:
    """`sent`, `blocked` or `expired` → `joined` for the invites of somebody who is in; gives back how many."""
    return tx.run(
        """
        UPDATE invite SET state = 'joined' FROM entitlement e
         WHERE e.id = invite.entitlement_id AND e.membership_id = :membership_id AND e.starts_at <= pgp_now() AND e.ends_at > pgp_now()
           AND invite.link IS NOT NULL AND invite.state = ANY(:sources)
        """,
        membership_id=membership_id,
        sources=INVITE_LIFE.sources(Invite.JOINED),
    )


# --- invites


@dataclass(frozen=True)
class InviteRow(Row):
    """An invite with whom it lets in where. `live`: the entitlement still runs or will; `present`: he is in the channel already.

    `link_is_over`: it was used or has ended. A link for one person lives `link_lifetime_s`: 48 hours (money.md 10), but not longer than his access.
    """

    id: int
    state: str
    mode: str
    link: str | None
    link_is_over: bool
    link_lifetime_s: int
    unknown_sends: int
    entitlement_id: int
    ends_at: datetime
    live: bool
    membership_id: int
    buyer_id: int
    present: bool
    channel_id: int
    closed_channel_id: int
    closed_title: str
    join_link: str | None
    owner_id: int


def invite(tx: Transaction, invite_id: int) -> InviteRow | None:
    """An invite with everything that INVITE needs to know."""
    return tx.one(
        InviteRow,
        """
        SELECT v.id, v.state, v.mode, v.link, v.link_used_at IS NOT NULL OR coalesce(v.link_expires_at <= pgp_now(), false) AS link_is_over,
               CAST(greatest(60, least(48 * 3600, extract(epoch FROM e.ends_at - pgp_now()))) AS int) AS link_lifetime_s, v.unknown_sends,
               v.entitlement_id, e.ends_at, e.revoked_at IS NULL AND e.ends_at > pgp_now() AS live, m.id AS membership_id, m.buyer_id, m.present, c.id AS channel_id, c.closed_channel_id,
               c.closed_title, c.join_link, c.owner_id
          FROM invite v
          JOIN entitlement e ON e.id = v.entitlement_id
          JOIN membership m ON m.id = e.membership_id
          JOIN channel c ON c.id = m.channel_id
         WHERE v.id = :id
        """,
        id=invite_id,
    )


def mark_linked(tx: Transaction, invite_id: int, *, link: str, lifetime_s: int | None) -> bool:
    """`planned` or `blocked` → `linked`: the link is kept before anybody is sent it. `lifetime_s` is None for a link that does not end."""
    linked = tx.run(
        """
        UPDATE invite SET state = 'linked', link = :link, link_expires_at = pgp_now() + make_interval(secs => CAST(:lifetime AS int))
         WHERE id = :id AND state = ANY(:sources)
        """,
        id=invite_id,
        link=link,
        lifetime=lifetime_s,
        sources=INVITE_LIFE.sources(Invite.LINKED),
    )
    return linked == 1


def renew_link(tx: Transaction, invite_id: int, *, link: str, lifetime_s: int) -> None:
    """Keep a new link of an invite whose old one was used up or is over; its state stays what it is."""
    tx.run(
        """
        UPDATE invite SET link = :link, link_expires_at = pgp_now() + make_interval(secs => CAST(:lifetime AS int)), link_used_at = NULL, unknown_sends = 0
         WHERE id = :id AND state <> 'expired'
        """,
        id=invite_id,
        link=link,
        lifetime=lifetime_s,
    )


@dataclass(frozen=True)
class UsedLink(Row):
    """A link that lets one person in, and whom it was made for."""

    invite_id: int
    link: str
    buyer_id: int
    closed_channel_id: int


def use_link(tx: Transaction, *, closed_channel_id: int, link: str) -> UsedLink | None:
    """Note that somebody came in by a link that was made for one person; None for every other link."""
    return tx.one(
        UsedLink,
        """
        UPDATE invite v SET link_used_at = coalesce(v.link_used_at, pgp_now())
          FROM entitlement e JOIN membership m ON m.id = e.membership_id JOIN channel c ON c.id = m.channel_id
         WHERE e.id = v.entitlement_id AND v.mode = 'single_use' AND v.link = :link AND c.closed_channel_id = :closed_channel_id
        RETURNING v.id AS invite_id, v.link, m.buyer_id, c.closed_channel_id
        """,
        link=link,
        closed_channel_id=closed_channel_id,
    )


def mark_sent(tx: Transaction, invite_id: int, *, message_id: int | None) -> bool:
    """`linked` or `blocked` → `sent`: the buyer has the link."""
    sent = tx.run(
        "UPDATE invite SET state = 'sent', message_id = :message_id WHERE id = :id AND state = ANY(:sources)",
        id=invite_id,
        message_id=message_id,
        sources=INVITE_LIFE.sources(Invite.SENT),
    )
    return sent == 1


def mark_blocked(tx: Transaction, invite_id: int) -> bool:
    """`planned` or `linked` → `blocked`: the bot may not write to the buyer; /start and the payment page show the link."""
    return _move_invite(tx, invite_id, Invite.BLOCKED)


def expire_invite(tx: Transaction, invite_id: int) -> bool:
    """Any open state → `expired`: his time is over, or he never came."""
    return _move_invite(tx, invite_id, Invite.EXPIRED)


def _move_invite(tx: Transaction, invite_id: int, target: Invite) -> bool:
    moved = tx.run(
        "UPDATE invite SET state = :target WHERE id = :id AND state = ANY(:sources)",
        id=invite_id,
        target=target.value,
        sources=INVITE_LIFE.sources(target),
    )
    return moved == 1


def count_unknown_send(tx: Transaction, invite_id: int) -> int:
    """Note that an invite was sent and no answer came; gives back how often."""
    return int(tx.value("UPDATE invite SET unknown_sends = least(3, unknown_sends + 1) WHERE id = :id RETURNING unknown_sends", id=invite_id))
