"""The doctor says what each comparison found, since when and what helps, and which comparison has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from PGP_COMMON.cli import doctor
from PGP_COMMON.money_machines import reconciliations
from PGP_COMMON.money_machines.reconciliations import JOBS, Run
from tests.support.earnings import DOLLAR, Town, a_town


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        made.services["pgp-orchestrator-v1"] = made.start("pgp-orchestrator-v1")
        # Time moves on here, and nobody does the work.
        made.known_breaches = (*made.known_breaches, "I17")
        yield made


def sentences(town: Town) -> list[str]:
    return [finding.sentence for finding in doctor.CHECKS["comparisons"](town._environment)]


def keep(town: Town, job: str, *breaks: dict[str, Any]) -> None:
    with town.db.transaction() as tx:
        reconciliations.keep(tx, job, compared=1, breaks=breaks)


def later(town: Town, seconds: int) -> None:
    with town.db.reading() as tx:
        sql: Any = f"CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now() + make_interval(secs => {seconds})'"
        tx.run(sql)


def test_a_fleet_that_has_just_begun_has_nothing_to_say(town: Town) -> None:
    town.fire("books.check")
    assert sentences(town) == []


def test_a_comparison_that_was_never_made_is_told_after_three_of_its_intervals(town: Town) -> None:
    town.fire("books.check")
    later(town, 3 * 300 + 60)
    assert len(sentences(town)) == sum(job.every_s == 300 for job in JOBS.values())
    assert all("were never compared" in sentence for sentence in sentences(town))
    later(town, 4 * 86_400)
    assert len(sentences(town)) == len(JOBS)


def test_a_comparison_that_stopped_is_told_and_one_that_goes_on_is_not(town: Town) -> None:
    town.fire("books.check")
    keep(town, "wallet")
    later(town, 1000)
    for job in set(JOBS) - {"wallet"}:
        keep(town, job)
    (told,) = sentences(town)
    assert told.startswith("what the wallet holds and our books, at one final block were last compared 16 minutes ago")


def test_what_may_be_under_way_is_a_difference_when_two_runs_agree_and_keeps_its_beginning(town: Town) -> None:
    town.fire("books.check")
    keep(town, "wallet", {"asset": "eth", "differs": "-5", "chain": "5", "books": "10", "block": 7})
    assert sentences(town) == []
    later(town, 400)
    keep(town, "wallet", {"asset": "eth", "differs": "-5", "chain": "6", "books": "11", "block": 9})
    (told,) = sentences(town)
    assert "differ since " in told
    assert "asset eth" in told
    assert "differs -5" in told
    assert told.endswith("find the transaction; a deposit is announced")
    with town.db.reading() as tx:
        run = reconciliations.last(tx, "wallet")
    assert isinstance(run, Run)
    assert run.breaks[0]["runs"] == 2
    # Another difference begins anew, and none ends it.
    keep(town, "wallet", {"asset": "eth", "differs": "-6"})
    assert sentences(town) == []
    keep(town, "wallet")
    assert sentences(town) == []


def test_what_stays_until_somebody_acts_is_a_difference_at_once(town: Town) -> None:
    town.fire("books.check")
    keep(town, "chain", {"transaction": "0xab", "nonce": 3, "found": "no row of ours made it"})
    assert ["pgp wallet adopt" in told and "0xab" in told for told in sentences(town)] == [True]


def test_what_was_found_by_the_daily_run_is_told_until_the_next_and_the_doctor_looks_only_at_what_moved_since(town: Town) -> None:
    town.available(town.owner(), 60 * DOLLAR)
    town.fire("payout.plan")
    town.drain(but=("payout.start", "books.audit"))
    town.run("books.audit", town.fire("books.audit"))
    with town.db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run("UPDATE split_payout_que SET units = units - 1")
    assert [finding.area for finding in doctor.CHECKS["books"](town._environment)] == []
    town.run("books.audit", town.fire("books.audit"))
    assert any("claim I08" in told and "subject 1" in told for told in sentences(town))
    assert any("I08 does not hold" in finding.sentence for finding in doctor.CHECKS["books"](town._environment))
    town.known_breaches = (*town.known_breaches, "I08")
