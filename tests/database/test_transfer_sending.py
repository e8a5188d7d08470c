"""Transfers of our wallet on a real chain: each is paid once, whatever happens on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from PGP_COMMON import failpoints
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.money_machines import ledger
from PGP_HOSTPAY_v1.hostpay3_executor.steps import Clients
from tests.support.earnings import DOLLAR, ETHER
from tests.support.executor_model import Crash
from tests.support.fake_exchange import an_address
from tests.support.hostpay import CHAIN_ID, Harbour

GWEI = 10**9
ROOT = Path(__file__).parents[2]


def finish(harbour: Harbour, asked: int, state: str = "final") -> None:
    """Let a transfer end, and check that the chain, the rows and the books agree."""
    harbour.until(lambda: harbour.transfer(asked).state == state)
    harbour.work()
    harbour.check_books()
    assert harbour.account_of(ledger.wallet("eth")) == harbour.test_chain.node.balance(harbour.address)
    assert harbour.account_of(ledger.wallet("usdterc20")) == harbour.test_chain.received(harbour.address, token=True)


def only_signed(harbour: Harbour, **more: Any) -> int:
    """A transfer that is signed and that nobody has been given yet."""
    asked = harbour.ask(**more)
    assert harbour.run("transfer.sign", asked) == "done"
    assert harbour.transfer(asked).state == "signed"
    return asked


@pytest.mark.parametrize(("asset", "units"), [("eth", ETHER), ("usdterc20", 70 * DOLLAR)])
def test_a_transfer_is_signed_sent_mined_final_and_booked(harbour, asset, units):
    recipient = an_address()
    asked = harbour.ask(units=units, asset=asset, recipient=recipient)
    before = {name: harbour.account_of(ledger.wallet(name)) for name in ("eth", "usdterc20")}
    finish(harbour, asked)
    row = harbour.transfer(asked)
    assert (row.nonce, len(harbour.attempts(asked))) == (0, 1)
    assert harbour.test_chain.received(recipient, token=asset != "eth") == units
    assert harbour.account_of(ledger.in_flight(asset)) == 0
    assert harbour.account_of(ledger.gas_expense()) == row.gas_wei > 0
    spent = {"eth": row.gas_wei + (units if asset == "eth" else 0), "usdterc20": units if asset != "eth" else 0}
    assert {name: before[name] - harbour.account_of(ledger.wallet(name)) for name in before} == spent
    assert harbour.letters() == []


# --- the process dies


def crash_at(*names: str, call: int = 1, times: int = 1) -> list[int]:
    """Stop the process when one of these failpoints is reached for the n-th time; gives back how often they were reached."""
    reached = [0]

    def die() -> None:
        reached[0] += 1
        if call <= reached[0] < call + times:
            raise Crash

    failpoints.arm(dict.fromkeys(names, die))
    return reached


def keep_at_it(harbour: Harbour, asked: int) -> None:
    """Run the work like a queue that delivers again after each crash."""
    for _ in range(60):
        try:
            harbour.work()
        except Crash:
            continue
        if harbour.count("work", f"step = 'transfer.ended' AND subject = '{asked}' AND state = 'done'"):
            return
        harbour.test_chain.mine()
    raise AssertionError(harbour.transfer(asked))


POINTS = [
    f"{step}.{point}"
    for step in ("transfer.sign", "transfer.watch", "transfer.ended")
    for point in ("claim.before", "claim.after", "start.before_commit", "start.after_commit")
]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("name", POINTS)
def test_a_crash_at_any_point_pays_neither_twice_nor_never(harbour, name, times):
    recipient = an_address()
    reached = crash_at(name, times=times)
    asked = harbour.ask(units=70 * DOLLAR, recipient=recipient)
    keep_at_it(harbour, asked)
    assert reached[0] >= 1
    finish(harbour, asked)
    assert harbour.test_chain.received(recipient, token=True) == 70 * DOLLAR
    assert harbour.test_chain.node.nonce(harbour.address) == 1


@pytest.mark.parametrize("where", ["http.ethereum.sent", "http.ethereum.answered"])
def test_a_crash_at_any_question_to_the_chain_pays_neither_twice_nor_never(harbour, where):
    names = [f"{step}.start.{where}" for step in ("transfer.sign", "transfer.watch")]
    paid: dict[str, int] = {}
    for call in range(1, 40, 3):
        recipient = an_address()
        reached = crash_at(*names, call=call)
        asked = harbour.ask(units=DOLLAR, recipient=recipient)
        keep_at_it(harbour, asked)
        failpoints.disarm()
        if reached[0] < call:
            break
        paid[recipient] = harbour.test_chain.received(recipient, token=True)
        finish(harbour, asked)
    assert len(paid) >= 5
    assert set(paid.values()) == {DOLLAR}
    assert harbour.test_chain.node.nonce(harbour.address) == int(harbour.value("SELECT next_nonce FROM wallet"))


# A process of its own that dies without a word at the n-th time that a failpoint is reached.
KILLED = """
import json, os, sys
from PGP_COMMON import failpoints
from PGP_COMMON.directory import service_named
from PGP_COMMON.runtime import Runtime
environ, step, subject, point, call = json.loads(sys.stdin.read())
runtime = Runtime(service_named("pgp-hostpay3-v1"), environ)
runtime.db._publish = None
runtime.engine.publish = lambda wakes: None
reached = [0]
def die():
    reached[0] += 1
    if reached[0] == call:
        os._exit(137)
failpoints.arm({point: die})
runtime.engine.run(step, subject)
"""


@pytest.mark.parametrize(
    ("step", "point", "call"),
    [
        ("transfer.sign", "transfer.sign.start.before_commit", 1),
        ("transfer.sign", "transfer.sign.start.after_commit", 1),
        # The second thing that the first look asks is the sending of the bytes.
        ("transfer.watch", "transfer.watch.start.http.ethereum.answered", 2),
    ],
)
def test_a_process_that_is_killed_leaves_a_transfer_that_is_paid_once(harbour, step, point, call):
    recipient = an_address()
    asked = harbour.ask(units=DOLLAR, recipient=recipient)
    if step == "transfer.watch":
        harbour.run("transfer.sign", asked)
    told = json.dumps([harbour._environment, step, str(asked), point, call])
    ended = subprocess.run([sys.executable, "-c", KILLED], input=told, text=True, check=False, capture_output=True, cwd=ROOT)
    assert ended.returncode == 137, ended.stderr
    finish(harbour, asked)
    assert harbour.test_chain.received(recipient, token=True) == DOLLAR
    assert (harbour.test_chain.node.nonce(harbour.address), len(harbour.attempts(asked))) == (1, 1)


# --- answers are lost


class Flaky(httpx.BaseTransport):
    """Loses the answers, or the requests, of the next transactions that are sent."""

    def __init__(self, *, times: int, arrives: bool) -> None:
        self.inner, self.times, self.arrives = httpx.HTTPTransport(), times, arrives

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if b"eth_sendRawTransaction" in request.content and self.times:
            self.times -= 1
            if self.arrives:
                self.inner.handle_request(request).read()
            raise httpx.ReadTimeout("no answer")
        return self.inner.handle_request(request)


@pytest.mark.parametrize("arrives", [True, False])
def test_a_lost_answer_means_the_same_bytes_again(harbour, chain, arrives):
    flaky = Flaky(times=2, arrives=arrives)
    engine = harbour.services["pgp-hostpay3-v1"].engine
    engine.clients = Clients(Ethereum([chain.url], chain_id=CHAIN_ID, tokens={"usdterc20": chain.token}, transport=flaky))
    recipient = an_address()
    asked = harbour.ask(units=ETHER, asset="eth", recipient=recipient)
    finish(harbour, asked)
    assert flaky.times == 0 or arrives
    assert len(harbour.attempts(asked)) == 1
    assert chain.received(recipient, token=False) == ETHER


# --- the chain changes its mind


def test_a_transfer_that_a_pool_forgot_is_sent_again_with_the_same_bytes(harbour, chain):
    recipient = an_address()
    asked = only_signed(harbour, units=DOLLAR, recipient=recipient)
    harbour.work()
    tx_hash = harbour.attempts(asked)[0].tx_hash
    assert chain.node.call("anvil_dropTransaction", tx_hash) == tx_hash
    chain.mine()
    assert chain.node.receipt(tx_hash) is None
    finish(harbour, asked)
    assert [attempt.tx_hash for attempt in harbour.attempts(asked)] == [tx_hash]
    assert chain.received(recipient, token=True) == DOLLAR


def test_a_re_organisation_takes_a_transfer_back_and_it_is_paid_once(harbour, chain):
    recipient = an_address()
    asked = only_signed(harbour, units=ETHER, asset="eth", recipient=recipient)
    harbour.work()
    chain.mine()
    harbour.work()
    assert harbour.transfer(asked).state == "mined"
    chain.node.call("anvil_reorg", 1, [])
    assert chain.received(recipient, token=False) == 0
    harbour.until(lambda: harbour.transfer(asked).state == "broadcast", blocks=0)
    assert harbour.transfer(asked).mined_hash is None
    finish(harbour, asked)
    assert chain.received(recipient, token=False) == ETHER
    assert chain.node.nonce(harbour.address) == 1
    history = harbour.rows("SELECT target FROM state_history WHERE machine = 'transfer' ORDER BY id")
    assert [target for (target,) in history] == ["requested", "signed", "broadcast", "mined", "broadcast", "mined", "final"]


def test_a_transfer_that_moves_to_another_block_is_final_only_there(harbour, chain):
    asked = only_signed(harbour, units=ETHER, asset="eth")
    harbour.work()
    chain.mine()
    harbour.work()
    before = harbour.transfer(asked)
    raw = "0x" + harbour.attempts(asked)[0].raw.hex()
    chain.mine()
    chain.node.call("anvil_reorg", 2, [[raw, 1]])
    harbour.work()
    after = harbour.transfer(asked)
    assert after.state == "mined"
    assert (after.mined_block, after.mined_hash) == (before.mined_block + 1, before.mined_hash)
    finish(harbour, asked)


def test_fees_are_raised_when_the_chain_wants_more_and_any_attempt_may_be_mined(harbour, chain):
    recipient = an_address()
    asked = only_signed(harbour, units=DOLLAR, recipient=recipient)
    harbour.work()
    first = harbour.attempts(asked)[0]
    chain.base_fee(first.max_fee_wei * 3)
    harbour.work()
    assert len(harbour.attempts(asked)) == 1
    harbour.pass_time(60)
    harbour.work()
    second = harbour.attempts(asked)[1]
    assert second.max_fee_wei * 8 >= first.max_fee_wei * 9
    assert second.max_priority_wei * 8 >= first.max_priority_wei * 9
    assert second.max_fee_wei >= first.max_fee_wei * 3
    finish(harbour, asked)
    assert harbour.transfer(asked).mined_hash == second.tx_hash
    assert chain.received(recipient, token=True) == DOLLAR


def test_fees_are_never_raised_above_the_cap(harbour, chain):
    asked = only_signed(harbour, units=DOLLAR)
    cap = harbour.transfer(asked).max_total_fee_wei
    harbour.work()
    chain.base_fee(cap)
    for _ in range(4):
        harbour.pass_time(700)
        harbour.work()
    assert all(attempt.gas_limit * attempt.max_fee_wei <= cap for attempt in harbour.attempts(asked))
    assert ("transfer.watch", str(asked), "its fees are at their cap") in harbour.letters()
    chain.base_fee(GWEI)
    finish(harbour, asked)


def test_a_transaction_that_fails_on_the_chain_gives_its_units_back_in_the_books(harbour, chain):
    recipient = an_address()
    asked = only_signed(harbour, units=ETHER, asset="eth", recipient=recipient)
    # A contract appears at the address that refuses everything.
    chain.node.call("anvil_setCode", recipient, "0xfe")
    finish(harbour, asked, state="failed_onchain")
    assert harbour.account_of(ledger.in_flight("eth")) == 0
    assert harbour.account_of(ledger.gas_expense()) == harbour.transfer(asked).gas_wei > 0
    assert ("transfer.ended", str(asked), "transfer_failed_onchain") in harbour.letters()


# --- many at once


def test_predecessors_that_a_pool_forgot_are_sent_before_their_successor_waits_for_ever(harbour, chain):
    first, second = only_signed(harbour, units=DOLLAR), only_signed(harbour, units=DOLLAR)
    harbour.run("transfer.watch", second)
    chain.mine()
    assert harbour.transfer(second).state == "broadcast"
    harbour.until(lambda: harbour.transfer(second).state == "final")
    assert harbour.transfer(first).state in ("mined", "final")
