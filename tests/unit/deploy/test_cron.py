"""A cron expression means exactly its minutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from deploy.emulators.cron import matches, values
from PGP_COMMON.fleet import FLEET

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)  # a Sunday


def count(cron: str, minutes: int) -> int:
    return sum(matches(cron, MIDNIGHT + timedelta(minutes=n)) for n in range(minutes))


@pytest.mark.parametrize(
    ("cron", "in_a_day"),
    [("* * * * *", 1440), ("*/5 * * * *", 288), ("*/15 * * * *", 96), ("0 9 * * *", 1), ("0,30 9-17 * * *", 18), ("1-9/2 0 * * *", 5)],
)
def test_a_day_has_as_many_calls_as_the_expression_says(cron: str, in_a_day: int) -> None:
    assert count(cron, 1440) == in_a_day


@pytest.mark.parametrize(
    ("cron", "days"),
    [("0 0 * * 0", [1, 8]), ("0 0 * * 7", [1, 8]), ("0 0 * * 1", [2, 9]), ("0 0 3 * *", [3]), ("0 0 3 * 0", [1, 3, 8]), ("0 0 * 4 *", [])],
)
def test_days_of_the_month_and_of_the_week_are_alternatives(cron: str, days: list[int]) -> None:
    assert [day for day in range(1, 11) if matches(cron, MIDNIGHT + timedelta(days=day - 1))] == days


@pytest.mark.parametrize("cron", ["", "* * * *", "* * * * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "x * * * *", "* * 0 * *"])
def test_an_expression_that_means_nothing_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match=r"cron|invalid literal"):
        matches(cron, MIDNIGHT)


def test_every_schedule_of_the_manifest_can_be_read() -> None:
    crons = [route.schedule.cron for service in FLEET for route in service.routes if route.schedule]
    assert crons
    assert all(count(cron, 1440) > 0 for cron in crons)


def test_a_step_without_a_range_begins_at_the_lowest_value() -> None:
    assert values("*/20", 0, 59) == {0, 20, 40}
