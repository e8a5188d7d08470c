"""This is the engine: claims a unit of work, runs its phases, and writes each outcome in one fenced transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from PGP_COMMON import log
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager, CommitUnknown, Transaction
from PGP_COMMON.directory import service_of
from PGP_COMMON.errors import Busy, GiveUp, Lost, PgpError, TryAgain, VendorDown
from PGP_COMMON.failpoints import failpoint
from PGP_COMMON.manifest import Step
from PGP_COMMON.outbox import Wake

C = TypeVar("C")
logger = log.get(__name__)

# A dispatch may arrive this much before the database's clock reaches the time; later than that the sweep would have to heal it.
EARLY_S = 2
# How long a paused switch keeps work away before it looks again.
PAUSED_WAIT_S = 30
PHASES = 12


@dataclass(frozen=True, slots=True)
class Done:
    """The step is finished."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """This recovery point is passed; go on at the next one."""

    point: str


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing is wrong; look again in so many seconds. Spends nothing of the budget."""

    seconds: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dead:
    """It cannot go on without a person."""

    reason: str
    detail: Mapping[str, Any] | None = None


Outcome = Done | Next | Later | Dead
# What a phase gives back: the writes of its one transaction, which end in an outcome.
Commit = Callable[[Transaction], Outcome]


@dataclass(frozen=True)
class Job(Generic[C]):
    """One claimed unit of work, with what its phases may use."""

    step: str
    subject: str
    point: str
    attempts: int
    fence: int
    db: BaseDatabaseManager
    config: BaseConfigManager
    clients: C

    @property
    def id(self) -> int:
        """The subject as a row's id."""
        return int(self.subject)


Phase = Callable[[Job[Any]], Commit]
# A step's phases by recovery point; the first is `start`.
Flow = Mapping[str, Phase]


@dataclass(frozen=True)
class Claim:
    """What the claim took."""

    id: int
    point: str
    fence: int
    attempts: int
    correlation: str


@dataclass(frozen=True)
class Standing:
    """How a unit of work stands when it could not be claimed."""

    id: int
    state: str
    leased: bool
    early: bool
    vendor_until: datetime | None
    switch_off: bool


class Engine:
    """Runs the steps of one service."""

    def __init__(
        self,
        *,
        db: BaseDatabaseManager,
        config: BaseConfigManager,
        clients: Any,
        flows: Mapping[str, Flow],
        publish: Callable[[list[Wake]], None],
    ) -> None:
        """Take the database, the clients of the phases, each step's phases, and who is told of wake-ups."""
        self.db, self.config, self.clients, self.flows, self.publish = db, config, clients, flows, publish
        self.grace_s = config.integer("WAKE_GRACE_S")

    def run(self, step_name: str, subject: str) -> str:
        """Work on one subject as far as it goes now; gives back what happened in a word.

        Raises Busy when the database is down; everything else that can happen is written to the row.
        """
        step = service_of(step_name)[1]
        owner = secrets.token_hex(8)
        failpoint(f"{step_name}.claim.before")
        claim = self._claim(step, subject, owner)
        if claim is None:
            return self._why_not(step, subject)
        failpoint(f"{step_name}.claim.after")
        held = log.correlation.set(claim.correlation)
        try:
            return self._work(step, subject, claim, owner)
        finally:
            log.correlation.reset(held)

    def _claim(self, step: Step, subject: str, owner: str) -> Claim | None:
        """Lease the row in one statement; None when it is done, held, early, or kept away by a pause."""
        with self.db.reading() as tx:
            return tx.one(
                Claim,
                """
                UPDATE work SET lease_owner = :owner, lease_until = pgp_now() + make_interval(secs => :lease), fence = fence + 1,
                       attempts = attempts + 1, wake_at = pgp_now() + make_interval(secs => CAST(:lease AS int) + CAST(:grace AS int))
                 WHERE step = :step AND subject = :subject AND state = 'open'
                   AND (lease_until IS NULL OR lease_until <= pgp_now())
                   AND not_before <= pgp_now() + make_interval(secs => :early)
                   AND NOT EXISTS (SELECT 1 FROM vendor_pause WHERE vendor = :vendor AND until > pgp_now())
                   AND (CAST(:switch AS text) = '' OR NOT is_switched_off(:switch))
                RETURNING id, point, fence, attempts, correlation
                """,
                owner=owner,
                lease=step.lease_s,
                grace=self.grace_s,
                step=step.name,
                subject=subject,
                early=EARLY_S,
                vendor=step.vendor,
                switch=step.switch,
            )

    def _why_not(self, step: Step, subject: str) -> str:
        """Say why a row could not be claimed, and see to it that it comes back by itself."""
        with self.db.reading() as tx:
            standing = tx.one(
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
        if standing is None:
            # A signed message about nothing: the database was restored to an earlier state. Nothing that arrived is lost.
            self._bury_unknown(step, subject)
            return "unknown"
        if standing.state != "open":
            return standing.state
        if standing.leased:
            return "held"
        if standing.early:
            return "early"
        if standing.vendor_until is not None or standing.switch_off:
            self._postpone(standing)
            return "paused"
        return "held"

    def _postpone(self, standing: Standing) -> None:
        with self.db.reading() as tx:
            wakes = tx.all(
                Wake,
                """
                UPDATE work SET not_before = w.at, wake_at = w.at + make_interval(secs => :grace), generation = generation + 1
                  FROM (SELECT greatest(coalesce(CAST(:until AS timestamptz), pgp_now()), pgp_now() + make_interval(secs => CAST(:wait AS int)))
                               + make_interval(secs => random() * 5) AS at) w
                 WHERE id = :id AND state = 'open' AND (lease_until IS NULL OR lease_until <= pgp_now())
                RETURNING step, subject, generation, not_before, signature, correlation
                """,
                id=standing.id,
                until=standing.vendor_until,
                wait=PAUSED_WAIT_S if standing.switch_off else 1,
                grace=self.grace_s,
            )
        self.publish(wakes)

    def _bury_unknown(self, step: Step, subject: str) -> None:
        with self.db.reading() as tx:
            bury(
                tx,
                source=step.name,
                subject=subject,
                reason="unknown_work",
                detail={"next": "a restored database? compare with the queue's tasks"},
            )

    def _work(self, step: Step, subject: str, claim: Claim, owner: str) -> str:
        """Run phases until the step is done, waits, or is given up."""
        point = claim.point
        for _ in range(PHASES):
            job: Job[Any] = Job(step.name, subject, point, claim.attempts, claim.fence, self.db, self.config, self.clients)
            try:
                commit = self.flows[step.name][point](job)
                failpoint(f"{step.name}.{point}.before_commit")
                outcome = self._record(claim, owner, step, commit)
                failpoint(f"{step.name}.{point}.after_commit")
            except CommitUnknown:
                # Neither done nor not done: whoever comes next reads the row. Our lease runs out, or it is done already.
                return "unknown_commit"
            except Busy:
                raise
            except (TryAgain, Lost) as error:
                return self._again(claim, owner, step, error)
            except GiveUp as error:
                return self._settle(claim, owner, Dead(error.reason, {"sentence": str(error), **error.data}), step)
            except PgpError:
                raise
            except Exception as error:
                logger.exception("a step broke", step=step.name, subject=subject, point=point)
                return self._again(claim, owner, step, error)
            if outcome is None:
                return "taken_over"
            if isinstance(outcome, Next):
                point = outcome.point
                continue
            return type(outcome).__name__.lower()
        raise RuntimeError(f"{step.name} never ends")

    def _record(self, claim: Claim, owner: str, step: Step, commit: Commit) -> Outcome | None:
        """The phase's writes and the row's new state, in one transaction; None when somebody else has taken over."""

        class TakenOver(Exception):
            """Leaves the transaction, never this function."""

        wakes: list[Wake] = []

        def write(tx: Transaction) -> Outcome:
            wakes.clear()
            outcome = commit(tx)
            found = self._close(tx, claim, owner, outcome)
            if found is None:
                raise TakenOver
            if isinstance(outcome, Later):
                wakes.append(found)
            if isinstance(outcome, Dead):
                bury(tx, source=step.name, subject=found.subject, reason=outcome.reason, detail=dict(outcome.detail or {}), work_id=claim.id)
            return outcome

        try:
            outcome = self.db.rerun(write)
        except TakenOver:
            return None
        if step.vendor in _paused_here and not isinstance(outcome, Dead):
            self._vendor_answers(step.vendor)
        if wakes:
            self.publish(wakes)
        return outcome

    def _close(self, tx: Transaction, claim: Claim, owner: str, outcome: Outcome) -> Wake | None:
        """Move the work row on, if the claim still holds."""
        state = {Done: "done", Dead: "dead"}.get(type(outcome), "open")
        return tx.one(
            Wake,
            """
            UPDATE work SET state = :state, point = coalesce(CAST(:point AS text), point), attempts = CASE WHEN :state = 'dead' THEN attempts ELSE 0 END,
                   done_at = CASE WHEN :state = 'open' THEN NULL ELSE pgp_now() END,
                   last_error = coalesce(CAST(:note AS text), last_error),
                   lease_owner = CASE WHEN CAST(:wait AS int) IS NULL AND :state = 'open' THEN lease_owner END,
                   lease_until = CASE WHEN CAST(:wait AS int) IS NULL AND :state = 'open' THEN lease_until END,
                   generation = generation + CASE WHEN CAST(:wait AS int) IS NULL THEN 0 ELSE 1 END,
                   not_before = CASE WHEN CAST(:wait AS int) IS NULL THEN not_before ELSE pgp_now() + make_interval(secs => CAST(:wait AS int)) END,
                   wake_at = CASE WHEN CAST(:wait AS int) IS NULL THEN wake_at
                                  ELSE pgp_now() + make_interval(secs => CAST(:wait AS int) + CAST(:grace AS int)) END
             WHERE id = :id AND fence = :fence AND lease_owner = :owner AND state = 'open'
            RETURNING step, subject, generation, not_before, signature, correlation
            """,
            id=claim.id,
            fence=claim.fence,
            owner=owner,
            state=state,
            point=outcome.point if isinstance(outcome, Next) else None,
            wait=outcome.seconds if isinstance(outcome, Later) else None,
            note=(outcome.reason or None) if isinstance(outcome, Later | Dead) else None,
            grace=self.grace_s,
        )

    def _settle(self, claim: Claim, owner: str, outcome: Dead, step: Step) -> str:
        logger.error("a step cannot go on; see `pgp dead list`", step=step.name, work=claim.id, reason=outcome.reason)
        return "dead" if self._record(claim, owner, step, lambda _tx: outcome) else "taken_over"

    def _again(self, claim: Claim, owner: str, step: Step, error: Exception) -> str:
        """Put the row back with a longer wait, or bury it when its budget is spent; leave a failing vendor alone for a while."""
        budget = step.budget
        sentence = f"{type(error).__name__}: {error}"[:500] if isinstance(error, PgpError) else type(error).__name__
        if claim.attempts >= budget.attempts:
            return self._settle(claim, owner, Dead("budget_spent", {"attempts": claim.attempts, "last": sentence}), step)
        wait = min(budget.first_wait_s * 2 ** min(claim.attempts - 1, 20), budget.longest_wait_s)
        if isinstance(error, TryAgain) and error.retry_after_s:
            wait = max(wait, error.retry_after_s)
        vendor = getattr(error, "vendor", None)
        with self.db.reading() as tx:
            if isinstance(error, VendorDown) and vendor == step.vendor and step.vendor:
                pause_vendor(tx, vendor=step.vendor, reason=sentence)
            wakes = tx.all(
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
                owner=owner,
                error=sentence,
                wait=wait,
                grace=self.grace_s,
            )
        logger.warning("a step will be tried again", step=step.name, wait_s=wait, attempt=claim.attempts, error=sentence)
        self.publish(wakes)
        return "retry" if wakes else "taken_over"

    def _vendor_answers(self, vendor: str) -> None:
        """A vendor that answered is no longer paused; the common case (no pause) costs nothing."""
        _paused_here.discard(vendor)
        with self.db.reading() as tx:
            tx.run("DELETE FROM vendor_pause WHERE vendor = :vendor AND until <= pgp_now()", vendor=vendor)


# Vendors that this process has seen fail, so that the first success clears the pause.
_paused_here: set[str] = set()


def pause_vendor(tx: Transaction, *, vendor: str, reason: str) -> None:
    """Keep everybody off a failing vendor for a while: 2 s, doubled on each failed probe up to 5 minutes (product.md 7.22)."""
    _paused_here.add(vendor)
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


def bury(tx: Transaction, *, source: str, subject: str, reason: str, detail: Mapping[str, Any] | None = None, work_id: int | None = None) -> bool:
    """Write a dead letter: what it is about, why it stopped, what helps; one open a subject of a source. False when there is one already."""
    written = tx.run(
        """
        INSERT INTO failed_transactions (source, subject, reason, detail, work_id)
        VALUES (:source, :subject, :reason, CAST(:detail AS jsonb), :work_id)
        ON CONFLICT (source, subject) WHERE resolved_at IS NULL DO NOTHING
        """,
        source=source,
        subject=subject,
        reason=reason,
        detail=json.dumps(dict(detail or {}), default=str),
        work_id=work_id,
    )
    return written == 1
