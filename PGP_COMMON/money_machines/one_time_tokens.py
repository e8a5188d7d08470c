"""Tokens that work once, from a mail or for linking a Telegram account: only their hashes are kept. SQL of one_time_token."""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

from PGP_COMMON.database import Transaction

Purpose = Literal["verify_email", "reset_password", "link_telegram"]


def issue(tx: Transaction, *, account_id: int, purpose: Purpose, lifetime_s: int) -> str:
    """A fresh token for an account, 32 characters that an address can carry; the only time it is known in plain."""
    token = secrets.token_urlsafe(24)
    tx.run(
        "INSERT INTO one_time_token (token_hash, account_id, purpose, expires_at) VALUES (:hash, :id, :purpose, pgp_now() + make_interval(secs => :life))",
        hash=_hash(token),
        id=account_id,
        purpose=purpose,
        life=lifetime_s,
    )
    return token


def use(tx: Transaction, token: str, purpose: Purpose) -> int | None:
    """Use a token up; gives back its account, or None when it is not valid (any more)."""
    found = tx.value(
        """
        UPDATE one_time_token SET used_at = pgp_now()
         WHERE token_hash = :hash AND purpose = :purpose AND used_at IS NULL AND expires_at > pgp_now() RETURNING account_id
        """,
        hash=_hash(token),
        purpose=purpose,
    )
    return None if found is None else int(found)


def withdraw(tx: Transaction, *, account_id: int, purpose: Purpose) -> None:
    """Make an account's unused tokens useless, because a newer one takes their place."""
    tx.run("UPDATE one_time_token SET used_at = pgp_now() WHERE account_id = :id AND purpose = :purpose AND used_at IS NULL", id=account_id, purpose=purpose)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
