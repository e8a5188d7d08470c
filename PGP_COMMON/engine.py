"""This is the engine: claims a unit of work, runs its phases, and writes each outcome in one fenced transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from PGP_COMMON import claims, failpoints, log, shutdown
from PGP_COMMON.claims import Claim, Close
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager, CommitUnknown, Transaction
from PGP_COMMON.directory import service_of
from PGP_COMMON.errors import Busy, GiveUp, LockTimeout, Lost, PgpError, TryAgain, VendorDown
from PGP_COMMON.failpoints import failpoint
from PGP_COMMON.manifest import Step
from PGP_COMMON.outbox import Wake

C = TypeVar("C")
logger = log.get(__name__)

# More recovery points than any step has: one that never ends is a bug.
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

        Raises Busy when the database is down or this process ends; everything else that can happen is written to the row.
        """
        step = service_of(step_name)[1]
        place = failpoints.here.set(step_name)
        try:
            result = self._claim_and_work(step, subject)
            failpoints.here.set(step_name)
            failpoint("reply")
        except LockTimeout as error:
            # What holds the row is a transaction that the server has not yet given up, or a stall: the queue asks again.
            raise Busy("the work's row is held") from error
        finally:
            failpoints.here.reset(place)
        return result

    def _claim_and_work(self, step: Step, subject: str) -> str:
        if shutdown.is_near():
            raise Busy("this process ends", retry_after_s=1)
        failpoint("claim.before")
        with self.db.reading() as tx:
            claim = claims.take(tx, step, subject, owner=secrets.token_hex(8))
        if claim is None:
            return self._why_not(step, subject)
        failpoint("claim.after")
        held = log.correlation.set(claim.correlation)
        try:
            return self._work(step, subject, claim)
        finally:
            log.correlation.reset(held)

    def _why_not(self, step: Step, subject: str) -> str:
        """Say why a row could not be claimed, and see to it that it comes back by itself."""
        with self.db.reading() as tx:
            standing = claims.standing(tx, step, subject)
            if standing is None:
                # A signed message about nothing: the database was restored to an earlier state. Nothing that arrived is lost.
                bury(tx, source=step.name, subject=subject, reason="unknown_work", detail={"next": "a restored database? compare with the queue's tasks"})
                return "unknown"
            if standing.state != "open":
                return standing.state
            if standing.leased:
                return "held"
            if standing.early:
                return "early"
            if standing.vendor_until is None and not standing.switch_off:
                return "held"
            wakes = claims.postpone(tx, standing, grace_s=self.grace_s)
        self.publish(wakes)
        return "paused"

    def _work(self, step: Step, subject: str, claim: Claim) -> str:
        """Run phases until the step is done, waits, or is given up."""
        if claim.attempts > step.budget.attempts:
            # Every process that took it died of it, or was killed over it: no other one may have to find out.
            return self._settle(claim, step, Dead("died_too_often", {"attempts": claim.attempts - 1}))
        point = claim.point
        for _ in range(PHASES):
            failpoints.here.set(f"{step.name}.{point}")
            ended = self._pass(step, Job(step.name, subject, point, claim.attempts, claim.fence, self.db, self.config, self.clients), claim)
            if isinstance(ended, str):
                return ended
            if shutdown.is_near():
                return self._give_back(claim)
            point = ended.point
        raise RuntimeError(f"{step.name} never ends")

    def _pass(self, step: Step, job: Job[Any], claim: Claim) -> Next | str:
        """Run one phase and write its outcome; gives back the next recovery point, or in a word how the step was left."""
        try:
            commit = self.flows[step.name][job.point](job)
            failpoint("before_commit")
            outcome = self._record(claim, step, commit)
            failpoint("after_commit")
        except CommitUnknown:
            # Neither done nor not done: never guessed, but read from the row.
            return self._give_back(claim)
        except Busy:
            raise
        except (TryAgain, Lost) as error:
            return self._again(claim, step, error)
        except GiveUp as error:
            return self._settle(claim, step, Dead(error.reason, {"sentence": str(error), **error.data}))
        except PgpError:
            raise
        except Exception as error:
            logger.exception("a step broke", step=step.name, subject=job.subject, point=job.point)
            return self._again(claim, step, error)
        if outcome is None:
            return "taken_over"
        return outcome if isinstance(outcome, Next) else type(outcome).__name__.lower()

    def _give_back(self, claim: Claim) -> str:
        """Let somebody go on from the row as it stands: this process ends, or does not know whether its commit happened."""
        with self.db.reading() as tx:
            wakes = claims.give_back(tx, claim, grace_s=self.grace_s)
        self.publish(wakes)
        return "given_back" if wakes else "recorded"

    def _record(self, claim: Claim, step: Step, commit: Commit) -> Outcome | None:
        """The phase's writes and the row's new state, in one transaction; None when somebody else has taken over."""

        class TakenOver(Exception):
            """Leaves the transaction, never this function."""

        wakes: list[Wake] = []

        def write(tx: Transaction) -> Outcome:
            wakes.clear()
            outcome = commit(tx)
            found = claims.close(tx, claim, _end(outcome), lease_s=step.lease_s, grace_s=self.grace_s)
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
        if claim.vendor_failed and not isinstance(outcome, Dead):
            with self.db.reading() as tx:
                claims.trust_vendor(tx, vendor=step.vendor)
        if wakes:
            self.publish(wakes)
        return outcome

    def _settle(self, claim: Claim, step: Step, outcome: Dead) -> str:
        logger.error("a step cannot go on; see `pgp dead list`", step=step.name, work=claim.id, reason=outcome.reason)
        return "dead" if self._record(claim, step, lambda _tx: outcome) else "taken_over"

    def _again(self, claim: Claim, step: Step, error: Exception) -> str:
        """Put the row back with a longer wait, or bury it when its budget is spent; leave a failing vendor alone for a while."""
        budget = step.budget
        sentence = f"{type(error).__name__}: {error}"[:500] if isinstance(error, PgpError) else type(error).__name__
        if claim.attempts >= budget.attempts:
            return self._settle(claim, step, Dead("budget_spent", {"attempts": claim.attempts, "last": sentence}))
        wait = min(budget.first_wait_s * 2 ** min(claim.attempts - 1, 20), budget.longest_wait_s)
        if isinstance(error, TryAgain) and error.retry_after_s:
            wait = max(wait, error.retry_after_s)
        failpoint("before_retry")
        with self.db.reading() as tx:
            if isinstance(error, VendorDown) and step.vendor and error.vendor == step.vendor:
                claims.pause_vendor(tx, vendor=step.vendor, reason=sentence)
            wakes = claims.put_back(tx, claim, error=sentence, wait_s=wait, grace_s=self.grace_s)
        logger.warning("a step will be tried again", step=step.name, wait_s=wait, attempt=claim.attempts, error=sentence)
        self.publish(wakes)
        return "retry" if wakes else "taken_over"


def _end(outcome: Outcome) -> Close:
    """How an outcome leaves the row."""
    match outcome:
        case Done(note):
            return Close("done", outcome=note or None)
        case Next(point):
            return Close("open", point=point)
        case Later(seconds, reason):
            return Close("open", wait_s=seconds, note=reason or None)
        case Dead(reason):
            return Close("dead", note=reason)


# A step dies while an alarm about it is open: the letter is the death's from then on, which can be retried, and keeps the alarm in its detail.
TAKE_OVER: Final = """
    DO UPDATE SET work_id = excluded.work_id, reason = excluded.reason,
                  detail = excluded.detail || jsonb_build_object('alarm', f.detail || jsonb_build_object('reason', f.reason))
     WHERE f.work_id IS NULL
"""


def bury(tx: Transaction, *, source: str, subject: str, reason: str, detail: Mapping[str, Any] | None = None, work_id: int | None = None) -> bool:
    """Write a dead letter: what it is about, why it stopped, what helps; one open a subject of a source. False when there is one already.

    A death (`work_id`) takes over an open alarm about its step, and an alarm about a dead step names it: `pgp dead retry` finds the step either way.
    """
    # Alarms come again and again, from many at once: they never wait for whoever holds the open letter. A death comes once.
    written = tx.run(
        """
        INSERT INTO failed_transactions AS f (source, subject, reason, detail, work_id)
        VALUES (:source, :subject, :reason, CAST(:detail AS jsonb),
                coalesce(CAST(:work_id AS bigint), (SELECT id FROM work WHERE step = :source AND subject = :subject AND state = 'dead')))
        ON CONFLICT (source, subject) WHERE resolved_at IS NULL
        """
        + ("DO NOTHING" if work_id is None else TAKE_OVER),
        source=source,
        subject=subject,
        reason=reason,
        detail=json.dumps(dict(detail or {}), default=str),
        work_id=work_id,
    )
    return written == 1
