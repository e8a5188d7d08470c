"""Dead letters as an operator handles them: look, try again, or resolve with a reason; every action is in the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import audit, wallet
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.outbox import Wake


@dataclass(frozen=True)
class DeadLetter:
    """Something that waits for a person."""

    id: int
    source: str
    subject: str
    reason: str
    detail: dict[str, Any]
    work_id: int | None
    step: str | None
    last_error: str | None
    created_at: datetime
    resolved_at: datetime | None
    resolution: str | None


def letters(tx: Transaction, *, everything: bool = False, limit: int = 100) -> list[DeadLetter]:
    """Open letters (or all of them), newest first."""
    return tx.all(
        DeadLetter,
        """
        SELECT f.id, f.source, f.subject, f.reason, f.detail, f.work_id, w.step, w.last_error, f.created_at, f.resolved_at, f.resolution
          FROM failed_transactions f LEFT JOIN work w ON w.id = f.work_id
         WHERE f.resolved_at IS NULL OR :everything ORDER BY f.id DESC LIMIT :limit
        """,
        everything=everything,
        limit=limit,
    )


def letter(tx: Transaction, letter_id: int) -> DeadLetter | None:
    """One letter, locked."""
    return tx.one(
        DeadLetter,
        """
        SELECT f.id, f.source, f.subject, f.reason, f.detail, f.work_id, w.step, w.last_error, f.created_at, f.resolved_at, f.resolution
          FROM failed_transactions f LEFT JOIN work w ON w.id = f.work_id WHERE f.id = :id FOR UPDATE OF f
        """,
        id=letter_id,
    )


def resolve(tx: Transaction, found: DeadLetter, *, kind: str, note: str, actor: str) -> None:
    """Close a letter with what was done about it."""
    tx.run(
        "UPDATE failed_transactions SET resolved_at = pgp_now(), resolution = :resolution, resolved_by = :actor WHERE id = :id AND resolved_at IS NULL",
        id=found.id,
        resolution=f"{kind}: {note}",
        actor=actor,
    )
    audit.record(tx, actor=actor, action=f"dead letter {kind}", subject=f"{found.source} {found.subject}", reason=note, before={"reason": found.reason})


def answer(tx: Transaction, act: Act, *about: tuple[str, object], but_dead: bool = False) -> list[int]:
    """Close the open letters about these (source, subject) that an operator's move answers; gives back their numbers.

    `but_dead`: not those of a dead step, which what was moved still needs: only `pgp dead retry` lets it run again.
    """
    found = tx.all(
        DeadLetter,
        """
        SELECT f.id, f.source, f.subject, f.reason, f.detail, f.work_id, w.step, w.last_error, f.created_at, f.resolved_at, f.resolution
          FROM failed_transactions f LEFT JOIN work w ON w.id = f.work_id
         WHERE f.resolved_at IS NULL AND (f.source, f.subject) IN (SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:subjects AS text[])))
           AND NOT (:but_dead AND coalesce(w.state = 'dead', false))
         ORDER BY f.id FOR UPDATE OF f
        """,
        sources=[source for source, _ in about],
        subjects=[str(subject) for _, subject in about],
        but_dead=but_dead,
    )
    for one in found:
        resolve(tx, one, kind="handled", note=act.reason, actor=act.actor)
    return [one.id for one in found]


def reopen(tx: Transaction, found: DeadLetter, *, signature: str, grace_s: int) -> list[Wake]:
    """Let a dead step run again from where it stopped: attempts at zero, a new generation, signed anew; gives back whom to wake."""
    return tx.all(
        Wake,
        """
        UPDATE work SET state = 'open', attempts = 0, generation = generation + 1, signature = :signature, lease_owner = NULL, lease_until = NULL,
               not_before = pgp_now(), wake_at = pgp_now() + make_interval(secs => :grace), done_at = NULL
         WHERE id = :id AND state = 'dead'
        RETURNING step, subject, generation, CAST(NULL AS timestamptz) AS not_before, signature, correlation
        """,
        id=found.work_id,
        signature=signature,
        grace=grace_s,
    )


def switch_off(tx: Transaction, switch: str, *, reason: str, actor: str) -> bool:
    """Stop every step that names a switch; False when it was off, and the first reason stays. Raises BrokenRule for a switch that nobody knows.

    Once `sign` is off nothing is signed, not even by who was about to.
    """
    if switch == "sign":
        wallet.lock_all(tx)
    made = tx.run("INSERT INTO machine_pause (switch, reason) VALUES (:switch, :reason) ON CONFLICT (switch) DO NOTHING", switch=switch, reason=reason)
    if made:
        audit.record(tx, actor=actor, action="pause", subject=switch, reason=reason)
    return made == 1


def switch_on(tx: Transaction, switch: str, *, reason: str, actor: str) -> bool:
    """Let a machine's steps go on; False when it was not switched off."""
    audit.record(tx, actor=actor, action="resume", subject=switch, reason=reason)
    return tx.run("DELETE FROM machine_pause WHERE switch = :switch", switch=switch) == 1
