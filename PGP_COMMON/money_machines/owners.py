"""Owners and their channels: what several services read of them, and the link to an owner's Telegram account."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class Channel:
    """A registered channel: the open one that everybody sees, and the closed one that is paid for."""

    id: int
    owner_id: int
    open_channel_id: int
    closed_channel_id: int
    open_title: str
    closed_title: str
    description: str
    donation_message: str
    access_mode: str
    join_link: str | None
    tolerance_bps: int


@dataclass(frozen=True)
class Tier:
    """One offer of a channel: so many days for so many USD."""

    id: int
    channel_id: int
    position: int
    label: str
    price_usd: Decimal
    days: int


def channel(tx: Transaction, channel_id: int) -> Channel | None:
    """An active channel."""
    return tx.one(
        Channel,
        """
        SELECT id, owner_id, open_channel_id, closed_channel_id, open_title, closed_title, description, donation_message, access_mode, join_link, tolerance_bps
          FROM channel WHERE id = :channel_id AND active
        """,
        channel_id=channel_id,
    )


def active_channels(tx: Transaction) -> list[Channel]:
    """Every active channel, in order."""
    return tx.all(
        Channel,
        """
        SELECT id, owner_id, open_channel_id, closed_channel_id, open_title, closed_title, description, donation_message, access_mode, join_link, tolerance_bps
          FROM channel WHERE active ORDER BY id
        """,
    )


def tiers(tx: Transaction, channel_id: int) -> list[Tier]:
    """A channel's active tiers, in the owner's order."""
    return tx.all(
        Tier,
        "SELECT id, channel_id, position, label, price_usd, days FROM subscription_tier_map WHERE channel_id = :channel_id AND active ORDER BY position",
        channel_id=channel_id,
    )


def remember_join_link(tx: Transaction, channel_id: int, *, link: str) -> str:
    """Keep a channel's one join-request link; gives back the one that was kept first."""
    tx.run("UPDATE channel SET join_link = :link WHERE id = :channel_id AND join_link IS NULL", link=link, channel_id=channel_id)
    return str(tx.value("SELECT join_link FROM channel WHERE id = :channel_id", channel_id=channel_id))


def notify_chat(tx: Transaction, owner_id: int) -> int | None:
    """The Telegram account that an owner linked, or None."""
    found = tx.value("SELECT notify_chat_id FROM client_table WHERE id = :owner_id", owner_id=owner_id)
    return None if found is None else int(found)


def link_telegram(tx: Transaction, *, code: str, user_id: int) -> bool:
    """Use up a link code (from /start o_<code>): the account's owner is reached at this Telegram user from now on. False when the code is not valid."""
    used = tx.value(
        """
        UPDATE one_time_token SET used_at = pgp_now()
         WHERE token_hash = :hash AND purpose = 'link_telegram' AND used_at IS NULL AND expires_at > pgp_now()
        RETURNING account_id
        """,
        hash=hashlib.sha256(code.encode()).digest(),
    )
    if used is None:
        return False
    return tx.run("UPDATE client_table SET notify_chat_id = :user_id WHERE account_id = :account_id", user_id=user_id, account_id=used) == 1


def stop_payouts(tx: Transaction, owner_id: int, *, reason: str) -> None:
    """Plan no payout for an owner until this is taken back; the first reason stays."""
    tx.run("UPDATE client_table SET payouts_stopped_reason = :reason WHERE id = :id AND payouts_stopped_reason IS NULL", reason=reason, id=owner_id)


def allow_payouts(tx: Transaction, owner_id: int) -> None:
    """Plan payouts for an owner again."""
    tx.run("UPDATE client_table SET payouts_stopped_reason = NULL WHERE id = :id AND payouts_stopped_reason IS NOT NULL", id=owner_id)
