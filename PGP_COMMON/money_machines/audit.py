"""The audit log: who changed money, access or security, from what to what, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PGP_COMMON.database import Transaction


@dataclass(frozen=True, slots=True)
class Act:
    """A person who acts, and his reason."""

    actor: str
    reason: str


@dataclass(frozen=True)
class Entry:
    """One entry, as it was written."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str


def record(
    tx: Transaction, *, actor: str, action: str, subject: str, reason: str, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
) -> None:
    """Write one entry with the change itself, so that neither stands without the other."""
    tx.run(
        """
        INSERT INTO audit_log (actor, action, subject, before, after, reason)
        VALUES (:actor, :action, :subject, CAST(:before AS jsonb), CAST(:after AS jsonb), :reason)
        """,
        actor=actor,
        action=action,
        subject=subject,
        before=None if before is None else json.dumps(dict(before), default=str),
        after=None if after is None else json.dumps(dict(after), default=str),
        reason=reason,
    )


def note(tx: Transaction, act: Act, action: str, subject: str, *, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None) -> None:
    """Write down what an operator did to one thing (`payout 7`), in the transaction that does it."""
    record(tx, actor=act.actor, action=action, subject=subject, reason=act.reason, before=before, after=after)


def entries(
    tx: Transaction, *, subject: str | None = None, actor: str | None = None, action: str | None = None, since: datetime | None = None, limit: int = 100
) -> list[Entry]:
    """The newest entries first. `subject` and `action` match a beginning that ends with a word (`payout` finds `payout 7`), `actor` the whole."""
    return tx.all(
        Entry,
        """
        SELECT id, at, actor, action, subject, before, after, reason FROM audit_log
         WHERE (CAST(:subject AS text) IS NULL OR subject = :subject OR starts_with(subject, :subject || ' '))
           AND (CAST(:action AS text) IS NULL OR action = :action OR starts_with(action, :action || '.') OR starts_with(action, :action || ' '))
           AND (CAST(:actor AS text) IS NULL OR actor = :actor)
           AND (CAST(:since AS timestamptz) IS NULL OR at >= CAST(:since AS timestamptz))
         ORDER BY id DESC LIMIT :limit
        """,
        subject=subject,
        action=action,
        actor=actor,
        since=since,
        limit=limit,
    )
