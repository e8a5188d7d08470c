"""While the demonstration waits it says what is missing, and it does not wait for what only a person can mend."""

from __future__ import annotations

import io

import httpx
import pytest
from rich.console import Console

from deploy.local.demo.play import Play
from deploy.local.demo.telling import Telling
from deploy.local.demo.world import PlayError, World
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.engine import bury


def play(db: BaseDatabaseManager, settings: dict[str, str], said: io.StringIO, *, patience_s: float = 30) -> Play:
    """A play on a fleet of which nobody answers."""
    world = World(httpx.Client(), {}, {}, "", settings, patience_s=patience_s)
    return Play(world, db, Telling(Console(file=said, width=200)))


def letter(db: BaseDatabaseManager, subject: str) -> None:
    with db.transaction() as tx:
        bury(tx, source="transfer.watch", subject=subject, reason="budget_spent")


def test_a_wait_that_is_too_long_names_what_is_missing_and_what_holds_it_back(db: BaseDatabaseManager, settings: dict[str, str]) -> None:
    waiting = play(db, settings, io.StringIO(), patience_s=0)
    with db.transaction() as tx:
        tx.run("INSERT INTO machine_pause (switch, reason) VALUES ('payout_plan', 'an audit')")
    with pytest.raises(PlayError) as ended:
        waiting._wait_for("process", "the payouts", lambda: ["payout 7 to Boris is funding"], lambda _: None)
    assert str(ended.value).splitlines() == ["waited 0 s for the payouts, and:", "  payout 7 to Boris is funding", "  switch payout_plan is paused: an audit"]


def test_a_dead_letter_that_is_written_during_the_play_ends_the_wait(db: BaseDatabaseManager, settings: dict[str, str]) -> None:
    said = io.StringIO()
    letter(db, "6")
    waiting = play(db, settings, said)
    assert said.getvalue() == "beforehand: dead letter: transfer.watch 6: budget_spent\n"
    letter(db, "7")
    with pytest.raises(PlayError) as ended:
        waiting._wait_for("process", "the payouts", lambda: ["payout 7 to Boris is funding"], lambda _: None)
    assert str(ended.value).splitlines()[1:] == ["  dead letter: transfer.watch 7: budget_spent", "  payout 7 to Boris is funding"]


def test_a_wait_ends_when_nothing_is_missing_any_more(db: BaseDatabaseManager, settings: dict[str, str]) -> None:
    answers = iter([["payment 5 is pending"], ["payment 5 is pending", "payment 6 is pending"], []])
    told: list[str] = []
    play(db, settings, io.StringIO())._wait_for("check-threshold", "the conversion", lambda: next(answers), told.append)
    assert told == ["payment 5 is pending", "2 to go: payment 5 is pending"]


def test_a_database_that_is_being_started_again_is_asked_again(db: BaseDatabaseManager, settings: dict[str, str]) -> None:
    from PGP_COMMON.errors import DatabaseDown

    answers = iter([DatabaseDown(), None])

    def missing() -> list[str]:
        error = next(answers)
        if error:
            raise error
        return []

    play(db, settings, io.StringIO())._wait_for("process", "the payouts", missing, lambda _: None)
    assert next(answers, "all asked") == "all asked"


def test_books_that_do_not_agree_are_told_with_every_disagreement(db: BaseDatabaseManager, settings: dict[str, str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"payments": []})

    world = World(httpx.Client(transport=httpx.MockTransport(answer)), {}, {"nowpayments": "http://vendor.test"}, "", settings)
    comparing = Play(world, db, Telling(Console(file=io.StringIO())))
    with pytest.raises(PlayError) as ended:
        comparing._compare(lambda: ["invariant: I01"])
    lines = str(ended.value).splitlines()
    assert lines[0] == "the books do not agree:"
    assert lines[-2:] == ["  0 payouts for 4 owners", "  invariant: I01"]
    assert sum("is not credited" in line for line in lines) == 5
