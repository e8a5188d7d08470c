"""Every SQL statement on accounts, sign-in, channels, tiers and payout details; what an owner may see is in each WHERE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class Account:
    """Who signs in, and the owner he is."""

    id: int
    owner_id: int
    email: str
    password_hash: str
    email_verified: bool
    locked: bool


@dataclass(frozen=True)
class Profile:
    """What an owner sees of himself."""

    email: str
    display_name: str
    telegram_linked: bool
    payout_strategy: str
    payout_threshold_usd: Decimal
    payouts_stopped_reason: str | None
    created_at: datetime


@dataclass(frozen=True)
class RefreshToken:
    """A refresh token as it was issued."""

    id: int
    account_id: int
    family: str
    expired: bool
    used_seconds_ago: Decimal | None
    revoked: bool


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


@dataclass(frozen=True)
class DetailsRow:
    """Where an owner is paid, now or soon."""

    id: int
    asset: str
    address: str
    extra_id: str | None
    usable_from: datetime
    usable: bool


@dataclass(frozen=True)
class PayoutRow:
    """One payout as its owner sees it."""

    id: int
    state: str
    asset: str
    units: Decimal
    payout_asset: str
    paid_out_units: Decimal | None
    tx_hash: str | None
    reason: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class BalanceRow:
    """What an owner is owed in one asset, in one of its purses."""

    purse: str
    asset: str
    units: Decimal


@dataclass(frozen=True)
class CoinRow:
    """A coin that an owner can be paid in."""

    asset: str
    name: str
    network: str
    decimals: int
    address_family: str


def add_account(tx: Transaction, *, email: str, password_hash: str, display_name: str) -> int | None:
    """A new account with its owner; None when the address is taken."""
    account_id = tx.value(
        "INSERT INTO account (email, password_hash) VALUES (:email, :hash) ON CONFLICT (lower(email)) DO NOTHING RETURNING id",
        email=email,
        hash=password_hash,
    )
    if account_id is None:
        return None
    tx.run("INSERT INTO client_table (account_id, display_name) VALUES (:id, :name)", id=account_id, name=display_name)
    return int(account_id)


def add_one_time_token(tx: Transaction, *, token_hash: bytes, account_id: int, purpose: str, lifetime_s: int) -> None:
    """Keep the hash of a token that works once."""
    tx.run(
        "INSERT INTO one_time_token (token_hash, account_id, purpose, expires_at) VALUES (:hash, :id, :purpose, pgp_now() + make_interval(secs => :life))",
        hash=token_hash,
        id=account_id,
        purpose=purpose,
        life=lifetime_s,
    )


def use_one_time_token(tx: Transaction, *, token_hash: bytes, purpose: str) -> int | None:
    """Use a token up; gives back its account, or None when it is not valid (any more)."""
    found = tx.value(
        """
        UPDATE one_time_token SET used_at = pgp_now()
         WHERE token_hash = :hash AND purpose = :purpose AND used_at IS NULL AND expires_at > pgp_now() RETURNING account_id
        """,
        hash=token_hash,
        purpose=purpose,
    )
    return None if found is None else int(found)


def add_mail(tx: Transaction, *, account_id: int, kind: str, token: str | None) -> int:
    """A mail that NOTIFICATIONS will send; it strikes the token out once it is gone."""
    return int(tx.value("INSERT INTO mail (account_id, kind, token) VALUES (:id, :kind, :token) RETURNING id", id=account_id, kind=kind, token=token))


def verify_email(tx: Transaction, account_id: int) -> None:
    """Note that the account's address is his."""
    tx.run("UPDATE account SET email_verified_at = pgp_now() WHERE id = :id AND email_verified_at IS NULL", id=account_id)


def account_by_email(tx: Transaction, email: str) -> Account | None:
    """The account of an address, whatever its case."""
    return tx.one(
        Account,
        """
        SELECT a.id, c.id AS owner_id, a.email, a.password_hash, a.email_verified_at IS NOT NULL AS email_verified,
               coalesce(a.locked_until > pgp_now(), false) AS locked
          FROM account a JOIN client_table c ON c.account_id = a.id WHERE lower(a.email) = lower(:email)
        """,
        email=email,
    )


def account_by_id(tx: Transaction, account_id: int) -> Account | None:
    """An account."""
    return tx.one(
        Account,
        """
        SELECT a.id, c.id AS owner_id, a.email, a.password_hash, a.email_verified_at IS NOT NULL AS email_verified,
               coalesce(a.locked_until > pgp_now(), false) AS locked
          FROM account a JOIN client_table c ON c.account_id = a.id WHERE a.id = :id
        """,
        id=account_id,
    )


def note_failed_login(tx: Transaction, account_id: int) -> None:
    """Count a wrong password; from the fifth on the account rests, 30 s doubled each time up to an hour."""
    tx.run(
        """
        UPDATE account SET failed_logins = failed_logins + 1,
               locked_until = CASE WHEN failed_logins >= 4 THEN pgp_now() + make_interval(secs => least(3600, 30 * power(2, least(failed_logins - 4, 8)))) END
         WHERE id = :id
        """,
        id=account_id,
    )


def note_login(tx: Transaction, account_id: int) -> None:
    """Forget the wrong passwords."""
    tx.run(
        "UPDATE account SET failed_logins = 0, locked_until = NULL WHERE id = :id AND (failed_logins > 0 OR locked_until IS NOT NULL)",
        id=account_id,
    )


def add_refresh_token(tx: Transaction, *, account_id: int, family: str, token_hash: bytes, parent_id: int | None, lifetime_s: int) -> None:
    """Keep the hash of a refresh token."""
    tx.run(
        """
        INSERT INTO refresh_token (account_id, family, token_hash, parent_id, expires_at)
        VALUES (:account_id, CAST(:family AS uuid), :hash, :parent_id, pgp_now() + make_interval(secs => :life))
        """,
        account_id=account_id,
        family=family,
        hash=token_hash,
        parent_id=parent_id,
        life=lifetime_s,
    )


def lock_refresh_token(tx: Transaction, token_hash: bytes) -> RefreshToken | None:
    """A refresh token, locked so that two uses at once meet."""
    return tx.one(
        RefreshToken,
        """
        SELECT id, account_id, CAST(family AS text) AS family, expires_at <= pgp_now() AS expired,
               CAST(extract(epoch FROM pgp_now() - used_at) AS numeric) AS used_seconds_ago, revoked_at IS NOT NULL AS revoked
          FROM refresh_token WHERE token_hash = :hash FOR UPDATE
        """,
        hash=token_hash,
    )


def use_refresh_token(tx: Transaction, token_id: int) -> None:
    """Note the first use of a refresh token."""
    tx.run("UPDATE refresh_token SET used_at = pgp_now() WHERE id = :id AND used_at IS NULL", id=token_id)


def grandchildren(tx: Transaction, token_id: int) -> int:
    """How many of a token's successors have been used: the grace is for the immediate parent only."""
    return int(tx.value("SELECT count(*) FROM refresh_token WHERE parent_id = :id AND used_at IS NOT NULL", id=token_id))


def revoke_family(tx: Transaction, family: str) -> None:
    """End every refresh token that descends from one sign-in."""
    tx.run("UPDATE refresh_token SET revoked_at = pgp_now() WHERE family = CAST(:family AS uuid) AND revoked_at IS NULL", family=family)


def profile(tx: Transaction, owner_id: int) -> Profile | None:
    """What an owner sees of himself."""
    return tx.one(
        Profile,
        """
        SELECT a.email, c.display_name, c.notify_chat_id IS NOT NULL AS telegram_linked, c.payout_strategy, c.payout_threshold_usd,
               c.payouts_stopped_reason, c.created_at
          FROM client_table c JOIN account a ON a.id = c.account_id WHERE c.id = :id
        """,
        id=owner_id,
    )


def change_owner(tx: Transaction, owner_id: int, *, display_name: str | None, strategy: str | None, threshold: Decimal | None) -> None:
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
        threshold=threshold,
    )


def telegram_user(tx: Transaction, owner_id: int) -> int | None:
    """The Telegram account that the owner linked."""
    found = tx.value("SELECT notify_chat_id FROM client_table WHERE id = :id", id=owner_id)
    return None if found is None else int(found)


def add_channel(tx: Transaction, *, owner_id: int, **columns: Any) -> int:
    """Register a channel; raises Conflict when one of its chats is registered already."""
    return int(
        tx.value(
            """
            INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title, description, donation_message, access_mode)
            VALUES (:owner_id, :open_channel_id, :closed_channel_id, :open_title, :closed_title, :description, :donation_message, :access_mode) RETURNING id
            """,
            owner_id=owner_id,
            **columns,
        )
    )


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


def change_channel(tx: Transaction, owner_id: int, channel_id: int, **columns: Any) -> int:
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
        **columns,
    )


def close_channel(tx: Transaction, owner_id: int, channel_id: int) -> int:
    """Stop selling a channel; its buyers keep what they paid for."""
    return tx.run(
        "UPDATE channel SET active = false WHERE owner_id = :owner_id AND id = :channel_id AND active",
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


def add_tier(tx: Transaction, *, channel_id: int, label: str, price_usd: Decimal, days: int, position: int) -> int:
    """A new tier; raises Conflict when the place in the list is taken."""
    return int(
        tx.value(
            "INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days) VALUES (:channel_id, :position, :label, :price, :days) RETURNING id",
            channel_id=channel_id,
            position=position,
            label=label,
            price=price_usd,
            days=days,
        )
    )


def change_tier(tx: Transaction, channel_id: int, tier_id: int, *, label: str | None, price_usd: Decimal | None, days: int | None) -> int:
    """Change what is given; how many tiers there were."""
    return tx.run(
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


def close_tier(tx: Transaction, channel_id: int, tier_id: int) -> int:
    """Stop offering a tier."""
    return tx.run(
        "UPDATE subscription_tier_map SET active = false WHERE channel_id = :channel_id AND id = :id AND active",
        channel_id=channel_id,
        id=tier_id,
    )


def details(tx: Transaction, owner_id: int) -> list[DetailsRow]:
    """The address in use and, if one waits, the next: newest first."""
    return tx.all(
        DetailsRow,
        """
        SELECT id, asset, address, extra_id, usable_from, usable_from <= pgp_now() AS usable
          FROM payout_details WHERE owner_id = :id ORDER BY usable_from DESC, id DESC LIMIT 2
        """,
        id=owner_id,
    )


def lock_owner(tx: Transaction, owner_id: int) -> None:
    """Keep two changes of one owner apart."""
    tx.run("SELECT 1 FROM client_table WHERE id = :id FOR UPDATE", id=owner_id)


def add_details(tx: Transaction, *, owner_id: int, asset: str, address: str, extra_id: str | None, wait_s: int) -> int:
    """Where the owner is paid from `wait_s` seconds on."""
    return int(
        tx.value(
            """
            INSERT INTO payout_details (owner_id, asset, address, extra_id, usable_from)
            VALUES (:owner_id, :asset, :address, :extra_id, pgp_now() + make_interval(secs => :wait)) RETURNING id
            """,
            owner_id=owner_id,
            asset=asset,
            address=address,
            extra_id=extra_id,
            wait=wait_s,
        )
    )


def is_ours(tx: Transaction, address: str) -> bool:
    """Whether an address is our wallet's or an exchange's pay-in address: money sent there would go in a circle."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (SELECT 1 FROM wallet WHERE lower(address) = lower(:address))
                OR EXISTS (SELECT 1 FROM swap WHERE payin_address = :address OR lower(payin_address) = lower(:address))
            """,
            address=address,
        )
    )


def payouts(tx: Transaction, owner_id: int, *, before: int, limit: int) -> list[PayoutRow]:
    """An owner's payouts, newest first, those with an id under `before`."""
    return tx.all(
        PayoutRow,
        """
        SELECT id, state, asset, units, payout_asset, paid_out_units, tx_hash, reason, created_at, finished_at
          FROM split_payout_que WHERE owner_id = :owner_id AND id < :before ORDER BY id DESC LIMIT :limit
        """,
        owner_id=owner_id,
        before=before,
        limit=limit,
    )


def balances(tx: Transaction, owner_id: int) -> list[BalanceRow]:
    """What an owner is owed, by purse and asset."""
    return tx.all(
        BalanceRow,
        "SELECT split_part(code, ':', 3) AS purse, asset, -balance AS units FROM ledger_account WHERE owner_id = :id AND balance <> 0 ORDER BY 1, 2",
        id=owner_id,
    )


def coins(tx: Transaction) -> list[CoinRow]:
    """The coins that owners can be paid in."""
    return tx.all(CoinRow, "SELECT asset, name, network, decimals, address_family FROM currency_to_network WHERE can_pay_out ORDER BY asset")


def decimals(tx: Transaction) -> dict[str, int]:
    """How many decimals each asset has."""
    return {row.asset: row.decimals for row in tx.all(DecimalsRow, "SELECT asset, decimals FROM currency_to_network")}


@dataclass(frozen=True)
class DecimalsRow:
    """An asset's decimals."""

    asset: str
    decimals: int
