"""Transfers of our wallet on a real chain: sent once, whatever happens on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from PGP_COMMON import failpoints
from PGP_COMMON.money_machines import ledger
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import an_address
from tests.support.hostpay import Harbour, TestChain, a_chain, a_harbour


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    with a_harbour(database_url, chain) as made:
        yield made


@pytest.mark.parametrize(("asset", "units"), [("eth", ETHER), ("usdterc20", 70 * DOLLAR)])
def test_a_transfer_is_signed_sent_mined_and_final_and_booked(harbour, asset, units):
    recipient = an_address()
    asked = harbour.ask(units=units, asset=asset, recipient=recipient)
    before = {name: harbour.account_of(ledger.wallet(name)) for name in ("eth", "usdterc20")}
    harbour.until(lambda: harbour.transfer(asked).state == "final")
    harbour.work()
    row = harbour.transfer(asked)
    assert row.nonce == 0
    assert len(harbour.attempts(asked)) == 1
    assert harbour.test_chain.received(recipient, token=asset != "eth") == units
    assert row.gas_wei > 0
    assert harbour.account_of(ledger.in_flight(asset)) == 0
    assert harbour.account_of(ledger.gas_expense()) == row.gas_wei
    spent = {"eth": row.gas_wei + (units if asset == "eth" else 0), "usdterc20": units if asset != "eth" else 0}
    assert {name: before[name] - harbour.account_of(ledger.wallet(name)) for name in before} == spent
    assert harbour.account_of(ledger.wallet("eth")) == harbour.test_chain.node.balance(harbour.address)
    harbour.check_books()
    assert harbour.letters() == []
