"""This is the claim: who works on which row, until when, and with which fence; each change of it is one statement."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.manifest import Step
from PGP_COMMON.outbox import Wake

# A dispatch may arrive this much before the database's clock reaches the time; later than that the sweep would have to heal it.
EARLY_S: Final = 2
# How long a paused switch keeps work away before it looks again.
PAUSED_WAIT_S: Final = 30


@dataclass(frozen=True)
class Claim:
    """What the claim took. `vendor_failed`: the step's vendor was left alone until now, and this is a probe."""

    id: int
    owner: str
    point: str
    fence: int
    attempts: int
    correlation: str
    vendor_failed: bool


@dataclass(frozen=True)
class Standing:
    """How a unit of work stands when it could not be claimed."""

    id: int
    state: str
    leased: bool
    early: bool
    vendor_until: datetime | None
    switch_off: bool


@dataclass(frozen=True)
class Close:
    """How a phase leaves its row: the state, the next recovery point or the next time (seconds from now), and what it says of itself."""

    state: str
    point: str | None = None
    wait_s: int | None = None
    note: str | None = None
    outcome: str | None = None


def take(tx: Transaction, step: Step, subject: str, *, owner: str) -> Claim | None:
    """Lease the row; None when it is done, held, early, or kept away by a pause. The sweep may wake it as soon as the lease is over."""
    return tx.one(
        Claim,
        """
        UPDATE work SET lease_owner = :owner, lease_until = pgp_now() + make_interval(secs => :lease), fence = fence + 1, attempts = attempts + 1,
               started_at = coalesce(started_at, pgp_now()), wake_at = pgp_now() + make_interval(secs => :lease)
         WHERE step = :step AND subject = :subject AND state = 'open'
           AND (lease_until IS NULL OR lease_until <= pgp_now())
           AND not_before <= pgp_now() + make_interval(secs => :early)
           AND NOT EXISTS (SELECT 1 FROM vendor_pause WHERE vendor = :vendor AND until > pgp_now())
           AND (CAST(:switch AS text) = '' OR NOT is_switched_off(:switch))
        RETURNING id, lease_owner AS owner, point, fence, attempts, correlation,
                  EXISTS (SELECT 1 FROM vendor_pause WHERE vendor = :vendor) AS vendor_failed
        """,
        owner=owner,
        lease=step.lease_s,
        step=step.name,
        subject=subject,
        early=EARLY_S,
        vendor=step.vendor,
        switch=step.switch,
    )


def standing(tx: Transaction, step: Step, subject: str) -> Standing | None:
    """Why a row could not be claimed; None when there is no such row."""
    return tx.one(
        Standing,
        """
        SELECT id, state, coalesce(lease_until > pgp_now(), false) AS leased, not_before > pgp_now() + make_interval(secs => :early) AS early,
               (SELECT until FROM vendor_pause WHERE vendor = :vendor AND until > pgp_now()) AS vendor_until,
               is_switched_off(:switch) AS switch_off
          FROM work WHERE step = :step AND subject = :subject
        """,
        early=EARLY_S,
        vendor=step.vendor,
        switch=step.switch,
        step=step.name,
        subject=subject,
    )


def postpone(tx: Transaction, found: Standing, *, grace_s: int) -> list[Wake]:
    """Have a row come back when the pause that keeps it away is over; gives back whom to wake."""
    return tx.all(
        Wake,
        """
        UPDATE work SET not_before = w.at, wake_at = w.at + make_interval(secs => :grace), generation = generation + 1
          FROM (SELECT greatest(coalesce(CAST(:until AS timestamptz), pgp_now()), pgp_now() + make_interval(secs => CAST(:wait AS int)))
                       + make_interval(secs => random() * 5) AS at) w
         WHERE id = :id AND state = 'open' AND (lease_until IS NULL OR lease_until <= pgp_now())
        RETURNING step, subject, generation, not_before, signature, correlation
        """,
        id=found.id,
        until=found.vendor_until,
        wait=PAUSED_WAIT_S if found.switch_off else 1,
        grace=grace_s,
    )


def close(tx: Transaction, claim: Claim, end: Close, *, lease_s: int, grace_s: int) -> Wake | None:
    """Move the row on, if the claim still holds; None when somebody else has taken over. Whoever goes on at the next point has the whole lease again."""
    return tx.one(
        Wake,
        """
        UPDATE work SET state = :state, point = coalesce(CAST(:point AS text), point), attempts = CASE WHEN :state = 'dead' THEN attempts ELSE 0 END,
               done_at = CASE WHEN :state = 'open' THEN NULL ELSE pgp_now() END,
               last_error = coalesce(CAST(:note AS text), last_error), outcome = coalesce(CAST(:outcome AS text), outcome),
               lease_owner = CASE WHEN CAST(:wait AS int) IS NULL AND :state = 'open' THEN lease_owner END,
               lease_until = CASE WHEN CAST(:wait AS int) IS NULL AND :state = 'open' THEN pgp_now() + make_interval(secs => CAST(:lease AS int)) END,
               generation = generation + CASE WHEN CAST(:wait AS int) IS NULL THEN 0 ELSE 1 END,
               not_before = CASE WHEN CAST(:wait AS int) IS NULL THEN not_before ELSE pgp_now() + make_interval(secs => CAST(:wait AS int)) END,
               wake_at = CASE WHEN :state <> 'open' THEN wake_at
                              ELSE pgp_now() + make_interval(secs => coalesce(CAST(:wait AS int) + CAST(:grace AS int), CAST(:lease AS int))) END
         WHERE id = :id AND fence = :fence AND lease_owner = :owner AND state = 'open'
        RETURNING step, subject, generation, not_before, signature, correlation
        """,
        id=claim.id,
        fence=claim.fence,
        owner=claim.owner,
        state=end.state,
        point=end.point,
        wait=end.wait_s,
        note=end.note,
        outcome=end.outcome,
        lease=lease_s,
        grace=grace_s,
    )


def put_back(tx: Transaction, claim: Claim, *, error: str, wait_s: int, grace_s: int) -> list[Wake]:
    """Let the row be tried again in so many seconds, if the claim still holds; gives back whom to wake."""
    return tx.all(
        Wake,
        """
        UPDATE work SET lease_owner = NULL, lease_until = NULL, generation = generation + 1, last_error = :error,
               not_before = pgp_now() + make_interval(secs => :wait),
               wake_at = pgp_now() + make_interval(secs => CAST(:wait AS int) + CAST(:grace AS int))
         WHERE id = :id AND fence = :fence AND lease_owner = :owner AND state = 'open'
        RETURNING step, subject, generation, not_before, signature, correlation
        """,
        id=claim.id,
        fence=claim.fence,
        owner=claim.owner,
        error=error,
        wait=wait_s,
        grace=grace_s,
    )


def give_back(tx: Transaction, claim: Claim, *, grace_s: int) -> list[Wake]:
    """End the lease, so that somebody goes on at once from the row as it stands; no attempt is spent. Gives back whom to wake.

    A commit of ours that is still under way holds the row: the statement waits for it, and finds what it left.
    """
    return tx.all(
        Wake,
        """
        UPDATE work SET lease_owner = NULL, lease_until = NULL, attempts = greatest(attempts - 1, 0), generation = generation + 1,
               wake_at = pgp_now() + make_interval(secs => :grace)
         WHERE id = :id AND fence = :fence AND lease_owner = :owner AND state = 'open'
        RETURNING step, subject, generation, CAST(NULL AS timestamptz) AS not_before, signature, correlation
        """,
        id=claim.id,
        fence=claim.fence,
        owner=claim.owner,
        grace=grace_s,
    )


# --- vendors that are left alone


def pause_vendor(tx: Transaction, *, vendor: str, reason: str) -> None:
    """Keep everybody off a failing vendor for a while: 2 s, doubled on each failed probe up to 5 minutes (product.md 7.22)."""
    tx.run(
        """
        INSERT INTO vendor_pause AS p (vendor, until, reason) VALUES (:vendor, pgp_now() + interval '2 seconds', :reason)
        ON CONFLICT (vendor) DO UPDATE SET failures = p.failures + 1, reason = excluded.reason,
               until = pgp_now() + make_interval(secs => least(300, 2 * power(2, least(p.failures, 8))))
         WHERE p.until <= pgp_now()
        """,
        vendor=vendor,
        reason=reason,
    )


def trust_vendor(tx: Transaction, *, vendor: str) -> None:
    """Forget a vendor's pause that is over: it answers again, and its next failure is a first one."""
    tx.run("DELETE FROM vendor_pause WHERE vendor = :vendor AND until <= pgp_now()", vendor=vendor)
