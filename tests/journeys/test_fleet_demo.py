"""The main job is played on real processes, some of which are killed meanwhile; its traces and its failures are told in plain words."""

from __future__ import annotations

import json
import random
import re
import signal

import pytest

from PGP_COMMON.fleet import FLEET
from tests.support.running_fleet import Fleet, wait_until

pytestmark = pytest.mark.fleet
HASH = re.compile(r"^ {4}(0x[0-9a-f]{64})$", re.MULTILINE)


@pytest.fixture(scope="package")
def played(fleet: Fleet) -> str:
    """What the demonstration said, with the queue and a service killed in the middle of it."""
    victim = random.choice([service.name for service in FLEET])
    play = fleet.start("demo")
    play.until_said("the ETH arrives")
    killed = {"cloudtasks": fleet.kill("cloudtasks")}
    play.until_said("every owner is paid")
    killed[victim] = fleet.kill(victim)
    status = play.ended()
    assert status == 0, f"with {victim} killed: {play.said}"
    for name, pid in killed.items():
        wait_until(lambda name=name, pid=pid: fleet.is_back(name, not_pid=pid), what=f"the return of {name}")
    return play.said


def test_the_demonstration_ends_well_although_the_queue_and_a_service_are_killed(played: str) -> None:
    assert "✅ played in" in played
    assert len(HASH.findall(played)) >= 4


def test_after_the_killings_the_doctor_finds_nothing(fleet: Fleet, played: str) -> None:
    assert fleet.sound("doctor") == "✅ nothing is wrong\n"


def test_a_payment_can_be_traced_to_its_transactions_and_back(fleet: Fleet, played: str) -> None:
    found = re.search(r"The journey of payment (\d+)", played)
    assert found
    forward = json.loads(fleet.sound("trace", found[1], "--json"))
    assert [event["at"] for event in forward] == sorted(event["at"] for event in forward)
    whats = {event["what"] for event in forward}
    assert {"invoice", "order", "payment", "credit", "invite", "arrival", "conversion", "payout", "swap", "transfer", "transaction", "message", "work"} <= whats
    # From any of our transactions the way back leads to the payment.
    for sent in [event["subject"] for event in forward if event["what"] == "transaction"]:
        assert sent in played
        backward = json.loads(fleet.sound("trace", sent, "--json"))
        assert ("credit", found[1]) in {(event["what"], event["subject"]) for event in backward}
    # What a pipe gets is a line an event, every hash whole.
    lines = fleet.sound("trace", found[1]).splitlines()
    assert len(lines) == len(forward)
    assert all(line.startswith("20") for line in lines)


def test_a_demonstration_that_is_broken_off_says_so_and_leaves_the_fleet_as_it_is(fleet: Fleet) -> None:
    before = fleet.pids()
    play = fleet.start("demo")
    play.until_said("buyers open the bot")
    play.process.send_signal(signal.SIGINT)
    assert play.ended(timeout_s=20) == 130
    assert play.said.endswith("the play was broken off\n")
    assert "Traceback" not in play.said
    assert fleet.pids() == before


def test_what_nobody_knows_cannot_be_traced_and_is_answered_with_a_sentence(fleet: Fleet) -> None:
    ended = fleet.pgp("trace", "payout:999999999")
    assert ended.returncode == 1
    assert ended.stderr.startswith("nobody knows payout:999999999")
    assert "Traceback" not in ended.stderr
