"""Owners and their channels: what several services read of them, and every change of either. SQL of client_table and channel."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import audit, one_time_tokens


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
    account_id = one_time_tokens.use(tx, code, "link_telegram")
    if account_id is None:
        return False
    before = tx.value("SELECT notify_chat_id FROM client_table WHERE account_id = :account_id FOR UPDATE", account_id=account_id)
    tx.run("UPDATE client_table SET notify_chat_id = :user_id WHERE account_id = :account_id", user_id=user_id, account_id=account_id)
    audit.record(
        tx,
        actor=f"telegram user {user_id}",
        action="link telegram",
        subject=f"account {account_id}",
        reason="opened the account's link",
        before={"telegram": before},
        after={"telegram": user_id},
    )
    return True


# Why an owner gets no payout after a restore lost the row of one that he had; it ends when the letter of this source about him is resolved.
PAID_BEFORE: Final = "you were paid in a history that a restore has lost"
PAID_BEFORE_LETTER: Final = "wallet.loss"


def stop_payouts(tx: Transaction, owner_id: int, *, reason: str) -> None:
    """Plan no payout for an owner until this is taken back; the first reason stays."""
    tx.run("UPDATE client_table SET payouts_stopped_reason = :reason WHERE id = :id AND payouts_stopped_reason IS NULL", reason=reason, id=owner_id)


def allow_payouts(tx: Transaction, owner_id: int) -> None:
    """Plan payouts for an owner again."""
    tx.run("UPDATE client_table SET payouts_stopped_reason = NULL WHERE id = :id AND payouts_stopped_reason IS NOT NULL", id=owner_id)


# --- what an owner changes himself


def add(tx: Transaction, *, account_id: int, display_name: str) -> None:
    """The owner behind a new account."""
    tx.run("INSERT INTO client_table (account_id, display_name) VALUES (:id, :name)", id=account_id, name=display_name)


def lock(tx: Transaction, owner_id: int) -> None:
    """Keep two changes of one owner apart."""
    tx.run("SELECT 1 FROM client_table WHERE id = :id FOR UPDATE", id=owner_id)


def change(tx: Transaction, owner_id: int, *, display_name: str | None, strategy: str | None, threshold_usd: Decimal | None) -> None:
    """Change what is given, leave the rest."""
    tx.run(
        """
        UPDATE client_table SET display_name = coalesce(CAST(:name AS text), display_name), payout_strategy = coalesce(CAST(:strategy AS text), payout_strategy),
               payout_threshold_usd = coalesce(CAST(:threshold AS numeric), payout_threshold_usd)
         WHERE id = :id
        """,
        id=owner_id,
        name=display_name,
        strategy=strategy,
        threshold=threshold_usd,
    )


@dataclass(frozen=True)
class NewChannel:
    """What a channel is registered with."""

    open_channel_id: int
    closed_channel_id: int
    open_title: str
    closed_title: str
    description: str
    donation_message: str
    access_mode: str


def add_channel(tx: Transaction, owner_id: int, new: NewChannel) -> int:
    """Register a channel, or sell one again that the same owner had closed; raises Conflict when one of its chats is registered already."""
    again = tx.value(
        """
        UPDATE channel SET active = true, open_title = :open_title, closed_title = :closed_title, description = :description,
               donation_message = :donation_message, access_mode = :access_mode
         WHERE owner_id = :owner_id AND open_channel_id = :open_channel_id AND closed_channel_id = :closed_channel_id AND NOT active RETURNING id
        """,
        owner_id=owner_id,
        **vars(new),
    )
    if again is not None:
        return int(again)
    return int(
        tx.value(
            """
            INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title, description, donation_message, access_mode)
            VALUES (:owner_id, :open_channel_id, :closed_channel_id, :open_title, :closed_title, :description, :donation_message, :access_mode) RETURNING id
            """,
            owner_id=owner_id,
            **vars(new),
        )
    )


def change_channel(
    tx: Transaction,
    owner_id: int,
    channel_id: int,
    *,
    description: str | None,
    donation_message: str | None,
    access_mode: str | None,
    tolerance_bps: int | None,
) -> int:
    """Change what is given; how many channels that were his."""
    return tx.run(
        """
        UPDATE channel SET description = coalesce(CAST(:description AS text), description),
               donation_message = coalesce(CAST(:donation_message AS text), donation_message),
               access_mode = coalesce(CAST(:access_mode AS text), access_mode), tolerance_bps = coalesce(CAST(:tolerance_bps AS int), tolerance_bps)
         WHERE owner_id = :owner_id AND id = :channel_id AND active
        """,
        owner_id=owner_id,
        channel_id=channel_id,
        description=description,
        donation_message=donation_message,
        access_mode=access_mode,
        tolerance_bps=tolerance_bps,
    )


def close_channel(tx: Transaction, owner_id: int, channel_id: int) -> int:
    """Stop selling a channel; its buyers keep what they paid for."""
    return tx.run(
        "UPDATE channel SET active = false WHERE owner_id = :owner_id AND id = :channel_id AND active",
        owner_id=owner_id,
        channel_id=channel_id,
    )
