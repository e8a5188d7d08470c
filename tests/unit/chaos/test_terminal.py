"""What counts as over at the end of a chaos run, and which dead letters it may leave."""

from __future__ import annotations

from decimal import Decimal

import pytest

from PGP_COMMON.money_machines import MACHINES
from tests.chaos import letters, terminal
from tests.chaos.letters import Letter
from tests.chaos.shapes import RULES, Shape
from tests.chaos.terminal import ENDS, RESTS, Row, Threshold, unfinished

NOBODY: list[Threshold] = []
ETH = Decimal(10) ** 18
USDT = Decimal(10) ** 6


def test_every_machine_has_its_ends_and_no_state_is_made_up() -> None:
    assert set(ENDS) == {machine.name for machine in MACHINES}
    for machine in MACHINES:
        ends, rests = ENDS[machine.name], RESTS.get(machine.name, frozenset())
        assert ends | rests <= {state.value for state in machine.states}
        assert not ends & rests


def test_what_the_machine_itself_calls_an_end_is_one_unless_it_is_a_failure() -> None:
    failures = {("swap", "lost"), ("transfer", "failed_onchain"), ("transfer", "superseded")}
    for machine in MACHINES:
        assert set(machine.ends()) <= ENDS[machine.name] | {state for name, state in failures if name == machine.name}


@pytest.mark.parametrize(("machine", "state"), [(machine.name, state.value) for machine in MACHINES for state in machine.states])
def test_a_row_is_over_exactly_where_nobody_has_a_turn(machine: str, state: str) -> None:
    # The query leaves ends out, so that every row that comes is under way or rests.
    left = unfinished([Row(machine, "7", state, "", 1, Decimal(1))], NOBODY)
    assert bool(left) == (state not in RESTS.get(machine, frozenset()))


def test_a_little_may_wait_for_more_and_much_may_not() -> None:
    little, much = Row("accumulation", "1", "pending", "", 1, ETH * 4 / 3500), Row("accumulation", "2", "pending", "", 1, ETH * 2 / 3500)
    assert unfinished([little], NOBODY) == []
    assert unfinished([little, much], NOBODY) == ["2 accumulations worth $6.00 are pending"]


def test_money_that_has_not_arrived_is_still_on_its_way() -> None:
    assert unfinished([Row("accumulation", "1", "pending", "not arrived", 1, Decimal(1))], NOBODY) == ["accumulation 1 has not arrived"]


def test_an_owner_keeps_what_is_below_his_threshold_only() -> None:
    rows = [Row("accumulation", "1", "converted", "", 1, 19 * USDT), Row("accumulation", "2", "converted", "", 2, 19 * USDT)]
    assert unfinished(rows, [Threshold(1, Decimal(20)), Threshold(2, Decimal(20))]) == []
    rows.append(Row("accumulation", "3", "converted", "", 2, 1 * USDT))
    assert unfinished(rows, [Threshold(1, Decimal(20)), Threshold(2, Decimal(20))]) == ["owner 2 has $20.00, and is paid from $20.00 on"]


def test_schedules_are_never_over_and_everything_else_is() -> None:
    assert "work.sweep" in terminal.SCHEDULED
    assert "payment.settle" not in terminal.SCHEDULED


def letter(reason: str, *, source: str = letters.REVIEW, payment: str | None = "11") -> Letter:
    return Letter(source, "1", reason, payment, "{}")


def test_only_the_shape_of_a_payment_explains_its_letter() -> None:
    assert letters.unexplained([letter("refunded")], shapes={"11": Shape.REFUNDED}, met={}) == []
    for shapes in ({"11": Shape.WHOLE}, {"11": Shape.WORTHLESS}, {"12": Shape.REFUNDED}, {}):
        assert len(letters.unexplained([letter("refunded")], shapes=shapes, met={})) == 1
    assert len(letters.unexplained([letter("refunded", source="elsewhere")], shapes={"11": Shape.REFUNDED}, met={})) == 1


def test_a_letter_about_lost_answers_needs_as_many_lost_answers() -> None:
    spent = letter("creates_spent", source="swap.create", payment=None)
    lost = {
        ("changenow", "POST /v2/exchange", "lost_answer"): 2,
        ("changenow", "POST /v2/exchange", "delay"): 9,
        ("changenow", "GET /v2/exchange/by-id", "timeout"): 9,
    }
    assert len(letters.unexplained([spent], shapes={}, met=lost)) == 1
    assert letters.unexplained([spent], shapes={}, met={**lost, ("changenow", "POST /v2/exchange", "timeout"): 1}) == []


def test_no_fault_explains_a_spent_budget_or_a_frozen_wallet() -> None:
    met = {("changenow", "POST /v2/exchange", mode): 1000 for mode in letters.LOST}
    for reason in ("budget_spent", "wallet_frozen", "bad_answer", "bug"):
        assert len(letters.unexplained([letter(reason, source="swap.create", payment=None)], shapes={}, met=met)) == 1


def test_a_payment_that_should_wait_for_a_person_and_does_not_is_named() -> None:
    shapes = {"11": Shape.REFUNDED, "12": Shape.WHOLE}
    assert letters.missing([letter("refunded")], shapes=shapes) == []
    assert letters.missing([], shapes=shapes) == ["payment 11 is refunded, and its letter is missing"]
    assert letters.missing([letter("below_floor")], shapes=shapes) == ["payment 11 is refunded, and its letter is below_floor"]
    assert {shape for shape, rule in RULES.items() if rule.letter} == {Shape.REFUNDED, Shape.WORTHLESS}
