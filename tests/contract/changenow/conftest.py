"""A running ChangeNOW for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from deploy.simulators.chain.deploy import mint
from deploy.simulators.chain.node import transfer_data
from tests.contract.conftest import TOKEN_KEY, Chain
from tests.support.simulators import Simulator, eventually, simulator

API_KEY = "test-api-key"
QUICK = ("--step-s", "0.05", "--poll-s", "0.05", "--confirmations", "1")


@dataclass
class Market:
    """A running exchange on a chain, and a payer with money."""

    vendor: Simulator
    chain: Chain
    payer: Any

    def order(self, source: str, target: str, amount: str, **more: Any) -> dict[str, Any]:
        """Make an exchange; `source` and `target` are "ticker:network"."""
        names = ("fromCurrency", "fromNetwork", "toCurrency", "toNetwork")
        pair = dict(zip(names, (*source.split(":"), *target.split(":")), strict=True))
        fixed = more.pop("fixed", True)
        body = {**pair, "fromAmount": amount, "flow": "fixed-rate" if fixed else "standard", "refundAddress": self.payer.address}
        if fixed and "rateId" not in more:
            body["rateId"] = self.estimate(pair, amount)["rateId"]
        answer = self.vendor.http.post("/v2/exchange", json=body | more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def estimate(self, pair: dict[str, str], amount: str) -> dict[str, Any]:
        query = {**pair, "fromAmount": amount, "flow": "fixed-rate", "useRateId": "true"}
        return self.vendor.http.get("/v2/exchange/estimated-amount", params=query).json()

    def look(self, made: dict[str, Any]) -> dict[str, Any]:
        return self.vendor.http.get("/v2/exchange/by-id", params={"id": made["id"]}).json()

    def becomes(self, made: dict[str, Any], status: str) -> dict[str, Any]:
        """Wait for a status."""
        return eventually(lambda: (found := self.look(made))["status"] == status and found)

    def send_eth(self, to: str, amount: str) -> str:
        return self._send({"to": to, "value": hex(int(Decimal(amount) * 10**18))})

    def send_usdt(self, to: str, amount: str) -> str:
        return self._send({"to": self.chain.token, "data": transfer_data(to, int(Decimal(amount) * 10**6))})

    def _send(self, call: dict[str, str]) -> str:
        self.chain.node.call("anvil_impersonateAccount", self.payer.address)
        tx_hash = self.chain.node.call("eth_sendTransaction", {"from": self.payer.address, **call})
        eventually(lambda: self.chain.node.receipt(tx_hash))
        return tx_hash

    def fresh(self) -> str:
        """Give the address of somebody who has nothing yet."""
        return Account.create().address

    def usdt(self, address: str) -> int:
        return self.chain.node.token_balance(self.chain.token, address)


def changenow(state_dir: Path, *flags: str):
    """Start it with the key that the records use."""
    return simulator("changenow", "--state-dir", state_dir, "--api-key", API_KEY, *flags, headers={"x-changenow-api-key": API_KEY})


@pytest.fixture(scope="package")
def rich(chain) -> tuple[str, ...]:
    """Flags of a vendor with a full hot wallet."""
    wallet = chain.account(10**24)
    mint(chain.url, TOKEN_KEY, chain.token, wallet.address, 10**12)
    return ("--rpc-url", chain.url, "--key", "0x" + bytes(wallet.key).hex(), "--token", chain.token, *QUICK)


@pytest.fixture(scope="package")
def payer(chain) -> Any:
    account = chain.account(10**24)
    mint(chain.url, TOKEN_KEY, chain.token, account.address, 10**12)
    return account


@pytest.fixture(scope="package")
def shop(tmp_path_factory, rich) -> Iterator[Simulator]:
    with changenow(tmp_path_factory.mktemp("changenow"), *rich) as running:
        yield running


@pytest.fixture
def market(shop, chain, payer) -> Market:
    shop.control("reset")
    return Market(shop, chain, payer)


@pytest.fixture(scope="package")
def vendor(tmp_path_factory) -> Iterator[Simulator]:
    """One without a chain, for the tests that only talk."""
    with changenow(tmp_path_factory.mktemp("changenow")) as running:
        yield running


@pytest.fixture
def own_market(tmp_path, chain, rich, payer):
    """A vendor of the test's own: call it with more flags."""

    def start(*flags: str):
        return changenow(tmp_path, *rich, *flags)

    return start, lambda running: Market(running, chain, payer)
