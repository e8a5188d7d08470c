"""Who is paid out and when, with what written down; one payout an owner, and no unit in two of them."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from PGP_BATCH_v1.batchprocessor.steps import Terms, reserve
from PGP_COMMON.money_machines import accumulations, coins, ledger, payouts
from PGP_COMMON.money_machines.payouts import Payout, Release
from PGP_COMMON.runtime import Runtime
from tests.support.crowd import a_crowd
from tests.support.earnings import BITCOIN, DOLLAR, OURS, Town, a_town
from tests.support.fake_exchange import an_address


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


def plan(town: Town) -> None:
    town.fire("payout.plan")
    town.drain(but=("payout.start",))


def test_an_owner_above_his_threshold_gets_one_payout_of_everything(town: Town) -> None:
    owner = town.owner(threshold=50)
    town.available(owner, 30 * DOLLAR, 25 * DOLLAR)
    plan(town)
    assert town.rows("SELECT owner_id, asset, units, payout_asset, address, fee_cap_percent, state FROM split_payout_que") == [
        (owner, "usdterc20", 55 * DOLLAR, "btc", BITCOIN, Decimal("2.00"), "reserved")
    ]
    assert town.count("payout_accumulation", "state = 'attached' AND payout_id = 1") == 2
    assert (town.balance(owner, "available", "usdterc20"), town.balance(owner, "reserved", "usdterc20")) == (0, 55 * DOLLAR)
    assert town.rows("SELECT step, subject FROM work WHERE state = 'open'") == [("payout.start", "1")]
    before = town.picture()
    town.do_everything_again()
    assert town.picture()[:3] == before[:3]


@pytest.mark.parametrize(
    ("strategy", "threshold", "units", "paid"),
    [
        ("threshold", 50, 50 * DOLLAR, True),
        ("threshold", 50, 50 * DOLLAR - 1, False),
        ("instant", 50, 20 * DOLLAR, True),
        ("instant", 5, 20 * DOLLAR - 1, False),
    ],
)
def test_the_owners_strategy_decides_what_is_enough(town: Town, strategy: str, threshold: int, units: int, paid: bool) -> None:
    town.available(town.owner(strategy=strategy, threshold=threshold), units)
    plan(town)
    assert town.count("split_payout_que") == int(paid)


def test_a_dollar_is_what_the_market_says_it_is(town: Town) -> None:
    town.available(town.owner(threshold=50), 51 * DOLLAR)
    town.exchange.usd["USDT"] = Decimal("0.97")
    plan(town)
    assert town.count("split_payout_que") == 0
    town.exchange.usd.pop("USDT")
    plan(town)
    assert town.count("split_payout_que") == 0
    town.exchange.usd["USDT"] = Decimal("0.99")
    plan(town)
    assert town.count("split_payout_que") == 1


def test_an_owner_has_one_payout_at_a_time(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    plan(town)
    town.available(owner, 70 * DOLLAR)
    plan(town)
    assert town.count("split_payout_que") == 1
    assert town.balance(owner, "available", "usdterc20") == 70 * DOLLAR


def test_without_a_usable_address_nobody_is_paid(town: Town) -> None:
    owner = town.owner(address=None)
    town.available(owner, 60 * DOLLAR)
    with town.db.transaction() as tx:
        tx.run(
            "INSERT INTO payout_details (owner_id, asset, address, usable_from) VALUES (:o, 'btc', :a, pgp_now() + interval '48 hours')",
            o=owner,
            a=BITCOIN,
        )
    plan(town)
    assert town.count("split_payout_que") == 0


def test_a_changed_address_is_used_only_after_its_waiting_time(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    with town.db.transaction() as tx:
        tx.run(
            "INSERT INTO payout_details (owner_id, asset, address, usable_from) VALUES (:o, 'eth', :a, pgp_now() + interval '48 hours')",
            o=owner,
            a=an_address(),
        )
    plan(town)
    assert town.rows("SELECT payout_asset, address FROM split_payout_que") == [("btc", BITCOIN)]


@pytest.mark.parametrize(("asset", "address"), [("btc", BITCOIN[:-1] + "5"), ("eth", OURS), ("usdterc20", "0xdAC17F958D2ee523a2206206994597C13D831ec7")])
def test_an_address_that_cannot_be_right_stops_for_a_person_and_nobody_else(town: Town, asset: str, address: str) -> None:
    wrong, right = town.owner(asset=asset, address=address), town.owner()
    town.available(wrong, 60 * DOLLAR)
    town.available(right, 60 * DOLLAR)
    plan(town)
    plan(town)
    assert town.rows("SELECT owner_id FROM split_payout_que") == [(right,)]
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("payout.plan", "bad_address")]


def test_an_address_that_needs_a_memo_is_never_paid_without_it(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    with town.db.transaction() as tx:
        tx.run("UPDATE payout_details SET extra_id = '4711'")
    plan(town)
    assert town.count("split_payout_que") == 0
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("payout.plan", "bad_address")]


def test_an_owner_whose_payout_cannot_be_planned_does_not_stop_the_others(town: Town) -> None:
    broken, well = town.owner(), town.owner()
    town.available(broken, 60 * DOLLAR)
    town.available(well, 60 * DOLLAR)
    # His books say less than his rows: the ledger refuses.
    town.known_breaches += ("I23", "I24")
    with town.db.transaction() as tx:
        lines = [ledger.debit(ledger.owed(broken, "available", "usdterc20"), DOLLAR), ledger.credit(ledger.suspense("usdterc20"), DOLLAR)]
        ledger.post(tx, "correction", "test", lines)
    town.fire("payout.plan", "once")
    assert town.run("payout.plan", "once") == "done"
    assert town.rows("SELECT owner_id FROM split_payout_que") == [(well,)]
    assert town.rows("SELECT source, subject, reason FROM failed_transactions") == [("payout.plan", f"owner {broken}", "broken_rule")]


def test_an_owner_who_is_stopped_is_not_paid(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    town.value("UPDATE client_table SET payouts_stopped_reason = 'he asked for it' RETURNING 1")
    plan(town)
    assert town.count("split_payout_que") == 0


def test_an_owner_may_set_his_own_fee_cap(town: Town) -> None:
    town.available(town.owner(cap="7.5"), 60 * DOLLAR)
    plan(town)
    assert town.value("SELECT fee_cap_percent FROM split_payout_que") == Decimal("7.50")


def release(town: Town, payout_id: int, reason: Release) -> None:
    with town.db.transaction() as tx:
        payout = payouts.get(tx, payout_id)
        assert payouts.release(tx, payout_id, source=Payout.RESERVED, reason=reason)
        accumulations.release(tx, payout_id)
        lines = [
            ledger.debit(ledger.owed(payout.owner_id, "reserved", payout.asset), payout.units),
            ledger.credit(ledger.owed(payout.owner_id, "available", payout.asset), payout.units),
        ]
        ledger.post(tx, "payout.release", payout_id, lines)


def test_money_that_was_refused_for_its_amount_waits_until_it_has_grown_or_a_day_is_over(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    plan(town)
    release(town, 1, Release.ABOVE_FEE_CAP)
    plan(town)
    town.available(owner, 5 * DOLLAR)
    plan(town)
    assert town.count("split_payout_que") == 1
    town.available(owner, 2 * DOLLAR)
    plan(town)
    assert town.rows("SELECT units FROM split_payout_que WHERE state = 'reserved'") == [(67 * DOLLAR,)]
    release(town, 2, Release.BELOW_MINIMUM)
    town.value("UPDATE split_payout_que SET finished_at = finished_at - interval '25 hours' RETURNING 1")
    plan(town)
    assert town.count("split_payout_que") == 3


def refund(town: Town, payout_id: int) -> None:
    """One whole payout whose swap came back, as HOSTPAY leaves it."""
    plan(town)
    town.drain(but=("payout.plan",))
    swap = town.value("SELECT id FROM swap WHERE payout_id = :id", id=payout_id)
    town.send_coins(swap)
    units = int(town.value("SELECT from_units FROM swap WHERE id = :id", id=swap))
    town.see(town.refund_swap(swap, units), "usdterc20", units)
    with town.db.transaction() as tx:
        assert payouts.expect_refund(tx, payout_id)
        assert payouts.release(tx, payout_id, source=Payout.REFUNDING, reason=Release.REFUNDED)
        accumulations.release(tx, payout_id)
        owner = payouts.get(tx, payout_id).owner_id
        lines = [ledger.debit(ledger.owed(owner, "reserved", "usdterc20"), units), ledger.credit(ledger.owed(owner, "available", "usdterc20"), units)]
        ledger.post(tx, "payout.release", payout_id, lines)
    town.check_books()


def test_after_two_refunds_an_owners_payouts_stop_until_a_person_has_looked(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    refund(town, 1)
    refund(town, 2)
    plan(town)
    plan(town)
    assert town.count("split_payout_que") == 2
    assert town.value("SELECT payouts_stopped_reason FROM client_table WHERE id = :id", id=owner) == "the exchange sent your payouts back twice"
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("payout.plan", "refunded_twice")]
    town.value("UPDATE failed_transactions SET resolved_at = pgp_now() RETURNING 1")
    plan(town)
    assert town.count("split_payout_que", "state = 'reserved'") == 1
    assert town.value("SELECT payouts_stopped_reason FROM client_table WHERE id = :id", id=owner) is None


def test_a_new_address_lets_payouts_begin_again(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    refund(town, 1)
    refund(town, 2)
    plan(town)
    with town.db.transaction() as tx:
        town.details(tx, owner, asset="eth", address=an_address())
    plan(town)
    assert town.rows("SELECT payout_asset FROM split_payout_que WHERE state = 'reserved'") == [("eth",)]


def pay(town: Town, owners: list[int], seed: int) -> None:
    own = random.Random(seed)
    for turn in range(40):
        town.earn(own.choice(owners), own.randrange(1, 30 * DOLLAR), asset="usdterc20")
        if turn % 6 == 0:
            town.run("conversion.plan", town.fire("conversion.plan", f"{seed} {turn}"))


def plan_until_over(town: Town, runtime: Runtime, number: int, over: threading.Event) -> None:
    """The two schedulers fire for the same moments, and each moment is planned by two threads."""
    for turn in itertools.count():
        subject = town.fire("payout.plan", f"moment {turn} of thread {number % 5}")
        runtime.engine.run("payout.plan", subject)
        if over.wait(0.02):
            return


def test_two_schedulers_never_reserve_the_same_money_twice(town: Town) -> None:
    """2 schedulers × 5 threads over 20 owners, while USDT keeps coming in."""
    owners = [town.owner(threshold=20) for _ in range(20)]
    planners = [town.services["pgp-batchprocessor-v1"], town.start("pgp-batchprocessor-v1")]
    with a_crowd() as crowd:
        for number in range(10):
            crowd.start(plan_until_over, town, planners[number % 2], number, crowd.over)
        for payer in [crowd.start(pay, town, owners, seed) for seed in (1, 2)]:
            payer.join()
    town.check_books()
    assert town.count("split_payout_que") > 5
    assert not town.rows("SELECT owner_id FROM split_payout_que GROUP BY owner_id HAVING count(*) > 1")
    assert not town.rows(
        "SELECT p.id FROM split_payout_que p LEFT JOIN payout_accumulation a ON a.payout_id = p.id GROUP BY p.id HAVING p.units <> sum(a.converted_units)"
    )
    assert town.count("failed_transactions") == 0


def test_whoever_comes_second_finds_the_owner_taken(town: Town) -> None:
    owner = town.owner()
    town.available(owner, 60 * DOLLAR)
    plan(town)
    town.available(owner, 60 * DOLLAR)
    runtime = town.services["pgp-batchprocessor-v1"]
    with runtime.db.transaction() as tx:
        terms = Terms(coins.coin(tx, "usdterc20"), Decimal(1), Decimal(20), Decimal(2), 10**12)
        assert reserve(tx, owner, terms) == "open"
