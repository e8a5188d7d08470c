"""A conversion whose money does not come is a person's: he shares out what came, gives everybody his ETH back, or has it priced anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON.errors import Conflict, NotFound
from PGP_COMMON.money_machines import swaps
from PGP_COMMON.money_machines.swaps import Swap
from PGP_COMMON.operators import conversions
from tests.support.earnings import DOLLAR, ETHER, Town, a_town
from tests.support.verbs import Operator, at_once

BOUGHT = 3000 * DOLLAR


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


@pytest.fixture
def pgp(town: Town, woken: list[tuple[str, str]]) -> Operator:
    return Operator(town._environment)


@pytest.fixture
def funded(town: Town) -> Town:
    """Two owners' ETH, with the exchange."""
    for units in (ETHER // 3, ETHER // 3 + 1):
        town.earn(town.owner(), units, fee=ETHER // 1000)
    town.fire("conversion.plan")
    town.drain()
    town.send_coins(1)
    return town


def days_pass(town: Town) -> None:
    """Three days and an hour, in which nothing came."""
    with town.db.transaction() as tx:
        tx.run("UPDATE swap SET ended_at = pgp_now() - interval '73 hours' WHERE ended_at IS NOT NULL")
    town.fire("conversion.finish", str(town.value("SELECT max(id) FROM swap")))
    town.settle_down()


def in_review(town: Town, reason: str) -> None:
    assert town.rows("SELECT state, reason FROM batch_conversions") == [("review", reason)]
    assert town.rows("SELECT source, subject, reason FROM failed_transactions WHERE resolved_at IS NULL") == [("conversion.finish", "1", reason)]


def pending(town: Town) -> list[int]:
    return [town.balance(owner, "pending", "eth") for owner in (1, 2)]


def standing(town: Town, code: str, asset: str = "eth") -> int:
    return int(town.value("SELECT coalesce(sum(balance), 0) FROM ledger_account WHERE code = :code AND asset = :asset", code=code, asset=asset))


def open_letters(town: Town) -> int:
    return town.count("failed_transactions", "resolved_at IS NULL")


def test_what_arrives_after_three_days_is_shared_out_by_a_person(funded: Town, pgp: Operator) -> None:
    tx_hash = funded.finish_swap(1, BOUGHT)
    days_pass(funded)
    in_review(funded, "purchase_missing")
    with pytest.raises(Conflict, match="nothing to share out yet"):
        pgp("conversion", "finish", 1)
    funded.see(tx_hash, "usdterc20", BOUGHT)
    assert "3000 USDTERC20 are shared out" in pgp("conversion", "finish", 1)
    assert funded.balance(1, "available", "usdterc20") + funded.balance(2, "available", "usdterc20") == BOUGHT
    assert (standing(funded, "in_flight"), standing(funded, "arrivals", "usdterc20"), open_letters(funded)) == (0, 0, 0)
    with pytest.raises(Conflict, match="is done"):
        pgp("conversion", "finish", 1)


def test_a_refund_that_never_comes_is_given_back_by_the_platform(funded: Town, pgp: Operator) -> None:
    sent = int(funded.value("SELECT from_units FROM swap"))
    tx_hash = funded.refund_swap(1, sent)
    days_pass(funded)
    in_review(funded, "refund_missing")
    for verb in ("refund", "resume"):
        with pytest.raises(Conflict, match="has not arrived"):
            pgp("conversion", verb, 1)
    assert f"the platform bears {sent} wei" in pgp("conversion", "refund", 1, "--although-missing")
    assert funded.value("SELECT state FROM batch_conversions") == "refunded"
    assert pending(funded) == [ETHER // 3, ETHER // 3 + 1]
    assert (standing(funded, "in_flight"), standing(funded, "expense:swap"), open_letters(funded)) == (0, sent, 0)
    # It comes after all: the loss was none.
    funded.see(tx_hash, "eth", sent)
    assert (standing(funded, "in_flight"), standing(funded, "expense:swap")) == (0, 0)


def test_a_refund_that_comes_late_in_part_is_given_back_in_full(funded: Town, pgp: Operator) -> None:
    sent = int(funded.value("SELECT from_units FROM swap"))
    tx_hash = funded.refund_swap(1, sent)
    days_pass(funded)
    funded.see(tx_hash, "eth", sent - 10)
    pgp("conversion", "refund", 1)
    assert pending(funded) == [ETHER // 3, ETHER // 3 + 1]
    assert (standing(funded, "in_flight"), standing(funded, "expense:swap")) == (0, 10)


def test_a_conversion_whose_coins_are_with_us_again_is_priced_anew(funded: Town, pgp: Operator) -> None:
    sent = int(funded.value("SELECT from_units FROM swap"))
    tx_hash = funded.refund_swap(1, sent)
    days_pass(funded)
    funded.see(tx_hash, "eth", sent - 10)
    assert "planned again, with quote 2" in pgp("conversion", "resume", 1)
    assert (standing(funded, "in_flight"), standing(funded, "expense:swap"), open_letters(funded)) == (0, 10, 0)
    funded.settle_down()
    assert funded.rows("SELECT state FROM swap ORDER BY id") == [("refunded",), ("created",)]
    assert funded.value("SELECT state FROM batch_conversions") == "swapping"


def test_a_lost_swap_gives_everybody_his_eth_back_by_itself(funded: Town, pgp: Operator) -> None:
    sent = int(funded.value("SELECT from_units FROM swap"))
    with funded.db.transaction() as tx:
        assert swaps.hold(tx, 1, reason="the exchange says failed")
        swaps.observe(tx, 1, vendor_status="failed")
    assert "by themselves" in pgp("swap", "lost", 1)
    funded.settle_down()
    assert funded.value("SELECT state FROM batch_conversions") == "refunded"
    assert pending(funded) == [ETHER // 3, ETHER // 3 + 1]
    assert (standing(funded, "in_flight"), standing(funded, "expense:swap")) == (0, sent)


def test_a_lost_swap_of_a_conversion_in_review_is_refunded_by_a_person(funded: Town, pgp: Operator) -> None:
    with funded.db.transaction() as tx:
        assert swaps.hold(tx, 1, reason="the exchange says failed")
        swaps.observe(tx, 1, vendor_status="failed")
        tx.run("UPDATE batch_conversions SET state = 'review'")
    for verb in ("refund", "resume", "finish"):
        with pytest.raises(Conflict, match="swap 1 is hold"):
            pgp("conversion", verb, 1)
    pgp("swap", "lost", 1)
    funded.settle_down()
    pgp("conversion", "refund", 1)
    assert pending(funded) == [ETHER // 3, ETHER // 3 + 1]


def test_a_swap_on_hold_that_paid_us_is_finished_and_shared_out_by_itself(funded: Town, pgp: Operator) -> None:
    with funded.db.transaction() as tx:
        assert swaps.hold(tx, 1, reason="paid out less")
    tx_hash = "0x" + "ab" * 32
    pgp("swap", "finished", 1, "--tx", tx_hash, "--amount", "2000")
    assert funded.rows("SELECT step, subject FROM work WHERE step IN ('arrival.look', 'swap.ended') ORDER BY step") == [
        ("arrival.look", tx_hash),
        ("swap.ended", "1"),
    ]
    funded.see(tx_hash, "usdterc20", 1_999 * DOLLAR)
    funded.fire("conversion.finish", "1")
    funded.settle_down()
    assert funded.rows("SELECT state, received_units FROM batch_conversions") == [("done", 1_999 * DOLLAR)]


def test_of_two_operators_at_once_one_ends_the_conversion(funded: Town, pgp: Operator) -> None:
    tx_hash = funded.finish_swap(1, BOUGHT)
    days_pass(funded)
    funded.see(tx_hash, "usdterc20", BOUGHT)
    outcomes = at_once(*(lambda: pgp.does(lambda tx, why: conversions.finish(tx, 1, why)) for _ in range(3)))
    assert sum(outcome == BOUGHT for outcome in outcomes) == 1
    assert funded.count("ledger_tx", "kind = 'conv.finish'") == 1


def test_a_conversion_that_is_not_in_review_is_left_alone(funded: Town, pgp: Operator) -> None:
    for verb in ("finish", "refund", "resume"):
        with pytest.raises(Conflict, match="is swapping"):
            pgp("conversion", verb, 1)
        with pytest.raises(NotFound):
            pgp("conversion", verb, 99)


def test_the_money_of_a_conversion_in_review_stays_where_it_is(funded: Town, pgp: Operator) -> None:
    funded.finish_swap(1, BOUGHT)
    days_pass(funded)
    before = funded.picture()
    funded.do_everything_again()
    assert funded.picture() == before
    assert "purchase_missing" in pgp("conversion", "list", why=False)
    assert [one["state"] for one in pgp.reads("conversion", "list")] == ["review"]
    assert "finished" in pgp("conversion", "show", 1, why=False)
    assert pgp.reads("conversion", "show", 1)["swaps"][0]["state"] == Swap.FINISHED
    with pytest.raises(NotFound):
        pgp("conversion", "show", 99, why=False)
