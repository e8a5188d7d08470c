"""Secrets may have to be asked for over the network, so no transaction waits for one: all that it needs is read before BEGIN."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.pool import PoolProxiedConnection

from PGP_COMMON.clients.secrets import CachedSecrets
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.directory import service_named
from PGP_COMMON.errors import VendorDown
from PGP_COMMON.runtime import Runtime
from tests.simulation.runs import Run, play
from tests.support.earnings import DOLLAR
from tests.support.hostpay import Harbour, TestChain
from tests.support.settings import environ

WALLET, GENERAL = "TPS_HOSTPAY_SIGNING_KEY", "WEBHOOK_SIGNING_KEY"


class Here(threading.local):
    """Whether this thread has a transaction open."""

    is_open = False


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    now, connected = Here(), BaseDatabaseManager._connected

    @contextmanager
    def watched(db: BaseDatabaseManager, *, begin: bool) -> Iterator[PoolProxiedConnection]:
        with connected(db, begin=begin) as connection:
            before, now.is_open = now.is_open, now.is_open or begin
            try:
                yield connection
            finally:
                now.is_open = before

    monkeypatch.setattr(BaseDatabaseManager, "_connected", watched)
    return now


@pytest.fixture
def too_late(here: Here, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every secret that is asked for while a transaction is open, whether or not its time to live is over."""
    asked: list[str] = []
    read = BaseConfigManager.secret

    def secret(config: BaseConfigManager, name: str) -> str:
        if here.is_open:
            asked.append(f"{config.service.name} {name}")
        return read(config, name)

    monkeypatch.setattr(BaseConfigManager, "secret", secret)
    return asked


class Manager:
    """Secret Manager: counts what it is asked for, and must not be asked under locks."""

    def __init__(self, here: Here, **values: str) -> None:
        self.here, self.values, self.asked, self.is_away = here, values, 0, False

    def read(self, name: str) -> str | None:
        assert not self.here.is_open, f"{name} is asked for inside a transaction"
        self.asked += 1
        if self.is_away:
            raise VendorDown(vendor="secrets")
        return self.values.get(name)


@pytest.fixture
def manager(here: Here) -> Manager:
    return Manager(here, **dict.fromkeys((WALLET, GENERAL), f"k1:{'1' * 64}"))


@pytest.fixture
def runtime(database_url: str, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """HOSTPAY1 in the cloud: its signing keys come from Secret Manager, and each is old at once."""
    monkeypatch.setattr(BaseConfigManager, "_secret_source", lambda _config: CachedSecrets(manager, ttl_s=0))
    made = Runtime(service_named("pgp-hostpay1-v1"), {**environ(database_url), WALLET: "", GENERAL: ""})
    made.db._publish = None
    yield made
    made.db.engine.dispose()


def send(runtime: Runtime, subject: str) -> str:
    """Ask for one signature of a transfer; gives back the id of the key that signed the message."""
    with runtime.db.transaction() as tx:
        tx.send("transfer.sign", subject)
    with runtime.db.reading() as tx:
        return str(tx.value("SELECT split_part(split_part(signature, '=', 2), ':', 1) FROM work WHERE subject = :subject", subject=subject))


def test_whoever_sends_work_knows_the_signing_key_before_the_transaction_begins(runtime: Runtime, manager: Manager) -> None:
    before = manager.asked
    assert send(runtime, "1") == "k1"
    assert manager.asked > before


def test_a_new_signing_key_signs_from_the_next_transaction_on(runtime: Runtime, manager: Manager) -> None:
    with runtime.db.transaction() as tx:
        manager.values[WALLET] = f"k2:{'2' * 64},k1:{'1' * 64}"
        tx.send("transfer.sign", "1")
    assert runtime.db.rerun(lambda tx: tx.value("SELECT signature FROM work")).startswith("v1=k1:")
    assert send(runtime, "2") == "k2"


def test_without_secret_manager_the_last_known_key_signs(runtime: Runtime, manager: Manager) -> None:
    manager.is_away = True
    assert send(runtime, "1") == "k1"


def test_no_step_of_a_sale_asks_for_a_secret_inside_a_transaction(too_late: list[str]) -> None:
    result = play(Run("sale", 7))
    assert (result.problems, too_late) == ([], [])


def test_the_wallets_key_is_read_before_anything_is_signed_with_it(harbour: Harbour, chain: TestChain, too_late: list[str]) -> None:
    asked = harbour.ask(units=DOLLAR)
    harbour.work()
    first = harbour.attempts(asked)[0]
    chain.base_fee(first.max_fee_wei * 3)
    harbour.pass_time(60)
    harbour.until(lambda: harbour.transfer(asked).state == "final")
    assert len(harbour.attempts(asked)) > 1
    assert too_late == []
