"""Every SQL statement on accounts, their passwords and their sign-ins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

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
    """A refresh token as it was issued, with how many came out of it and how many of those were used."""

    id: int
    account_id: int
    family: str
    expired: bool
    revoked: bool
    used: bool
    used_seconds_ago: Decimal
    successors: int
    used_successors: int


def add_account(tx: Transaction, *, email: str, password_hash: str) -> int | None:
    """A new account; None when the address is taken."""
    found = tx.value(
        "INSERT INTO account (email, password_hash) VALUES (:email, :hash) ON CONFLICT (lower(email)) DO NOTHING RETURNING id",
        email=email,
        hash=password_hash,
    )
    return None if found is None else int(found)


def restart_account(tx: Transaction, *, email: str, password_hash: str) -> int | None:
    """Give an account whose address nobody has verified a new password; None when somebody has, or there is none."""
    found = tx.value(
        "UPDATE account SET password_hash = :hash WHERE lower(email) = lower(:email) AND email_verified_at IS NULL RETURNING id",
        email=email,
        hash=password_hash,
    )
    return None if found is None else int(found)


def verify_email(tx: Transaction, account_id: int) -> None:
    """Note that the account's address is his."""
    tx.run("UPDATE account SET email_verified_at = pgp_now() WHERE id = :id AND email_verified_at IS NULL", id=account_id)


def change_password(tx: Transaction, account_id: int, *, password_hash: str) -> None:
    """Keep a new password's hash, and forget the wrong guesses at the old one."""
    tx.run("UPDATE account SET password_hash = :hash, failed_logins = 0, locked_until = NULL WHERE id = :id", id=account_id, hash=password_hash)


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
    """A refresh token with its whole family held: the second of two uses at once sees what the first one made of it.

    The family is held by its first token. Held one by one, an end of the family would miss the successor that another use is just adding.
    """
    tx.value(
        """
        SELECT id FROM refresh_token WHERE family = (SELECT family FROM refresh_token WHERE token_hash = :hash) ORDER BY id LIMIT 1 FOR UPDATE
        """,
        hash=token_hash,
    )
    return tx.one(
        RefreshToken,
        """
        SELECT t.id, t.account_id, CAST(t.family AS text) AS family, t.expires_at <= pgp_now() AS expired, t.revoked_at IS NOT NULL AS revoked,
               t.used_at IS NOT NULL AS used, coalesce(CAST(extract(epoch FROM pgp_now() - t.used_at) AS numeric), 0) AS used_seconds_ago,
               count(s.id) AS successors, count(s.used_at) AS used_successors
          FROM refresh_token t LEFT JOIN refresh_token s ON s.parent_id = t.id WHERE t.token_hash = :hash GROUP BY t.id
        """,
        hash=token_hash,
    )


def use_refresh_token(tx: Transaction, token_id: int) -> None:
    """Note the first use of a refresh token."""
    tx.run("UPDATE refresh_token SET used_at = pgp_now() WHERE id = :id AND used_at IS NULL", id=token_id)


def revoke_family(tx: Transaction, family: str) -> None:
    """End every refresh token that descends from one sign-in."""
    tx.run("UPDATE refresh_token SET revoked_at = pgp_now() WHERE family = CAST(:family AS uuid) AND revoked_at IS NULL", family=family)


def revoke_all(tx: Transaction, account_id: int) -> None:
    """End every session of an account. First all families are held, so that none of them gets a successor that this would not see."""
    tx.value("SELECT count(*) FROM (SELECT id FROM refresh_token WHERE account_id = :id AND revoked_at IS NULL ORDER BY id FOR UPDATE) held", id=account_id)
    tx.run("UPDATE refresh_token SET revoked_at = pgp_now() WHERE account_id = :id AND revoked_at IS NULL", id=account_id)
