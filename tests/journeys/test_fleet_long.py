"""What takes minutes on real processes: play after play, over a stop and a start, two fleets at once, and a payout that is held up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import book, processes
from deploy.local.files import StateDir
from tests.support.running_fleet import DEMO_S, UP_S, Fleet, running_fleet, wait_until

pytestmark = [pytest.mark.fleet, pytest.mark.long, pytest.mark.timeout(1200)]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet that nobody has used."""
    with running_fleet(tmp_path / "state") as found:
        yield found


def urls(fleet: Fleet) -> set[str]:
    return {entry.url for entry in book.read(fleet.state.fleet).entries if entry.url}


def test_the_demonstration_ends_well_three_times_and_again_after_a_stop_and_a_start(fresh: Fleet) -> None:
    for _ in range(3):
        assert "✅ played in" in fresh.sound("demo", timeout_s=DEMO_S)
    assert fresh.sound("doctor") == "✅ nothing is wrong\n"
    before = urls(fresh)
    assert fresh.sound("down").startswith("ended ")
    assert processes.marked(fresh.state.mark()) == []
    assert fresh.sound("down") == "the fleet does not run\n"
    fresh.sound("up", "--detach", timeout_s=UP_S)
    assert urls(fresh) == before
    assert "✅ played in" in fresh.sound("demo", timeout_s=DEMO_S)


def test_two_fleets_play_side_by_side_and_one_outlives_the_other(fresh: Fleet, tmp_path: Path) -> None:
    with running_fleet(tmp_path / "other") as other:
        assert not urls(fresh) & urls(other)
        plays = [fresh.start("demo"), other.start("demo")]
        for play in plays:
            assert play.ended() == 0, play.said
        other.sound("down")
        assert processes.marked(other.state.mark()) == []
        assert all(service["ready"] for service in fresh.status()["services"])
        assert fresh.sound("doctor") == "✅ nothing is wrong\n"


def test_a_demonstration_without_a_fleet_starts_one_and_stops_it_however_it_ends(tmp_path: Path) -> None:
    fleet = Fleet(StateDir.at(tmp_path / "state"))
    said = fleet.sound("demo", timeout_s=UP_S + DEMO_S)
    assert "starting it for the play" in said
    assert "stopping the fleet that was started for this" in said
    assert processes.marked(fleet.state.mark()) == []
    # Broken off while its fleet comes up, and killed without a chance to stop it.
    for number, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        play = fleet.start("demo")
        play.until_said("✓ nowpayments ready")
        play.process.send_signal(number)
        assert play.ended(timeout_s=60) == status, play.said
        assert "Traceback" not in play.said
        wait_until(lambda: processes.marked(fleet.state.mark()) == [], timeout_s=60, what="the end of every process")


def test_a_payout_that_is_held_up_is_named_and_finishes_later(fresh: Fleet) -> None:
    play = fresh.start("demo", "--patience", "25")
    play.until_said("every owner is paid")
    fresh.sound("wallet", "freeze", "--reason", "a test holds payouts up")
    assert play.ended() == 1
    assert "Traceback" not in play.said
    assert "waited 25 s for the payouts, and:" in play.said
    assert "  payout " in play.said
    assert "is frozen: a test holds payouts up" in play.said
    fresh.sound("wallet", "unfreeze", "--reason", "the test is over")
    left = "SELECT count(*) FROM split_payout_que WHERE state <> 'settled'"
    wait_until(lambda: fresh.value(left) == 0, timeout_s=120, what="the settling of every payout")
    assert fresh.sound("doctor") == "✅ nothing is wrong\n"
