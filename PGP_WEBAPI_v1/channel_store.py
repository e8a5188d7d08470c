"""Every SQL statement on an owner's channels and tiers; what he may see is in each WHERE."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class ChannelRow:
    """A channel as its owner sees it."""

    id: int
    open_channel_id: int
    closed_channel_id: int
    open_title: str
    closed_title: str
    description: str
    donation_message: str
    access_mode: str
    tolerance_bps: int


@dataclass(frozen=True)
class TierRow:
    """A tier as its owner sees it."""

    id: int
    position: int
    label: str
    price_usd: Decimal
    days: int


def channels(tx: Transaction, owner_id: int) -> list[ChannelRow]:
    """An owner's active channels."""
    return tx.all(
        ChannelRow,
        """
        SELECT id, open_channel_id, closed_channel_id, open_title, closed_title, description, donation_message, access_mode, tolerance_bps
          FROM channel WHERE owner_id = :owner_id AND active ORDER BY id
        """,
        owner_id=owner_id,
    )


def channel(tx: Transaction, owner_id: int, channel_id: int) -> ChannelRow | None:
    """One of an owner's active channels."""
    return tx.one(
        ChannelRow,
        """
        SELECT id, open_channel_id, closed_channel_id, open_title, closed_title, description, donation_message, access_mode, tolerance_bps
          FROM channel WHERE owner_id = :owner_id AND id = :channel_id AND active
        """,
        owner_id=owner_id,
        channel_id=channel_id,
    )


def tiers(tx: Transaction, channel_id: int) -> list[TierRow]:
    """A channel's active tiers."""
    return tx.all(
        TierRow,
        "SELECT id, position, label, price_usd, days FROM subscription_tier_map WHERE channel_id = :id AND active ORDER BY position",
        id=channel_id,
    )


def tier(tx: Transaction, channel_id: int, tier_id: int) -> TierRow | None:
    """One of a channel's active tiers, locked."""
    return tx.one(
        TierRow,
        "SELECT id, position, label, price_usd, days FROM subscription_tier_map WHERE channel_id = :channel_id AND id = :id AND active FOR UPDATE",
        channel_id=channel_id,
        id=tier_id,
    )


def add_tier(tx: Transaction, *, channel_id: int, label: str, price_usd: Decimal, days: int, position: int) -> int:
    """A new tier; raises Conflict when the place in the list is taken."""
    return int(
        tx.value(
            """
            INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days)
            VALUES (:channel_id, :position, :label, :price, :days) RETURNING id
            """,
            channel_id=channel_id,
            position=position,
            label=label,
            price=price_usd,
            days=days,
        )
    )


def change_tier(tx: Transaction, channel_id: int, tier_id: int, *, label: str | None, price_usd: Decimal | None, days: int | None) -> None:
    """Change what is given."""
    tx.run(
        """
        UPDATE subscription_tier_map SET label = coalesce(CAST(:label AS text), label), price_usd = coalesce(CAST(:price AS numeric), price_usd),
               days = coalesce(CAST(:days AS int), days)
         WHERE channel_id = :channel_id AND id = :tier_id AND active
        """,
        channel_id=channel_id,
        tier_id=tier_id,
        label=label,
        price=price_usd,
        days=days,
    )


def close_tier(tx: Transaction, channel_id: int, tier_id: int) -> None:
    """Stop offering a tier."""
    tx.run(
        "UPDATE subscription_tier_map SET active = false WHERE channel_id = :channel_id AND id = :id AND active",
        channel_id=channel_id,
        id=tier_id,
    )
