"""This is the outbox: work rows that a transaction writes, and the wake-ups that follow its commit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, LiteralString

from PGP_COMMON.log import correlation, new_correlation

if TYPE_CHECKING:
    from PGP_COMMON.database import Transaction


@dataclass(frozen=True, slots=True)
class Wake:
    """Whom to wake, when, and with which stored signature."""

    step: str
    subject: str
    generation: int
    not_before: datetime | None
    signature: str
    correlation: str


def message(step: str, subject: str) -> bytes:
    """The bytes of a task: ids only, serialized once; what is signed is what is sent."""
    return json.dumps({"v": 1, "step": step, "subject": subject}, separators=(",", ":"), ensure_ascii=True).encode()


_INSERT: LiteralString = """
INSERT INTO work (step, subject, not_before, wake_at, signature, correlation, sender)
SELECT r.step, r.subject, pgp_now() + make_interval(secs => r.after_s),
       pgp_now() + make_interval(secs => r.after_s + CAST(:grace AS int)), r.signature, :correlation, :sender
  FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (step text, subject text, after_s int, signature text)
ON CONFLICT (step, subject) DO NOTHING
RETURNING step, subject, generation, CASE WHEN not_before > pgp_now() THEN not_before END AS not_before, signature, correlation
"""


class Outbox:
    """The sends of one transaction, written with one statement."""

    def __init__(self, *, sender: str, may_send: frozenset[str], sign: Callable[[str, str], str], grace_s: int) -> None:
        """Take who sends, the steps he may send, how a message is signed, and after how many seconds the sweep wakes what nobody answered."""
        self._sender = sender
        self._may_send = may_send
        self._sign = sign
        self._grace_s = grace_s
        self._rows: list[dict[str, Any]] = []

    def add(self, step: str, subject: str, *, after_s: int) -> None:
        """Note one unit of work; a step that the manifest does not let this service send is a bug."""
        if step not in self._may_send:
            raise RuntimeError(f"{self._sender} may not send {step}")
        self._rows.append({"step": step, "subject": subject, "after_s": after_s, "signature": self._sign(step, subject)})

    def write(self, tx: Transaction, *, beside: LiteralString = "", **values: Any) -> list[Wake]:
        """Insert the rows, in one statement with what is `beside` them; work that exists already stays as it is, and is not woken again."""
        if not self._rows:
            return []
        # In one order: two transactions that ask for the same work wait for each other's rows one way only.
        rows, self._rows = sorted(self._rows, key=lambda row: (row["step"], row["subject"])), []
        return tx.all(
            Wake,
            "WITH beside AS (" + beside + ")" + _INSERT if beside else _INSERT,
            grace=self._grace_s,
            rows=json.dumps(rows),
            correlation=correlation.get() or new_correlation(),
            sender=self._sender,
            **values,
        )
