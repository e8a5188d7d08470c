"""A broken claim about the books stops payouts by itself and says which; an operator's word holds until something else breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from PGP_COMMON import failpoints
from PGP_COMMON.money_machines import dead_letters, invariants, reconciliations
from PGP_COMMON.money_machines.audit import Act
from PGP_ORCHESTRATOR_v1 import books
from tests.support.earnings import DOLLAR, Town, a_town

MONEY = ["convert", "payout_plan", "sign"]


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        made.services["pgp-orchestrator-v1"] = made.start("pgp-orchestrator-v1")
        yield made


def check(town: Town, step: str = "books.check") -> str:
    subject = town.fire(step)
    return town.run(step, subject)


def paused(town: Town) -> list[str]:
    return [str(switch) for (switch,) in town.rows("SELECT switch FROM machine_pause ORDER BY 1")]


def letters(town: Town) -> list[tuple[str, str]]:
    found = town.rows("SELECT subject, reason FROM failed_transactions WHERE source = 'invariants' AND resolved_at IS NULL ORDER BY id")
    return [(str(subject), str(reason)) for subject, reason in found]


def plant(town: Town, statement: Any) -> None:
    with town.db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run(statement)


def resume(town: Town) -> None:
    with town.db.transaction() as tx:
        for switch in MONEY:
            dead_letters.switch_on(tx, switch, reason="looked at", actor="a person")


@pytest.fixture
def broken(town: Town) -> Town:
    """A payout that is less than its accumulations."""
    town.available(town.owner(), 60 * DOLLAR)
    town.fire("payout.plan")
    town.drain(but=("payout.start", "books.check"))
    plant(town, "UPDATE split_payout_que SET units = units - 1")
    town.known_breaches = (*town.known_breaches, "I08")
    return town


def test_books_that_are_right_stop_nothing(town: Town) -> None:
    town.available(town.owner(), 60 * DOLLAR)
    for step in ("books.check", "books.audit", "books.check", "books.check"):
        assert check(town, step) == "done"
    assert (paused(town), letters(town)) == ([], [])
    assert town.rows("SELECT job, breaks FROM reconciliation ORDER BY id") == [
        (job, []) for job in ("invariants", "invariants-full", "invariants", "invariants")
    ]


@pytest.mark.parametrize("step", ["books.check", "books.audit"])
def test_a_broken_claim_stops_whatever_leads_to_a_signature_and_says_which_and_where(broken: Town, step: str) -> None:
    check(broken, step)
    assert paused(broken) == MONEY
    (reason,) = {reason for (reason,) in broken.rows("SELECT reason FROM machine_pause")}
    assert reason.startswith("I08 does not hold (a payout is the sum of its accumulations")
    assert ": 1: reserved: 59999999 but 60000000" in reason
    assert letters(broken) == [("I08 1", "broken")]
    assert broken.count("audit_log", "action = 'pause' AND actor = 'pgp-orchestrator-v1'") == 3
    assert broken.run("payout.start", "1") == "paused"
    assert broken.run("payout.plan", broken.fire("payout.plan")) == "paused"
    assert broken.run("conversion.plan", broken.fire("conversion.plan")) == "paused"


def test_the_same_breach_is_told_and_stops_once_and_an_operator_may_go_on(broken: Town) -> None:
    for _ in range(3):
        check(broken)
    assert broken.count("audit_log", "action = 'pause'") == 3
    assert len(letters(broken)) == 1
    resume(broken)
    for step in ("books.check", "books.audit"):
        check(broken, step)
    assert paused(broken) == []
    with broken.db.transaction() as tx:
        assert dead_letters.answer(tx, Act("a person", "a mistake"), ("invariants", "I08 1"))
    check(broken, "books.audit")
    assert paused(broken) == MONEY


def test_what_breaks_next_stops_again_although_an_operator_went_on(broken: Town) -> None:
    check(broken)
    resume(broken)
    plant(broken, "INSERT INTO ledger_account (code, asset, side, balance) VALUES ('suspense', 'eth', 'C', 5)")
    check(broken)
    assert paused(broken) == MONEY
    assert ("I01 eth", "broken") in letters(broken)
    broken.known_breaches = (*broken.known_breaches, "I01", "I02", "I24")


def test_what_costs_nobody_money_is_told_and_stops_nothing(town: Town) -> None:
    late = "INSERT INTO work (step, subject, wake_at, not_before, signature, correlation, sender) VALUES ('bot.say', '1', :at, :at, 's', 'c', 'x')"
    plant(town, late.replace(":at", "pgp_now() - interval '1 hour'"))
    check(town)
    assert letters(town) == [("I17 bot.say/1", "broken")]
    assert paused(town) == []
    town.known_breaches = (*town.known_breaches, "I17")


def test_a_claim_that_breaks_everywhere_writes_few_letters_and_keeps_its_count(town: Town) -> None:
    plant(town, "INSERT INTO ledger_tx (kind, reference, actor) SELECT 'odd', CAST(n AS text), 'x' FROM generate_series(1, 30) n")
    check(town)
    assert len(letters(town)) == 5
    with town.db.reading() as tx:
        assert len(reconciliations.last_breaks(tx, "invariants")) == 30
    town.known_breaches = (*town.known_breaches, "I03")


def test_a_breach_is_seen_although_its_transaction_was_open_during_the_run_before(broken: Town) -> None:
    """The run before had seen later numbers than those of the open transaction: the next one begins before that."""
    resume(broken)
    check(broken)
    with broken.db.reading() as tx:
        first = reconciliations.last(tx, "invariants")
    assert first is not None
    assert first.seen["history"] > 0
    with broken.db.transaction() as tx:
        tx.run("DELETE FROM failed_transactions")
        tx.run("DELETE FROM machine_pause")
    # Nothing has moved since the run; what moved before it is looked at once more.
    check(broken)
    assert paused(broken) == MONEY
    with broken.db.transaction() as tx:
        tx.run("DELETE FROM failed_transactions")
        tx.run("DELETE FROM machine_pause")
    check(broken)
    check(broken)
    assert paused(broken) == []


@pytest.mark.parametrize("point", ["books.check.start.before_commit", "books.check.start.after_commit", "books.check.claim.after"])
def test_a_crash_in_the_middle_stops_payouts_at_the_next_run_and_tells_once(broken: Town, point: str) -> None:
    def die() -> None:
        failpoints.disarm()
        raise Crash

    failpoints.arm({point: die})
    subject = broken.fire("books.check")
    with pytest.raises(Crash):
        broken.run("books.check", subject)
    broken.run("books.check", subject)
    check(broken)
    assert paused(broken) == MONEY
    assert letters(broken) == [("I08 1", "broken")]


def test_a_run_over_everything_that_takes_long_goes_on_where_it_stopped(broken: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "RUN_S", 0.0)
    subject = broken.fire("books.audit")
    turns = 0
    while broken.run("books.audit", subject) != "done":
        with broken.db.reading() as tx:
            tx.run("UPDATE work SET not_before = pgp_now() WHERE step = 'books.audit' AND state = 'open'")
        turns += 1
    assert turns == len(invariants.PIECES) - 1
    assert letters(broken) == [("I08 1", "broken")]
    assert paused(broken) == MONEY
    with broken.db.reading() as tx:
        run = reconciliations.last(tx, "invariants-full")
    assert run is not None
    assert ([found["claim"] for found in run.breaks], run.compared) == (["I08"], len(invariants.INVARIANTS))
    # The next one begins at its beginning.
    monkeypatch.undo()
    assert check(broken, "books.audit") == "done"


def test_old_runs_that_found_nothing_are_forgotten_and_the_newest_and_the_telling_ones_are_kept(town: Town) -> None:
    with town.db.transaction() as tx:
        for breaks, days in (([], 50), ([{"a": 1}], 50), ([], 40), ([], 1)):
            reconciliations.keep(tx, "wallet", compared=1, breaks=breaks)
            tx.run("UPDATE reconciliation SET at = pgp_now() - make_interval(days => :days) WHERE id = (SELECT max(id) FROM reconciliation)", days=days)
        reconciliations.keep(tx, "members", compared=1, breaks=[])
        tx.run("UPDATE reconciliation SET at = pgp_now() - interval '60 days' WHERE job = 'members'")
    check(town, "books.audit")
    assert town.rows("SELECT job, count(*) FROM reconciliation GROUP BY job ORDER BY job") == [("invariants-full", 1), ("members", 1), ("wallet", 2)]
