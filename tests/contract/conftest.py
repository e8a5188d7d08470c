"""What the simulators' tests share: a chain with the test token on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from eth_account import Account

from deploy.simulators.chain.deploy import deploy_token
from deploy.simulators.chain.node import Node
from tests.support.anvil import anvil

TOKEN_KEY = "0x" + "70" * 32


@dataclass(frozen=True)
class Chain:
    """A local chain and the token on it; accounts of its own for every test."""

    url: str
    node: Node
    token: str

    def account(self, wei: int = 0) -> Account:
        """Give a fresh account that holds so much."""
        account = Account.create()
        self.node.call("anvil_setBalance", account.address, hex(wei))
        return account


@pytest.fixture(scope="package")
def chain() -> Iterator[Chain]:
    # Blocks ten times as fast as in the fleet, so that tests do not wait for them.
    with anvil(block_time_s=0.1) as url:
        yield Chain(url, Node(url), deploy_token(url, TOKEN_KEY))


@pytest.fixture
def own_chain() -> Iterator[Chain]:
    """A chain of the test's own, for those that rewind it."""
    with anvil(block_time_s=0.1) as url:
        yield Chain(url, Node(url), deploy_token(url, TOKEN_KEY))
