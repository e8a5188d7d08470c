"""The operator's commands tell the truth about a running fleet, and find what is planted in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

import pytest

from deploy.emulators import scheduler
from deploy.local import probes
from PGP_COMMON.fleet import FLEET
from tests.support.fake_exchange import an_address
from tests.support.running_fleet import Fleet, wait_until

pytestmark = pytest.mark.fleet


def test_the_status_has_its_stable_shape_and_says_where_everything_is(fleet: Fleet) -> None:
    told = fleet.status()
    assert set(told) == {"services", "database_url", "redis_url", "rpc_url", "tasks", "simulators", "secrets_file"}
    assert [service["name"] for service in told["services"]] == [service.name for service in FLEET]
    assert all(set(service) == {"name", "url", "pid", "ready"} and service["ready"] is True for service in told["services"])
    assert set(told["simulators"]) == {"nowpayments", "changenow", "telegram", "prices", "sendgrid", "laggard"}
    assert all(probes.listens(int(url.rpartition(":")[2])) for url in [*told["simulators"].values(), told["tasks"], told["rpc_url"]])
    assert told["database_url"].startswith("postgresql")
    assert told["redis_url"].startswith("redis://")
    assert told["secrets_file"] == str(fleet.state.secrets)


def test_a_second_up_changes_nothing(fleet: Fleet) -> None:
    before = fleet.pids()
    assert "together" in fleet.sound("up", "--detach")
    assert fleet.pids() == before


def test_killed_programs_are_back_at_their_addresses_after_an_up(fleet: Fleet) -> None:
    told = fleet.status()
    victims = {name: fleet.kill(name) for name in ("postgres", "anvil", "pgp-hostpay3-v1")}
    fleet.sound("up", "--detach", timeout_s=120)
    assert all(fleet.pids()[name] != pid for name, pid in victims.items())
    # Connections that the dead database had are noticed at their next use.
    wait_until(lambda: all(service["ready"] for service in fleet.status()["services"]), what="the return of every service")
    assert [service["url"] for service in fleet.status()["services"]] == [service["url"] for service in told["services"]]
    wait_until(lambda: fleet.pgp("doctor").returncode == 0, what="a content doctor")


def test_every_schedule_is_taken_and_can_be_rung_by_hand(fleet: Fleet) -> None:
    bell = scheduler.Bell(fleet.known)
    answers = {name: bell.ring(job, datetime.now(UTC)) for name, job in scheduler.jobs().items()}
    assert set(answers.values()) == {200}, answers
    assert fleet.sound("fire", "sweep") == "sweep: pgp-orchestrator-v1 took it\n"


def test_the_manifest_is_sound_and_what_is_rendered_from_it_is_up_to_date(fleet: Fleet) -> None:
    assert fleet.sound("fleet", "check") == "the manifest is sound\n"
    assert fleet.sound("fleet", "render", "--check") == "every rendered file is as the code says\n"


def test_what_an_operator_asks_for_is_signed_sent_and_told_by_the_fleet(fleet: Fleet) -> None:
    to, wei = an_address(), 10**15
    words = ("--asset", "eth", "--amount", "0.001", "--from", "equity", "--reason", "a test withdraws")
    told = fleet.sound("treasury", "withdraw", "--to", to, *words)
    assert told.endswith(f"takes 0.001 ETH from equity to {to}\n")
    number = told.split()[1]
    wait_until(lambda: json.loads(fleet.sound("transfer", "show", number, "--json"))["transfer"]["state"] == "final", what="a final transfer")
    assert int(fleet.world.rpc("eth_getBalance", to, "latest"), 16) == wei
    assert [entry["subject"] for entry in json.loads(fleet.sound("audit", "--action", "treasury.withdraw", "--limit", "1", "--json"))] == [f"transfer {number}"]
    wait_until(lambda: fleet.pgp("doctor").returncode == 0, what="a content doctor")
    held = json.loads(fleet.sound("treasury", "--json"))
    assert all(asset["held"] == asset["whose"] for asset in held["assets"].values())
    assert held["chain"]["units"] == held["chain"]["expected"]
    assert "operator" in {event["what"] for event in json.loads(fleet.sound("trace", f"transfer:{number}", "--json"))}


@contextmanager
def dead_letter(fleet: Fleet) -> Iterator[None]:
    """Something that waits for a person."""
    with fleet.db.transaction() as tx:
        tx.run("INSERT INTO failed_transactions (source, subject, reason) VALUES ('a test', '7', 'planted')")
    try:
        yield
    finally:
        with fleet.db.transaction() as tx:
            tx.run("UPDATE failed_transactions SET resolved_at = pgp_now() WHERE source = 'a test'")


@contextmanager
def frozen_wallet(fleet: Fleet) -> Iterator[None]:
    """A wallet that may not sign."""
    fleet.sound("wallet", "freeze", "--reason", "a test freezes it")
    try:
        yield
    finally:
        fleet.sound("wallet", "unfreeze", "--reason", "the test is over")


@contextmanager
def one_wei_too_much(fleet: Fleet) -> Iterator[None]:
    """A wallet that holds more than the books say."""
    _add_wei(fleet, 1)
    try:
        yield
    finally:
        _add_wei(fleet, -1)


def _add_wei(fleet: Fleet, wei: int) -> None:
    wallet = fleet.known["HOST_WALLET_ETH_ADDRESS"]
    held = int(fleet.world.rpc("eth_getBalance", wallet, "latest"), 16)
    fleet.world.rpc("anvil_setBalance", wallet, hex(held + wei))
    head = int(fleet.world.rpc("eth_blockNumber"), 16)
    wait_until(lambda: int(fleet.world.rpc("eth_getBlockByNumber", "finalized", False)["number"], 16) > head, what="a final block")  # noqa: FBT003 - the call takes it by position


def test_the_doctor_finds_a_dead_letter_a_frozen_wallet_and_a_wei_too_much(fleet: Fleet) -> None:
    with ExitStack() as planted:
        planted.enter_context(dead_letter(fleet))
        planted.enter_context(frozen_wallet(fleet))
        planted.enter_context(one_wei_too_much(fleet))
        ended = fleet.pgp("doctor", "--json")
        assert ended.returncode == 1
        found = [(finding["area"], finding["sentence"]) for finding in json.loads(ended.stdout)]
        assert len(found) == 3
        assert ("dead letter", "a test 7: planted") in found
        assert any(area == "wallet" and "is frozen: a test freezes it" in sentence for area, sentence in found)
        assert any(area == "wallet" and sentence.startswith("eth: ") and "(difference 1)" in sentence for area, sentence in found)
    assert fleet.sound("doctor") == "✅ nothing is wrong\n"
