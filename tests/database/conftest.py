"""What the tests over a database share: the vendors and a town among them; a chain, and a harbour whose wallet is on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON.cloudtasks import BaseCloudTasksClient
from tests.support.hostpay import Harbour, TestChain, a_chain, a_harbour
from tests.support.town import Outside, Town, outside
from tests.support.verbs import Operator


@pytest.fixture(scope="session")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Telegram, NOWPayments and SendGrid, once a run."""
    with outside(tmp_path_factory.mktemp("outside")) as running:
        yield running


@pytest.fixture
def town(database_url: str, vendors: Outside) -> Iterator[Town]:
    """Five services over a fresh database, among vendors who know nothing yet."""
    vendors.reset()
    made = Town(database_url, vendors)
    yield made
    made.close()


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    """A chain of a module's own."""
    with a_chain() as made:
        yield made


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    """HOSTPAY1 to 3 over a fresh database, with a wallet that nobody has used on the module's chain."""
    with a_harbour(database_url, chain) as made:
        yield made


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A queue that nobody hears: what an operator's moves would wake, by step and subject; the rows are found all the same."""
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(BaseCloudTasksClient, "wake", lambda _self, wakes: heard.extend((wake.step, wake.subject) for wake in wakes))
    return heard


@pytest.fixture
def pgp(harbour: Harbour, woken: list[tuple[str, str]]) -> Operator:
    """The operator's command over the harbour."""
    return Operator(harbour._environment)
