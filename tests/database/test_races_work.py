"""Many hands on one unit of work: deliveries, the sweep, an operator's retry, and a holder who is late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from PGP_COMMON import failpoints
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Outcome
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import dead_letters
from PGP_COMMON.outbox import Wake
from PGP_COMMON.sweep import wake_due
from tests.support.crowd import a_crowd, at_once
from tests.support.engines import STEP, Bench

TURNS = 12


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url, pool=24)
    with made.db.reading() as tx:
        tx.run("CREATE TABLE effect (subject text)")
    yield made
    made.close()


def effect(job: Job[None]) -> Commit:
    def record(tx: Transaction) -> Outcome:
        tx.run("INSERT INTO effect VALUES (:subject)", subject=job.subject)
        return Done()

    return record


def effects(bench: Bench, subject: str) -> int:
    return int(bench.value("SELECT count(*) FROM effect WHERE subject = :subject", subject=subject))


def retry(bench: Bench, subject: str) -> list[Wake]:
    """What `pgp dead retry` does: reopen the work and resolve its letter, in one transaction; nothing when somebody has done so."""
    with bench.db.transaction() as tx:
        number = tx.value("SELECT id FROM failed_transactions WHERE subject = :subject AND resolved_at IS NULL", subject=subject)
        found = dead_letters.letter(tx, int(number)) if number is not None else None
        if found is None or found.resolved_at is not None:
            return []
        wakes = dead_letters.reopen(tx, found, signature="v1=k1:again", grace_s=0)
        dead_letters.resolve(tx, found, kind="retried", note="a race", actor="a person")
        return wakes


def sweep(bench: Bench) -> list[Wake]:
    woken: list[Wake] = []
    wake_due(bench.db, woken.extend, grace_s=60)
    return woken


def test_an_operators_retry_that_races_the_sweep_and_deliveries_runs_the_step_once(bench: Bench) -> None:
    """Two operators, two sweeps and four deliveries at once: one reopens it, its generation rises once for each wake-up, its effect happens once."""
    broken, mended = bench.engine(lambda _job: lambda _tx: Dead("odd")), bench.engine(effect)
    for turn in range(TURNS):
        subject = f"turn {turn}"
        bench.send(subject)
        assert broken.run(STEP, subject) == "dead"
        before = bench.value("SELECT generation FROM work WHERE subject = :s", s=subject)
        hands = [partial(retry, bench, subject)] * 2 + [partial(sweep, bench)] * 2
        given = at_once(*hands, *[partial(mended.run, STEP, subject)] * 4)
        reopened, woken = given[0] + given[1], [wake for wake in given[2] + given[3] if wake.subject == subject]
        assert len(reopened) == 1
        assert bench.value("SELECT generation FROM work WHERE subject = :s", s=subject) == before + 1 + len(woken)
        # Whoever delivered before it was open found it dead; its own wake-up comes after.
        assert mended.run(STEP, subject) in {"done", "held"}
        assert bench.value("SELECT state FROM work WHERE subject = :s", s=subject) == "done"
        assert effects(bench, subject) == 1
        assert bench.value("SELECT count(*) FROM failed_transactions WHERE subject = :s", s=subject) == 1
        assert bench.value("SELECT count(*) FROM audit_log WHERE action = 'dead letter retried'") == turn + 1


def test_a_retry_of_what_was_done_meanwhile_runs_nothing(bench: Bench) -> None:
    bench.send("1")
    assert bench.engine(lambda _job: lambda _tx: Dead("odd")).run(STEP, "1") == "dead"
    with bench.db.reading() as tx:
        tx.run("UPDATE work SET state = 'done' WHERE subject = '1'")
    assert retry(bench, "1") == []
    assert bench.engine(effect).run(STEP, "1") == "done"
    assert effects(bench, "1") == 0


def test_eight_sweeps_at_once_wake_each_row_once(bench: Bench) -> None:
    for turn in range(3):
        subjects = sorted(f"{turn}/{number:03}" for number in range(150))
        with bench.db.transaction() as tx:
            for subject in subjects:
                tx.send(STEP, subject)
        bench.move_clock(61 * (turn + 1))
        woken = [wake.subject for wakes in at_once(*[partial(sweep, bench)] * 8) for wake in wakes]
        assert sorted(subject for subject in woken if subject.startswith(f"{turn}/")) == subjects
        with bench.db.reading() as tx:
            tx.run("UPDATE work SET state = 'done'")


def test_a_retry_while_somebody_is_late_lets_only_the_new_holder_write(bench: Bench) -> None:
    """The late holder's lease ran out, another one gave the step up, a person reopened it: the late one still may not write."""
    started, go_on = threading.Event(), threading.Event()

    def slow(job: Job[None]) -> Commit:
        started.set()
        go_on.wait(20)
        return effect(job)

    bench.send("1")
    late: list[str] = []
    with a_crowd() as crowd:
        worker = crowd.start(lambda: late.append(bench.engine(slow).run(STEP, "1")))
        started.wait(20)
        bench.move_clock(91)
        assert bench.engine(lambda _job: lambda _tx: Dead("odd")).run(STEP, "1") == "dead"
        assert len(retry(bench, "1")) == 1
        go_on.set()
        worker.join()
    assert late == ["taken_over"]
    assert effects(bench, "1") == 0
    assert bench.engine(effect).run(STEP, "1") == "done"
    assert effects(bench, "1") == 1


def test_of_many_holders_whose_leases_ran_out_one_after_the_other_only_the_last_writes(bench: Bench) -> None:
    """Eight workers hang in the same step, each until after his lease; they all wake up at once."""
    bench.send("1")
    go_on, holding = threading.Event(), threading.Semaphore(0)

    def hang(job: Job[None]) -> Commit:
        holding.release()
        go_on.wait(30)
        return effect(job)

    results: list[str] = []
    with a_crowd() as crowd:
        workers = []
        for turn in range(8):
            workers.append(crowd.start(lambda: results.append(bench.engine(hang).run(STEP, "1"))))
            assert holding.acquire(timeout=20)
            bench.move_clock(91 * (turn + 1))
        go_on.set()
        for worker in workers:
            worker.join()
    assert sorted(results) == ["done"] + ["taken_over"] * 7
    assert effects(bench, "1") == 1


def test_a_wake_up_from_the_sweep_that_races_the_last_write_of_a_step_does_nothing(bench: Bench) -> None:
    engine = bench.engine(effect)
    for turn in range(TURNS):
        subject = f"swept {turn}"
        bench.send(subject)
        bench.move_clock(61)
        at_once(partial(sweep, bench), partial(engine.run, STEP, subject), partial(sweep, bench), partial(engine.run, STEP, subject))
        assert engine.run(STEP, subject) == "done"
        assert effects(bench, subject) == 1
        bench.move_clock(0)


def test_two_who_send_the_same_work_in_opposite_orders_lock_nobody_out(bench: Bench) -> None:
    subjects = [f"{number:03}" for number in range(400)]

    def send(mine: list[str]) -> None:
        with bench.db.transaction() as tx:
            for subject in mine:
                tx.send(STEP, subject)

    for turn in range(3):
        mine = [f"{turn}/{subject}" for subject in subjects]
        at_once(partial(send, mine), partial(send, mine[::-1]))
    assert bench.value("SELECT count(*) FROM work") == 3 * len(subjects)


def test_whoever_finds_it_held_goes_away_and_the_sweep_comes_back_when_the_holder_has_died(bench: Bench) -> None:
    """A delivery that is answered with "held" is forgotten by the queue: the row itself has to come back."""

    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    bench.send("1")
    engine = bench.engine(effect)
    failpoints.arm({f"{STEP}.claim.after": die})
    with pytest.raises(Killed):
        engine.run(STEP, "1")
    failpoints.disarm()
    assert engine.run(STEP, "1") == "held"
    assert sweep(bench) == []
    # Its lease and the grace of the sweep: then it is woken, and once.
    bench.move_clock(90 + 60 + 1)
    assert [wake.subject for wake in sweep(bench)] == ["1"]
    assert sweep(bench) == []
    assert engine.run(STEP, "1") == "done"
    assert effects(bench, "1") == 1


def test_nobody_is_woken_for_what_the_commit_refused(bench: Bench) -> None:
    """Books that do not balance are refused at the commit, after everything else was written."""
    with pytest.raises(BrokenRule), bench.db.transaction() as tx:
        tx.send(STEP, "1")
        tx.run("INSERT INTO ledger_tx (kind, reference) VALUES ('odd', '1')")
    assert bench.wakes == []
    assert bench.value("SELECT count(*) FROM work") == 0
