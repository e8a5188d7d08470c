"""The audit log: who changed money, access or security, from what to what, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from PGP_COMMON.database import Transaction


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
