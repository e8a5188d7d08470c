"""Holds the invariants against our own books; what is broken stops payouts by itself, and says which claim and where."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Outcome, bury
from PGP_COMMON.money_machines import dead_letters, invariants, reconciliations
from PGP_COMMON.money_machines.invariants import Breach, Invariant, Since
from PGP_ORCHESTRATOR_v1.steps import Clients

CHECK: Final = "invariants"
AUDIT: Final = "invariants-full"
# Whatever leads to a signature. What is signed is still watched, and notices, arrivals and invites go on.
SWITCHES: Final = ("convert", "payout_plan", "sign")
# One letter a broken row; a claim that breaks everywhere has more rows than anybody reads.
MOST_LETTERS: Final = 5
MOST_KEPT: Final = 100
# How long a run that found nothing is kept.
KEPT_S: Final = 30 * 24 * 3600

Found = list[tuple[Invariant, Breach]]


def check(job: Job[Clients]) -> Commit:
    """Hold every invariant against what has moved since the run before the last.

    A transaction that was open during the last run, and had its numbers before it, is over by now: it may last a few seconds, and runs are minutes apart.
    """
    with job.db.transaction() as tx:
        before = reconciliations.last_but_one(tx, CHECK) or reconciliations.last(tx, AUDIT)
        here = invariants.here(tx)
        found = invariants.breaches(tx, since=_since(before))
    return partial(_record, job, name=CHECK, here=here, found=found)


def _since(run: reconciliations.Run | None) -> Since:
    seen = {} if run is None else run.seen
    return Since(history=seen.get("history", 0), ledger=seen.get("ledger", 0))


def audit(job: Job[Clients]) -> Commit:
    """Hold every invariant against everything there is, and forget old runs that found nothing."""
    with job.db.transaction() as tx:
        here = invariants.here(tx)
        found = invariants.breaches(tx)
    return partial(_record, job, name=AUDIT, here=here, found=found)


def _record(job: Job[Any], tx: Transaction, *, name: str, here: Since, found: Found) -> Outcome:
    """Write the run down. Each new letter about a claim of money switches off what leads to a signature; a letter that is open has done so before.

    So an operator who has looked may resume while the letter is open, and is not overruled five minutes later; what breaks next stops again.
    """
    told: dict[str, int] = {}
    for broken, breach in found:
        told[broken.code] = told.get(broken.code, 0) + 1
        if told[broken.code] <= MOST_LETTERS:
            _tell(job, tx, broken, breach)
    breaks = [{"claim": broken.code, "subject": breach.subject, "detail": breach.detail} for broken, breach in found[:MOST_KEPT]]
    reconciliations.keep(tx, name, compared=len(invariants.INVARIANTS), breaks=breaks, seen={"history": here.history, "ledger": here.ledger})
    if name == AUDIT:
        reconciliations.forget(tx, older_than_s=KEPT_S)
    return Done(f"{len(found)} breaches")


def _tell(job: Job[Any], tx: Transaction, broken: Invariant, breach: Breach) -> None:
    detail = {"claim": broken.claim, "found": breach.detail, "next": "trace the subject; then `pgp resume`" if broken.stops else "trace the subject"}
    is_new = bury(tx, source=CHECK, subject=f"{broken.code} {breach.subject}"[:200], reason="broken", detail=detail)
    if is_new and broken.stops:
        reason = f"{broken.code} does not hold ({broken.claim}): {breach.subject}: {breach.detail}"[:500]
        for switch in SWITCHES:
            dead_letters.switch_off(tx, switch, reason=reason, actor=job.config.service.name)
