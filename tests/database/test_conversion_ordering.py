"""From a planned conversion to an order that waits for its ETH, and what becomes of prices and orders that do not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from PGP_COMMON.money_machines import swaps
from tests.support.earnings import DOLLAR, ETHER, OURS, Town, a_town
from tests.support.fake_exchange import an_address


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


@pytest.fixture
def planned(town: Town) -> Town:
    """A conversion of a tenth of an ETH, 350 dollars, that waits for its price."""
    town.earn(town.owner(), ETHER // 10)
    town.fire("conversion.plan")
    town.drain(but=("conversion.quote",))
    return town


def pending_again(town: Town) -> bool:
    return town.count("payout_accumulation", "state = 'pending'") == 1 and town.count("ledger_tx", "kind = 'conv.refund'") == 1


def test_a_conversion_is_priced_ordered_and_handed_to_the_wallet(planned: Town) -> None:
    planned.drain()
    assert planned.value("SELECT state FROM batch_conversions") == "swapping"
    made = planned.exchange.exchanges[planned.value("SELECT provider_id FROM swap")]
    assert Decimal(made["fromAmount"]) == Decimal("0.1")
    assert made["payoutAddress"] == made["refundAddress"] == OURS
    swap = planned.rows("SELECT state, from_asset, from_units, to_asset, to_units, payin_address FROM swap")
    assert swap == [("created", "eth", ETHER // 10, "usdterc20", Decimal("348.6") * DOLLAR, made["payinAddress"])]
    assert planned.rows("SELECT step, subject FROM work WHERE state = 'open'") == [("swap.fund", "1")]
    assert planned.value("SELECT cost_bps FROM quote") == 40


def test_delivering_every_step_again_changes_nothing(planned: Town) -> None:
    planned.drain()
    before = planned.picture()
    planned.do_everything_again()
    assert planned.picture() == before
    assert len(planned.exchange.exchanges) == 1


@pytest.mark.parametrize("code", ["deposit_too_small", "pair_is_inactive"])
def test_without_an_offer_the_money_is_pending_again(planned: Town, code: str) -> None:
    planned.exchange.refusal = (400, code)
    planned.drain()
    assert planned.value("SELECT state FROM batch_conversions") == "cancelled"
    assert pending_again(planned)
    assert planned.count("swap") == 0


def test_an_absurd_price_is_not_taken(planned: Town) -> None:
    planned.exchange.spread_bps = 3000
    planned.drain()
    assert planned.rows("SELECT state, reason FROM batch_conversions") == [("cancelled", "it would cost 30 %")]
    assert pending_again(planned)


def test_without_a_market_price_the_conversion_waits(planned: Town) -> None:
    price = planned.exchange.usd.pop("USDT")
    planned.drain()
    assert planned.rows("SELECT state, last_error FROM work WHERE step = 'conversion.quote'") == [("open", "no price")]
    planned.exchange.usd["USDT"] = price
    planned.settle_down()
    assert planned.value("SELECT state FROM batch_conversions") == "swapping"


def test_a_rate_that_lapses_before_the_order_leads_to_a_new_quote(planned: Town) -> None:
    planned.exchange.valid_s = 100
    planned.drain(but=("conversion.swap",))
    assert planned.value("SELECT state FROM batch_conversions") == "quoted"
    planned.exchange.valid_s = 1200
    planned.drain()
    assert planned.rows("SELECT state, reason FROM swap ORDER BY id") == [("abandoned", "rate_lapsed"), ("created", None)]
    assert planned.count("quote") == 2
    assert planned.value("SELECT state FROM batch_conversions") == "swapping"
    before = planned.picture()
    planned.do_everything_again()
    assert planned.picture() == before


def test_after_twenty_quotes_the_money_is_pending_again_and_a_person_is_told(planned: Town) -> None:
    planned.exchange.valid_s = 100
    planned.settle_down()
    assert planned.count("quote") == 20
    assert planned.count("swap", "state = 'abandoned'") == 20
    assert planned.value("SELECT state FROM batch_conversions") == "cancelled"
    assert pending_again(planned)
    assert planned.rows("SELECT source, reason FROM failed_transactions") == [("conversion", "quotes_spent")]
    assert planned.exchange.exchanges == {}


def test_a_lost_answer_leads_to_another_order_and_the_twin_is_never_funded(planned: Town) -> None:
    planned.exchange.on_create = ["lost", "lost"]
    planned.settle_down()
    assert len(planned.exchange.exchanges) == 3
    assert planned.rows("SELECT creates, state FROM swap") == [(3, "created")]
    assert planned.value("SELECT provider_id FROM swap") == list(planned.exchange.exchanges)[-1]


def test_after_three_lost_answers_a_person_is_told_and_a_new_quote_begins_anew(planned: Town) -> None:
    planned.exchange.on_create = ["lost", "lost", "lost"]
    planned.settle_down()
    assert len(planned.exchange.exchanges) == 4
    assert planned.rows("SELECT state, creates, reason FROM swap ORDER BY id") == [("abandoned", 3, "creates_spent"), ("created", 1, None)]
    assert planned.rows("SELECT source, reason FROM failed_transactions") == [("conversion.swap", "creates_spent")]


@pytest.mark.parametrize("fault", ["unreached", "throttled", "locked"])
def test_a_call_that_certainly_did_nothing_is_not_counted(planned: Town, fault: str) -> None:
    planned.exchange.on_create = [fault] * 5
    keep_at_it(planned)
    assert planned.rows("SELECT creates, state FROM swap") == [(1, "created")]
    assert planned.count("failed_transactions") == 0


def test_orders_that_an_exchange_makes_before_it_breaks_are_counted(planned: Town) -> None:
    planned.exchange.on_create = ["broken"] * 3
    keep_at_it(planned)
    assert len(planned.exchange.exchanges) == 4
    assert planned.rows("SELECT state, creates, reason FROM swap ORDER BY id") == [("abandoned", 3, "creates_spent"), ("created", 1, None)]
    assert planned.rows("SELECT source, reason FROM failed_transactions") == [("conversion.swap", "creates_spent")]


def keep_at_it(planned: Town) -> None:
    """Let the work go on until the exchange has been well again for a while."""
    for _ in range(12):
        planned.settle_down()
        planned.value("DELETE FROM vendor_pause RETURNING 1")


def test_an_order_that_the_exchange_refuses_leads_to_a_new_quote(planned: Town) -> None:
    planned.exchange.on_create = ["refused"]
    planned.drain()
    assert planned.rows("SELECT state, reason FROM swap ORDER BY id") == [("abandoned", "refused: not_valid_params"), ("created", None)]


def test_an_order_that_promises_less_than_was_quoted_is_not_taken(planned: Town) -> None:
    planned.exchange.on_create = [lambda made: made.update(toAmount="300")]
    planned.drain()
    assert planned.rows("SELECT state, reason FROM swap ORDER BY id") == [("abandoned", "less_than_quoted"), ("created", None)]
    assert planned.count("swap_orphan") == 1


MISMATCHES: dict[str, Callable[[dict[str, Any]], None]] = {
    "another coin from": lambda made: made.update(fromCurrency="btc"),
    "another network from": lambda made: made.update(fromNetwork="bsc"),
    "another coin to": lambda made: made.update(toCurrency="usdc"),
    "another network to": lambda made: made.update(toNetwork="trx"),
    "another amount": lambda made: made.update(fromAmount="0.2"),
    "another receiver": lambda made: made.update(payoutAddress=an_address()),
    "another place for a refund": lambda made: made.update(refundAddress=an_address()),
    "no place for a refund": lambda made: made.pop("refundAddress"),
    "a pay-in address with a typing error": lambda made: made.update(payinAddress=made["payinAddress"][:-1] + "z"),
    "our own address to pay": lambda made: made.update(payinAddress=OURS.lower()),
    "the USDT contract to pay": lambda made: made.update(payinAddress="0xdac17f958d2ee523a2206206994597c13d831ec7"),
    "a memo beside the address": lambda made: made.update(payinExtraId="77"),
}


@pytest.mark.parametrize("change", MISMATCHES.values(), ids=MISMATCHES.keys())
def test_an_order_that_is_not_what_was_asked_for_stops_for_a_person(planned: Town, change: Callable[[dict[str, Any]], None]) -> None:
    planned.exchange.on_create = [change]
    planned.settle_down()
    assert planned.rows("SELECT source, reason FROM failed_transactions") == [("conversion.swap", "bad_answer")]
    assert planned.rows("SELECT state, provider_id FROM swap") == [("planned", None)]
    assert planned.rows("SELECT provider_id FROM swap_orphan") == [(name,) for name in planned.exchange.exchanges]
    assert planned.count("work", "step = 'swap.fund'") == 0


def test_an_address_of_an_owner_or_of_an_earlier_order_is_not_paid(planned: Town) -> None:
    planned.drain()
    earlier = planned.value("SELECT payin_address FROM swap")
    owner = planned.owner(asset="eth", address=an_address())
    theirs = planned.value("SELECT address FROM payout_details WHERE owner_id = :id", id=owner)
    for address in (earlier, theirs):
        planned.earn(owner, ETHER // 10)
        planned.fire("conversion.plan")
        planned.exchange.on_create = [lambda made, address=address: made.update(payinAddress=address.lower())]
        planned.drain()
    assert planned.rows("SELECT reason FROM failed_transactions") == [("bad_answer",), ("bad_answer",)]


SECOND_LOOKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "another address to pay": lambda seen: seen.update(payinAddress=an_address()),
    "another receiver": lambda seen: seen.update(payoutAddress=an_address()),
    "another amount": lambda seen: seen.update(expectedAmountFrom="0.3"),
    "less to come": lambda seen: seen.update(expectedAmountTo="1"),
    "a status that cannot be funded": lambda seen: seen.update(status="expired"),
    "another coin": lambda seen: seen.update(toCurrency="usdc"),
}


@pytest.mark.parametrize("change", SECOND_LOOKS.values(), ids=SECOND_LOOKS.keys())
def test_an_order_that_looks_different_the_second_time_stops_for_a_person(planned: Town, change: Callable[[dict[str, Any]], None]) -> None:
    planned.exchange.on_look = [change]
    planned.settle_down()
    assert planned.rows("SELECT source, reason FROM failed_transactions") == [("conversion.swap", "bad_answer")]
    assert planned.value("SELECT state FROM swap") == "planned"
    assert planned.count("work", "step = 'swap.fund'") == 0


def test_an_order_that_cannot_be_looked_at_yet_is_looked_at_again_and_not_made_again(planned: Town) -> None:
    planned.exchange.on_look = ["unknown", "down", "down", "down"]
    for _ in range(4):
        planned.settle_down()
        planned.value("DELETE FROM vendor_pause RETURNING 1")
    assert planned.value("SELECT state FROM swap") == "created"
    assert len(planned.exchange.exchanges) == 1


def test_the_slower_of_two_workers_leaves_an_orphan(planned: Town) -> None:
    planned.drain(but=("conversion.swap",))
    address = an_address()
    with planned.db.transaction() as tx:
        assert swaps.remember(tx, 1, provider_id="first", payin_address=an_address())
        assert not swaps.remember(tx, 1, provider_id="second", payin_address=address)
        assert not swaps.remember(tx, 1, provider_id="first", payin_address=address)
    assert planned.rows("SELECT provider_id, swap_id, payin_address FROM swap_orphan") == [("second", 1, address)]
    assert planned.value("SELECT provider_id FROM swap") == "first"


def test_a_rate_that_lapses_between_order_and_second_look_is_given_up(planned: Town) -> None:
    planned.exchange.on_look = ["unknown"]
    planned.drain()
    planned.value("UPDATE swap SET deadline = pgp_now() RETURNING 1")
    planned.settle_down()
    assert planned.rows("SELECT state, reason FROM swap ORDER BY id") == [("abandoned", "rate_lapsed"), ("created", None)]
