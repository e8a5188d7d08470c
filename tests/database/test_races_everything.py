"""Eight writers on everything at once, through the real steps: nobody waits for ever, nothing is lost, and the chain says what the books say."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from PGP_COMMON.database import make_engine
from PGP_COMMON.money_machines import dead_letters, ledger, owners
from PGP_WEBAPI_v1 import payout_store
from tests.support.country import Country, a_country
from tests.support.crowd import a_crowd
from tests.support.fake_exchange import an_address
from tests.support.hostpay import TestChain, a_chain

WRITERS, OWNERS = 8, 6
# What is bought in all; with --long as much as ten minutes bring.
PURCHASES, MORE_PURCHASES = 36, 1_500
HALF, WHOLE = Decimal("0.5"), Decimal(1)
# With --long.
LONGEST_S = 3_600


@pytest.fixture
def chain() -> Iterator[TestChain]:
    with a_chain() as made:
        yield made


@pytest.fixture
def country(database_url: str, chain: TestChain) -> Iterator[Country]:
    with a_country(database_url, chain, pool=32) as made:
        yield made


def shops(country: Country) -> list[int]:
    """Owners of every kind: paid in another coin, directly, after a refund, above the cap, and only in large sums."""
    coins = ("btc", "usdterc20", "eth", "btc", "usdterc20", "eth")
    made = [
        country.shop(
            asset=coin,
            strategy="instant" if number < 4 else "threshold",
            cap="0" if number == 3 else None,
            **({} if coin == "btc" else {"address": an_address()}),
        )
        for number, coin in enumerate(coins)
    ]
    country.market.sends_back.add(country.value("SELECT address FROM payout_details WHERE owner_id = :o", o=made[2]))
    return made


def buy(country: Country, owner_ids: list[int], seed: int, count: int) -> None:
    """Forty buyers who come again and again; a fourth of what they buy is only half paid."""
    dice = random.Random(seed)
    for _ in range(count):
        order_id = country.order(dice.choice(owner_ids), dice.randrange(1, 40))
        payment = country.payment(order_id, part=dice.choice((HALF, WHOLE, WHOLE, WHOLE)))
        country.tell(payment, *dice.sample(("waiting", "confirming", "confirmed", "sending"), 2), payment["payment_status"])
        country.pay_out(payment)


def ring(country: Country, over: threading.Event) -> None:
    """Every schedule, again and again."""
    while not over.wait(0.1):
        country.ring(
            "conversion.plan",
            "payout.plan",
            "work.sweep",
            "members.expire",
            "members.remind",
            "members.reconcile",
            "wallet.reconcile",
            "payments.reconcile",
            "payments.list",
            "books.check",
            "books.audit",
        )


def meddle(country: Country, owner_ids: list[int], over: threading.Event) -> None:
    """Owners change where they are paid, and a person switches signing off and on and retries what is dead."""
    dice = random.Random(7)
    while not over.wait(0.05):
        with country.db.transaction() as tx:
            owner = dice.choice(owner_ids[4:])
            owners.lock(tx, owner)
            payout_store.drop_waiting_details(tx, owner)
            payout_store.add_details(tx, owner_id=owner, asset="usdterc20", address=an_address(), wait_s=0)
        with country.db.transaction() as tx:
            dead_letters.switch_off(tx, "sign", reason="a drill", actor="a person")
        with country.db.transaction() as tx:
            dead_letters.switch_on(tx, "sign", reason="a drill", actor="a person")


def deadlocks(url: str, name: str) -> int:
    """How many times PostgreSQL ended a transaction because two waited for each other, in a database that everybody has left."""
    engine = make_engine(url, application="tests")
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", (name,))
        return int(cursor.fetchone()[0])
    finally:
        connection.close()
        engine.dispose()


def mine(country: Country, over: threading.Event) -> None:
    while not over.wait(0.05):
        country.test_chain.mine()


@pytest.mark.timeout(LONGEST_S)
def test_eight_writers_on_everything_at_once_never_wait_for_each_other(country: Country, database_url: str, request: pytest.FixtureRequest) -> None:
    count = MORE_PURCHASES if request.config.getoption("--long") else PURCHASES
    owner_ids = shops(country)
    with a_crowd() as crowd:
        for seed in range(WRITERS):
            crowd.start(country.labour, random.Random(seed), crowd.over)
        for busy in (ring, mine):
            crowd.start(busy, country, crowd.over)
        crowd.start(meddle, country, owner_ids, crowd.over)
        for buyer in [crowd.start(buy, country, owner_ids, seed, count // 3) for seed in range(3)]:
            buyer.join()
    country.come_to_rest(lambda: at_rest(country), turns=600)
    country.known_breaches = ()
    country.check_invariants()
    assert country.count("processed_payments", "state = 'credited'") == country.count("ledger_tx", "kind = 'payment.credit'") > count // 2
    assert country.count("split_payout_que", "state = 'settled'") > 2
    for asset, token in (("eth", False), ("usdterc20", True)):
        assert country.account_of(ledger.wallet(asset)) == country.test_chain.received(country.address, token=token)
    country.db.engine.dispose()
    assert deadlocks(database_url, database_url.rpartition("/")[2]) == 0


def at_rest(country: Country) -> bool:
    """Nothing is under way any more: what is open only waits for its schedule."""
    under_way = {
        "split_payout_que": "state NOT IN ('settled', 'released', 'review')",
        "batch_conversions": "state NOT IN ('done', 'refunded', 'cancelled', 'review')",
        "transfer": "state IN ('requested', 'signed', 'broadcast', 'mined')",
        "work": "state = 'open' AND step IN ('payment.settle', 'payment.payout_hash', 'arrival.look')",
    }
    return not any(country.count(table, condition) for table, condition in under_way.items())
