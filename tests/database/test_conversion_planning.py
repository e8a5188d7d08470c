"""What is converted, when, and that no accumulation is converted twice or forgotten."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from PGP_COMMON.runtime import Runtime
from tests.support.crowd import a_crowd
from tests.support.earnings import DOLLAR, ETHER, Town, a_town
from tests.support.fake_exchange import a_chain

# Ten dollars at the exchange's 3 500.
TEN_DOLLARS = ETHER * 10 // 3500


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


def plan(town: Town) -> None:
    town.fire("conversion.plan")
    town.drain(but=("conversion.quote",))


def test_earnings_that_have_arrived_become_one_conversion_in_full(town: Town) -> None:
    ann, ben = town.owner(), town.owner()
    rows = [town.earn(ann, TEN_DOLLARS, fee=5), town.earn(ben, 2 * TEN_DOLLARS), town.earn(ann, 7)]
    plan(town)
    assert town.rows("SELECT from_asset, from_units, to_asset, state FROM batch_conversions") == [("eth", 3 * TEN_DOLLARS + 7, "usdterc20", "planned")]
    assert town.rows("SELECT id FROM payout_accumulation WHERE state = 'converting' AND conversion_id = 1 ORDER BY id") == [(row,) for row in rows]
    assert (town.balance(ann, "converting", "eth"), town.balance(ben, "converting", "eth")) == (TEN_DOLLARS + 7, 2 * TEN_DOLLARS)
    assert (town.balance(ann, "pending", "eth"), town.balance(ben, "pending", "eth")) == (0, 0)
    assert town.rows("SELECT subject FROM work WHERE step = 'conversion.quote'") == [("1",)]


def test_money_that_has_not_arrived_is_left_pending(town: Town) -> None:
    owner = town.owner()
    town.earn(owner, TEN_DOLLARS, arrived=False)
    here = town.earn(owner, TEN_DOLLARS)
    plan(town)
    assert town.rows("SELECT id FROM payout_accumulation WHERE state = 'converting'") == [(here,)]
    assert town.balance(owner, "pending", "eth") == TEN_DOLLARS


@pytest.mark.parametrize(("change", "units"), [("nothing", TEN_DOLLARS // 3), ("minimum", TEN_DOLLARS), ("gas", TEN_DOLLARS)])
def test_too_little_is_left_for_later(town: Town, change: str, units: int) -> None:
    if change == "minimum":
        # Ten dollars are above the exchange's minimum, but not by a tenth.
        town.exchange.minimum_usd = Decimal("9.5")
    if change == "gas":
        # 21 000 gas of 30 gwei are 22 % of ten dollars.
        town.chain = a_chain(base_fee_wei=30 * 10**9)
        town.services["pgp-microbatchprocessor-v1"].engine.clients = town._clients("pgp-microbatchprocessor-v1")
    town.earn(town.owner(), units)
    plan(town)
    assert town.count("batch_conversions") == 0
    assert town.count("work", "step = 'conversion.plan' AND state = 'done'") == 1
    town.earn(town.owner(), 20 * TEN_DOLLARS)
    plan(town)
    assert town.count("batch_conversions") == 1


def test_without_a_price_nothing_is_converted(town: Town) -> None:
    town.exchange.usd.pop("ETH")
    town.earn(town.owner(), ETHER)
    plan(town)
    assert town.count("batch_conversions") == 0


def test_what_the_exchange_does_not_take_at_once_is_left_for_the_next_conversion(town: Town) -> None:
    town.exchange.maximum_usd = Decimal(25)
    owner = town.owner()
    for _ in range(3):
        town.earn(owner, TEN_DOLLARS)
    plan(town)
    plan(town)
    assert town.rows("SELECT from_units FROM batch_conversions ORDER BY id") == [(2 * TEN_DOLLARS,), (TEN_DOLLARS,)]


def test_usdt_needs_no_exchange(town: Town) -> None:
    owner = town.owner()
    town.earn(owner, 12 * DOLLAR, asset="usdterc20")
    late = town.earn(owner, 5 * DOLLAR, asset="usdterc20", arrived=False)
    plan(town)
    assert town.balance(owner, "available", "usdterc20") == 12 * DOLLAR
    assert town.rows("SELECT converted_units FROM payout_accumulation WHERE state = 'converted'") == [(12 * DOLLAR,)]
    assert town.value("SELECT state FROM payout_accumulation WHERE id = :id", id=late) == "pending"
    assert "POST /exchange" not in town.exchange.asked
    before = town.picture()
    town.do_everything_again()
    assert town.picture() == before


def test_a_coin_that_nobody_converts_stays_pending_and_a_person_is_told_once(town: Town) -> None:
    owner = town.owner()
    town.earn(owner, 10**9, asset="usdttrc20", arrived=False)
    town.earn(owner, TEN_DOLLARS)
    plan(town)
    plan(town)
    assert town.balance(owner, "pending", "usdttrc20") == 10**9
    assert town.rows("SELECT source, subject, reason FROM failed_transactions") == [("conversion.plan", "asset usdttrc20", "no_conversion_for_asset")]
    assert town.count("batch_conversions") == 1


def test_nothing_is_converted_while_the_wallet_could_not_pay_for_its_gas(town: Town) -> None:
    town.value("UPDATE wallet SET gas_reserve_wei = CAST(:wei AS numeric) RETURNING 1", wei=str(11 * ETHER))
    town.earn(town.owner(), ETHER)
    plan(town)
    assert town.count("batch_conversions") == 0


def test_a_pair_that_the_exchange_has_switched_off_is_left_alone(town: Town) -> None:
    town.exchange.refusal = (400, "pair_is_inactive")
    town.earn(town.owner(), ETHER)
    plan(town)
    assert town.count("batch_conversions") == 0
    assert town.count("work", "step = 'conversion.plan' AND state = 'done'") == 1


def test_an_exchange_in_trouble_is_asked_again_later(town: Town) -> None:
    town.exchange.refusal = (503, "oops")
    town.earn(town.owner(), ETHER)
    town.fire("conversion.plan", "now")
    assert town.run("conversion.plan", "now") == "retry"
    assert town.count("vendor_pause") == 1
    assert town.count("batch_conversions") == 0


def pay(town: Town, owners: list[int], count: int, seed: int) -> None:
    own = random.Random(seed)
    for _ in range(count):
        town.earn(own.choice(owners), own.randrange(TEN_DOLLARS // 5, 3 * TEN_DOLLARS), arrived=own.random() > 0.3, fee=own.randrange(3))


def plan_until_over(town: Town, runtime: Runtime, number: int, over: threading.Event) -> None:
    """The two schedulers fire for the same moments, and each moment is planned by two threads."""
    for turn in itertools.count():
        subject = town.fire("conversion.plan", f"moment {turn} of thread {number % 5}")
        runtime.engine.run("conversion.plan", subject)
        if over.wait(0.02):
            return


def test_nothing_is_lost_or_doubled_while_two_schedulers_plan_and_payments_come_in(town: Town) -> None:
    """2 schedulers × 5 threads, 150 payments of 12 owners, a third of them arriving late."""
    owners = [town.owner() for _ in range(12)]
    planners = [town.services["pgp-microbatchprocessor-v1"], town.start("pgp-microbatchprocessor-v1")]
    with a_crowd() as crowd:
        for number in range(10):
            crowd.start(plan_until_over, town, planners[number % 2], number, crowd.over)
        for payer in [crowd.start(pay, town, owners, 50, seed) for seed in (1, 2, 3)]:
            payer.join()
        for payment in town.rows("SELECT id FROM processed_payments WHERE payout_hash IS NULL"):
            town.arrive(payment[0])
    town.earn(owners[0], TEN_DOLLARS)
    plan(town)
    town.check_books()
    assert town.count("payout_accumulation") == 151
    assert town.count("payout_accumulation", "state = 'pending'") == 0
    assert town.count("batch_conversions") > 1
    assert not town.rows(
        """
        SELECT c.id FROM batch_conversions c LEFT JOIN payout_accumulation a ON a.conversion_id = c.id GROUP BY c.id
        HAVING c.from_units <> coalesce(sum(a.units), 0)
        """
    )
    assert town.count("failed_transactions") == 0
    # The books saw each conversion begin once, over exactly its rows.
    assert town.count("ledger_tx", "kind = 'conv.start'") == town.count("batch_conversions")
