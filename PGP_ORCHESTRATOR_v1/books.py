"""Holds the invariants against our own books; what is broken stops payouts by itself, and says which claim and where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Outcome, bury
from PGP_COMMON.money_machines import dead_letters, invariants, reconciliations
from PGP_COMMON.money_machines.invariants import Breach, Invariant, Since
from PGP_ORCHESTRATOR_v1.steps import Clients

CHECK: Final = "invariants"
AUDIT: Final = "invariants-full"
# How far a run over everything has come.
PART: Final = "invariants-part"
# A request ends within 120 s, and one statement may take 60.
RUN_S: Final = 40.0
A_DAY_S: Final = 24 * 3600
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
    """Hold every invariant against everything there is, as many statements at a time as a request allows; the next one goes on where this one stopped."""
    with job.db.reading() as tx:
        part = reconciliations.last(tx, PART)
        here = invariants.here(tx)
    going_on = part if part is not None and part.seen.get("piece", 0) and part.age_s < A_DAY_S else None
    first, before = (going_on.seen["piece"], going_on.breaks) if going_on else (0, [])
    here = _since(going_on) if going_on else here
    until, found, piece = time.monotonic() + RUN_S, [], first
    while piece == first or (piece < len(invariants.PIECES) and time.monotonic() < until):
        with job.db.transaction() as tx:
            found += invariants.breaches_of(tx, piece)
        piece += 1
    return partial(_record_part, job, here=here, piece=piece, found=found, before=before)


def _record_part(job: Job[Any], tx: Transaction, *, here: Since, piece: int, found: Found, before: list[dict[str, Any]]) -> Outcome:
    """Tell what this part found, and go on; at the end write the whole run down and forget old ones that found nothing."""
    if piece < len(invariants.PIECES):
        _tell_all(job, tx, found)
        breaks = [*before, *_breaks(found)][:MOST_KEPT]
        reconciliations.keep(tx, PART, compared=piece, breaks=breaks, seen={"history": here.history, "ledger": here.ledger, "piece": piece})
        return Later(1, f"goes on at piece {piece} of {len(invariants.PIECES)}")
    if before or reconciliations.last(tx, PART):
        reconciliations.keep(tx, PART, compared=piece, breaks=[])
    reconciliations.forget(tx, older_than_s=KEPT_S)
    return _record(job, tx, name=AUDIT, here=here, found=found, before=before)


def _record(job: Job[Any], tx: Transaction, *, name: str, here: Since, found: Found, before: Sequence[dict[str, Any]] = ()) -> Outcome:
    """Write the run down; what was found in its earlier parts has been told."""
    _tell_all(job, tx, found)
    breaks = [*before, *_breaks(found)][:MOST_KEPT]
    reconciliations.keep(tx, name, compared=len(invariants.INVARIANTS), breaks=breaks, seen={"history": here.history, "ledger": here.ledger})
    return Done(f"{len(breaks)} breaches")


def _breaks(found: Found) -> list[dict[str, Any]]:
    return [{"claim": broken.code, "subject": breach.subject, "detail": breach.detail} for broken, breach in found[:MOST_KEPT]]


def _tell_all(job: Job[Any], tx: Transaction, found: Found) -> None:
    """Each new letter about a claim of money switches off what leads to a signature; a letter that is open has done so before.

    So an operator who has looked may resume while the letter is open, and is not overruled five minutes later; what breaks next stops again.
    """
    told: dict[str, int] = {}
    for broken, breach in (pair for pair in found if pair[0].letter):
        told[broken.code] = told.get(broken.code, 0) + 1
        if told[broken.code] <= MOST_LETTERS:
            _tell(job, tx, broken, breach)


def _tell(job: Job[Any], tx: Transaction, broken: Invariant, breach: Breach) -> None:
    detail = {"claim": broken.claim, "found": breach.detail, "next": "trace the subject; then `pgp resume`" if broken.stops else "trace the subject"}
    is_new = bury(tx, source=CHECK, subject=f"{broken.code} {breach.subject}"[:200], reason="broken", detail=detail)
    if is_new and broken.stops:
        reason = f"{broken.code} does not hold ({broken.claim}): {breach.subject}: {breach.detail}"[:500]
        for switch in SWITCHES:
            dead_letters.switch_off(tx, switch, reason=reason, actor=job.config.service.name)
