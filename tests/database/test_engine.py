"""The step engine: claims, leases, fences, budgets, pauses, the sweep, and a process that dies anywhere."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from PGP_COMMON import failpoints, shutdown
from PGP_COMMON.claims import pause_vendor
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Next, Outcome, Phase, bury
from PGP_COMMON.errors import AnswerLost, BadAnswer, Busy, DatabaseDown, VendorDown
from PGP_COMMON.money_machines import dead_letters
from PGP_COMMON.sweep import wake_due
from tests.support.engines import STEP, VENDOR_STEP, Bench
from tests.support.wire import Cut, a_wire


class Killed(BaseException):
    """The process dies here."""


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    made = Bench(database_url)
    with made.db.reading() as tx:
        tx.run("CREATE TABLE effect (n int)")
    yield made
    made.close()


def effect(_job: Job[None]) -> Commit:
    def record(tx: Transaction) -> Outcome:
        tx.run("INSERT INTO effect VALUES (1)")
        return Done("well")

    return record


def effects(bench: Bench) -> int:
    return int(bench.value("SELECT count(*) FROM effect"))


def test_a_step_runs_once_however_often_it_is_delivered(bench: Bench) -> None:
    bench.send()
    engine = bench.engine(effect)
    assert [engine.run(STEP, "1") for _ in range(4)] == ["done"] * 4
    assert effects(bench) == 1


def test_sending_the_same_work_again_is_nothing(bench: Bench) -> None:
    bench.send()
    bench.send()
    assert bench.value("SELECT count(*) FROM work") == 1
    assert len(bench.wakes) == 1


def test_twenty_deliveries_at_once_have_one_effect(bench: Bench) -> None:
    bench.send()
    engine = bench.engine(effect)
    results: list[str] = []
    threads = [threading.Thread(target=lambda: results.append(engine.run(STEP, "1"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert effects(bench) == 1
    assert set(results) <= {"done", "held"}


@pytest.mark.parametrize("where", ["claim.after", "start.before_commit"])
def test_a_process_that_dies_is_taken_over_after_its_lease_and_the_effect_happens_once(bench: Bench, where: str) -> None:
    bench.send()
    engine = bench.engine(effect)

    def die() -> None:
        failpoints.disarm()
        raise Killed

    failpoints.arm({f"{STEP}.{where}": die})
    with pytest.raises(Killed):
        engine.run(STEP, "1")
    assert engine.run(STEP, "1") == "held"
    bench.move_clock(91)
    assert engine.run(STEP, "1") == "done"
    assert effects(bench) == 1


def test_a_process_that_dies_after_its_commit_has_done_its_work(bench: Bench) -> None:
    bench.send()
    engine = bench.engine(effect)

    def die() -> None:
        raise Killed

    failpoints.arm({f"{STEP}.start.after_commit": die})
    with pytest.raises(Killed):
        engine.run(STEP, "1")
    failpoints.disarm()
    assert engine.run(STEP, "1") == "done"
    assert effects(bench) == 1


def test_work_resumes_at_the_recovery_point_it_had_passed(bench: Bench) -> None:
    passed: list[str] = []

    def first(_job: Job[None]) -> Commit:
        passed.append("first")
        return lambda _tx: Next("second")

    def second(_job: Job[None]) -> Commit:
        passed.append("second")
        if passed.count("second") == 1:
            raise Killed
        return lambda _tx: Done()

    bench.send()
    engine = bench.engine({"start": first, "second": second})
    with pytest.raises(Killed):
        engine.run(STEP, "1")
    bench.move_clock(91)
    assert engine.run(STEP, "1") == "done"
    assert passed == ["first", "second", "second"]


def test_whoever_passes_a_recovery_point_has_the_whole_lease_again(bench: Bench) -> None:
    def slow(point: str) -> Phase:
        def phase(_job: Job[None]) -> Commit:
            # Each phase takes less than the lease allows, and both together more.
            bench.move_clock({"start": 60, "second": 120}[point])
            return lambda _tx: Next("second") if point == "start" else Done()

        return phase

    bench.send()
    engine = bench.engine({"start": slow("start"), "second": slow("second")})
    assert engine.run(STEP, "1") == "done"

    def first(_job: Job[None]) -> Commit:
        bench.move_clock(200)
        return lambda _tx: Next("second")

    def hindered(_job: Job[None]) -> Commit:
        bench.move_clock(280)
        assert bench.engine(effect).run(STEP, "2") == "held"
        return lambda _tx: Done()

    bench.move_clock(120)
    bench.send("2")
    assert bench.engine({"start": first, "second": hindered}).run(STEP, "2") == "done"


def test_a_slow_worker_whose_lease_ran_out_cannot_write_what_another_has_written(bench: Bench) -> None:
    bench.send()
    started, go_on = threading.Event(), threading.Event()

    def slow(job: Job[None]) -> Commit:
        started.set()
        go_on.wait(10)
        return effect(job)

    results: list[str] = []
    worker = threading.Thread(target=lambda: results.append(bench.engine(slow).run(STEP, "1")))
    worker.start()
    started.wait(10)
    bench.move_clock(91)
    assert bench.engine(effect).run(STEP, "1") == "done"
    go_on.set()
    worker.join()
    assert results == ["taken_over"]
    assert effects(bench) == 1


def test_waiting_costs_nothing_of_the_budget_and_comes_back_as_a_new_task(bench: Bench) -> None:
    bench.send()
    engine = bench.engine(lambda _job: lambda _tx: Later(30, "not yet"))
    for turn in range(25):
        bench.move_clock(31 * turn)
        assert engine.run(STEP, "1") == "later"
    assert bench.value("SELECT state || attempts FROM work") == "open0"
    assert {wake.generation for wake in bench.wakes} == set(range(1, 27))
    assert engine.run(STEP, "1") == "early"


def test_a_passing_fault_is_tried_again_with_growing_waits_until_the_budget_is_spent(bench: Bench) -> None:
    def lost(_job: Job[None]) -> Commit:
        raise AnswerLost(vendor="somebody")

    bench.send()
    engine = bench.engine(lost)
    for turn in range(20):
        bench.move_clock(100 * turn)
        result = engine.run(STEP, "1")
    assert result == "dead"
    with bench.db.reading() as tx:
        assert tx.value("SELECT reason FROM failed_transactions WHERE resolved_at IS NULL") == "budget_spent"
        assert tx.value("SELECT count(*) FROM failed_transactions") == 1


def test_what_can_never_work_is_a_dead_letter_at_once_with_its_sentence(bench: Bench) -> None:
    def wrong(_job: Job[None]) -> Commit:
        raise BadAnswer("the amounts differ", vendor="somebody")

    bench.send()
    assert bench.engine(wrong).run(STEP, "1") == "dead"
    assert bench.value("SELECT reason || ': ' || (detail ->> 'sentence') FROM failed_transactions") == "bad_answer: the amounts differ"


def test_a_step_can_say_itself_that_it_needs_a_person(bench: Bench) -> None:
    bench.send()
    assert bench.engine(lambda _job: lambda _tx: Dead("odd", {"next": "look"})).run(STEP, "1") == "dead"
    assert bench.value("SELECT work_id IS NOT NULL FROM failed_transactions WHERE reason = 'odd'")


def alarm(bench: Bench) -> None:
    """Somebody wonders about the step, under its own name."""
    with bench.db.reading() as tx:
        bury(tx, source=STEP, subject="1", reason="slow", detail={"next": "ask"})


def test_a_step_that_dies_under_an_open_alarm_takes_its_letter_and_keeps_what_it_said(bench: Bench) -> None:
    bench.send()
    alarm(bench)
    assert bench.engine(lambda _job: lambda _tx: Dead("odd", {"next": "look"})).run(STEP, "1") == "dead"
    alarm(bench)
    with bench.db.reading() as tx:
        (letter,) = dead_letters.letters(tx)
    assert (letter.reason, letter.step) == ("odd", STEP)
    assert letter.detail == {"next": "look", "alarm": {"reason": "slow", "next": "ask"}}


def test_a_death_never_takes_the_letter_of_an_earlier_one(bench: Bench) -> None:
    bench.send()
    assert bench.engine(lambda _job: lambda _tx: Dead("odd")).run(STEP, "1") == "dead"
    with bench.db.reading() as tx:
        assert not bury(tx, source=STEP, subject="1", reason="later", work_id=int(tx.value("SELECT id FROM work")))
    assert bench.value("SELECT reason FROM failed_transactions") == "odd"


def test_an_alarm_about_a_dead_step_whose_letter_was_resolved_names_the_step(bench: Bench) -> None:
    bench.send()
    assert bench.engine(lambda _job: lambda _tx: Dead("odd")).run(STEP, "1") == "dead"
    with bench.db.reading() as tx:
        (letter,) = dead_letters.letters(tx)
        dead_letters.resolve(tx, letter, kind="ignored", note="too early", actor="a person")
    alarm(bench)
    with bench.db.reading() as tx:
        (letter,) = dead_letters.letters(tx)
    assert (letter.reason, letter.step) == ("slow", STEP)


def test_a_vendor_that_is_down_is_left_alone_by_everybody_and_probed_less_and_less(bench: Bench) -> None:
    calls: list[str] = []

    def down(job: Job[None]) -> Commit:
        calls.append(job.subject)
        raise VendorDown(vendor="nowpayments")

    for subject in ("1", "2"):
        bench.send(subject, step=VENDOR_STEP)
    engine = bench.engine(down, step=VENDOR_STEP)
    assert engine.run(VENDOR_STEP, "1") == "retry"
    assert engine.run(VENDOR_STEP, "2") == "paused"
    assert calls == ["1"]
    bench.move_clock(10)
    assert engine.run(VENDOR_STEP, "2") == "retry"
    assert bench.value("SELECT failures FROM vendor_pause") == 2
    bench.move_clock(400)
    assert bench.engine(effect, step=VENDOR_STEP).run(VENDOR_STEP, "1") == "done"
    assert bench.value("SELECT count(*) FROM vendor_pause") == 0


def test_a_vendor_whose_failure_another_process_saw_is_forgiven_by_whoever_it_answers(bench: Bench) -> None:
    # The process that wrote this is gone.
    with bench.db.reading() as tx:
        tx.run("INSERT INTO vendor_pause (vendor, until, failures, reason) VALUES ('nowpayments', pgp_now() - interval '1 hour', 8, 'gone')")
    bench.send(step=VENDOR_STEP)
    assert bench.engine(effect, step=VENDOR_STEP).run(VENDOR_STEP, "1") == "done"
    assert bench.value("SELECT count(*) FROM vendor_pause") == 0


def test_a_pause_that_began_while_we_asked_outlives_our_answer_and_is_forgiven_by_the_next(bench: Bench) -> None:
    def slow(job: Job[None]) -> Commit:
        with job.db.reading() as tx:
            pause_vendor(tx, vendor="nowpayments", reason="somebody else saw it fail meanwhile")
        return effect(job)

    for subject in ("1", "2"):
        bench.send(subject, step=VENDOR_STEP)
    assert bench.engine(slow, step=VENDOR_STEP).run(VENDOR_STEP, "1") == "done"
    assert bench.engine(effect, step=VENDOR_STEP).run(VENDOR_STEP, "2") == "paused"
    bench.move_clock(10)
    assert bench.engine(effect, step=VENDOR_STEP).run(VENDOR_STEP, "2") == "done"
    assert bench.value("SELECT count(*) FROM vendor_pause") == 0


def test_a_switched_off_machine_takes_no_work_and_goes_on_when_it_is_switched_on(bench: Bench) -> None:
    step = "transfer.sign"
    bench.send(step=step)
    engine = bench.engine(effect, step=step)
    with bench.db.reading() as tx:
        tx.run("INSERT INTO machine_pause (switch, reason) VALUES ('sign', 'drill')")
    assert engine.run(step, "1") == "paused"
    with bench.db.reading() as tx:
        tx.run("DELETE FROM machine_pause")
    bench.move_clock(60)
    assert engine.run(step, "1") == "done"


def test_the_sweep_wakes_what_nobody_answered_and_nothing_else(bench: Bench) -> None:
    bench.send("lost")
    bench.send("later", after_s=3600)
    bench.wakes.clear()
    assert wake_due(bench.db, bench.wakes.extend, grace_s=60) == 0
    bench.move_clock(61)
    assert wake_due(bench.db, bench.wakes.extend, grace_s=60) == 1
    assert [(wake.subject, wake.generation) for wake in bench.wakes] == [("lost", 2)]
    assert wake_due(bench.db, bench.wakes.extend, grace_s=60) == 0


def test_what_stays_unanswered_is_woken_less_and_less_but_never_forgotten(bench: Bench) -> None:
    bench.send("stuck in a long queue")
    bench.wakes.clear()
    found = []
    for minute in range(1, 61):
        bench.move_clock(60 * minute + 1)
        found += [minute] * wake_due(bench.db, bench.wakes.extend, grace_s=60)
    assert found[:3] == [1, 3, 7]
    assert all(later - earlier <= 11 for earlier, later in itertools.pairwise(found))
    assert len(found) < 12


def test_two_sweeps_at_once_wake_each_row_once(bench: Bench) -> None:
    for n in range(40):
        bench.send(str(n))
    bench.move_clock(61)
    bench.wakes.clear()
    threads = [threading.Thread(target=wake_due, args=(bench.db, bench.wakes.extend), kwargs={"grace_s": 60}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(wake.subject) for wake in bench.wakes) == list(range(40))


def test_work_that_is_sent_and_then_rolled_back_was_never_sent(bench: Bench) -> None:
    with pytest.raises(RuntimeError), bench.db.transaction() as tx:
        tx.send(STEP, "1")
        raise RuntimeError
    assert bench.value("SELECT count(*) FROM work") == 0
    assert bench.wakes == []


def test_a_message_about_unknown_work_is_kept_for_a_person_once(bench: Bench) -> None:
    engine = bench.engine(effect)
    assert [engine.run(STEP, "nobody") for _ in range(2)] == ["unknown"] * 2
    assert bench.value("SELECT count(*) FROM failed_transactions WHERE reason = 'unknown_work'") == 1


def test_a_database_that_is_away_is_our_own_trouble_and_nobody_elses(bench: Bench) -> None:
    away = Bench("postgresql+pg8000://nobody:nothing@127.0.0.1:9/nowhere")
    with pytest.raises(DatabaseDown):
        away.engine(effect).run(STEP, "1")
    away.close()


def test_a_connection_that_the_server_killed_is_replaced(bench: Bench) -> None:
    bench.send()
    other = Bench(bench.url)
    assert other.value("SELECT 1") == 1
    bench.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    results = []
    for _ in range(4):
        try:
            results.append(other.value("SELECT 1"))
        except DatabaseDown:
            results.append("down")
    assert results[-1] == 1
    other.close()


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_commit_that_nobody_heard_of_is_neither_lost_nor_doubled(bench: Bench, cut: Cut) -> None:
    bench.send()
    with a_wire(bench.url) as wire:
        far = Bench(wire.url)
        engine = far.engine(effect)
        wire.cut = cut
        result = engine.run(STEP, "1")
        assert (result, wire.cuts) == ("recorded" if cut == "after" else "given_back", 1)
        assert effects(bench) == (1 if cut == "after" else 0)
        # What was not done is somebody's at once: nobody waits for the lease.
        assert engine.run(STEP, "1") == "done"
        far.close()
    assert effects(bench) == 1
    assert bench.value("SELECT attempts FROM work") == 0


def test_a_transaction_that_the_server_has_not_given_up_yet_is_waited_for(bench: Bench) -> None:
    bench.send()
    with a_wire(bench.url) as wire:
        far = Bench(wire.url)
        engine = far.engine(effect)
        wire.cut = "silence"
        with pytest.raises(Busy):
            engine.run(STEP, "1")
        wire.close()
        far.close()
    bench.move_clock(91)
    assert bench.engine(effect).run(STEP, "1") == "done"
    assert effects(bench) == 1
    assert bench.value("SELECT count(*) FROM failed_transactions") == 0


def test_a_recovery_point_that_was_committed_without_an_answer_is_not_passed_twice(bench: Bench) -> None:
    def first(job: Job[None]) -> Commit:
        return lambda tx: effect(job)(tx) and Next("second")

    bench.send()
    with a_wire(bench.url) as wire:
        far = Bench(wire.url)
        engine = far.engine({"start": first, "second": lambda _job: lambda _tx: Done("well")})
        wire.cut = "after"
        assert engine.run(STEP, "1") == "given_back"
        assert bench.value("SELECT point FROM work") == "second"
        assert engine.run(STEP, "1") == "done"
        far.close()
    assert effects(bench) == 1


def test_work_that_kills_every_process_that_takes_it_is_given_to_a_person(bench: Bench) -> None:
    def deadly(_job: Job[None]) -> Commit:
        raise Killed

    bench.send()
    engine = bench.engine(deadly)
    for turn in range(20):
        bench.move_clock(100 * turn)
        with pytest.raises(Killed):
            engine.run(STEP, "1")
    bench.move_clock(3000)
    assert engine.run(STEP, "1") == "dead"
    assert bench.value("SELECT reason || ' ' || (detail ->> 'attempts') FROM failed_transactions") == "died_too_often 20"


def test_a_process_that_was_told_to_end_finishes_its_phase_and_hands_the_rest_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def first(job: Job[None]) -> Commit:
        shutdown.announce()
        return lambda tx: effect(job)(tx) and Next("second")

    bench.send()
    bench.send("2")
    engine = bench.engine({"start": first, "second": lambda _job: lambda _tx: Done("well")})
    bench.wakes.clear()
    monkeypatch.setattr(shutdown, "_near", threading.Event())
    assert engine.run(STEP, "1") == "given_back"
    assert [(wake.subject, wake.generation, wake.not_before) for wake in bench.wakes] == [("1", 2, None)]
    with pytest.raises(Busy):
        engine.run(STEP, "2")
    monkeypatch.undo()
    # Another process goes on at once, from the point that was passed.
    assert engine.run(STEP, "1") == "done"
    assert effects(bench) == 1
    assert bench.value("SELECT attempts FROM work WHERE subject = '1'") == 0


def test_a_vendor_that_answers_somebody_else_again_is_trusted_by_everybody(bench: Bench) -> None:
    def down(_job: Job[None]) -> Commit:
        raise VendorDown(vendor="nowpayments")

    for subject in ("1", "2"):
        bench.send(subject, step=VENDOR_STEP)
    assert bench.engine(down, step=VENDOR_STEP).run(VENDOR_STEP, "1") == "retry"
    bench.move_clock(10)
    # A process that has not seen it fail.
    other = Bench(bench.url)
    assert other.engine(effect, step=VENDOR_STEP).run(VENDOR_STEP, "2") == "done"
    assert bench.value("SELECT count(*) FROM vendor_pause") == 0
    other.close()


def test_a_finished_unit_of_work_says_when_it_began_when_it_ended_and_what_came_of_it(bench: Bench) -> None:
    bench.send()
    bench.engine(effect).run(STEP, "1")
    assert bench.value("SELECT started_at <= done_at AND outcome = 'well' FROM work")
