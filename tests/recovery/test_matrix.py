"""A sample of what `make crash` does in full: histories that end well, processes that die anywhere in them, and storms."""

from __future__ import annotations

import random

import pytest

from tests.simulation import points, storm
from tests.simulation.crash import faults_of, matrix
from tests.simulation.runs import Result, Run, play
from tests.simulation.scenarios import SCENARIOS

# So many of the matrix's runs, drawn anew each time; `make crash` makes all of them.
SAMPLE = 8


@pytest.fixture(scope="module")
def histories() -> list[Result]:
    """Every history once, without a crash."""
    return [play(Run(scenario.name, 7)) for scenario in SCENARIOS]


def test_every_history_comes_to_its_end_and_the_books_agree_with_everybodys(histories: list[Result]) -> None:
    assert [(result.run.scenario, faults_of(result), result.log) for result in histories if faults_of(result)] == []


def test_together_they_pass_every_place_that_the_manifest_promises(histories: list[Result]) -> None:
    assert points.missing(name for result in histories for name in result.passed) == []


def test_a_process_that_dies_anywhere_loses_nothing_doubles_nothing_and_leaves_nothing_behind(histories: list[Result], dice: random.Random) -> None:
    runs = matrix(histories, seed=7, pairs=SAMPLE, only="")
    sample = dice.sample(runs, SAMPLE)
    wrong = [(run.command, faults_of(result), result.log) for run in sample if faults_of(result := play(run))]
    assert wrong == []


def test_after_a_storm_everything_comes_to_its_end_by_itself(dice: random.Random) -> None:
    seed = dice.randrange(10**6)
    world = storm.play(seed)
    assert world.problems == [], f"python -m tests.simulation.storm --seeds 1 --first {seed}\n{world.log}"


def test_a_wallet_that_is_never_allowed_to_sign_is_called_stuck() -> None:
    """The checks can fail."""
    wrong = play(Run("sale", 7, {"transfer.sign.claim.after": frozenset(range(1, 10_000))}))
    assert wrong.count("stuck") > 0
