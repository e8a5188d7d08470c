"""The inbox: what the payment vendor told us, or what we found by asking, as it came; nothing that arrived signed is dropped."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, LiteralString

from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.money_machines.rows import Row

_KEEP: Final[LiteralString] = """
INSERT INTO inbox AS i (kind, body, body_sha256) VALUES (:kind, :body, :digest)
ON CONFLICT (body_sha256) DO UPDATE SET times_seen = i.times_seen + 1, last_seen = pgp_now()
"""


@dataclass(frozen=True)
class Notice(Row):
    """One body of the inbox. `is_old`: it came more than an hour ago."""

    id: int
    kind: str
    body: bytes
    is_old: bool


def subject_of(body: bytes) -> str:
    """What the work on a body is called: its SHA-256. The same body is the same work, and the name is known before the row is."""
    return hashlib.sha256(body).hexdigest()


def take(db: BaseDatabaseManager, body: bytes) -> None:
    """Keep a signed notice and ask for it to be settled: one statement, one commit. Seen before, it is only counted."""
    digest = hashlib.sha256(body)
    db.insert_and_send(_KEEP, step="payment.settle", subject=digest.hexdigest(), kind="ipn", body=body, digest=digest.digest())


def add_found(tx: Transaction, body: bytes) -> None:
    """Keep what was found by asking the vendor, as a notice of its own kind, and ask for it to be settled."""
    tx.run(_KEEP, kind="found", body=body, digest=hashlib.sha256(body).digest())
    tx.send("payment.settle", subject_of(body))


def notice(tx: Transaction, subject: str) -> Notice | None:
    """The body that a unit of work is about."""
    try:
        digest = bytes.fromhex(subject)
    except ValueError:
        return None
    return tx.one(
        Notice,
        "SELECT id, kind, body, first_seen < pgp_now() - interval '1 hour' AS is_old FROM inbox WHERE body_sha256 = :digest",
        digest=digest,
    )
