"""From reserved money to an order that waits for it, or back to the owner's balance with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from PGP_COMMON.money_machines import payouts, quotes, swaps
from PGP_COMMON.money_machines.payouts import Payout
from PGP_COMMON.money_machines.swaps import Swap
from tests.support.earnings import BITCOIN, DOLLAR, ETHER, OURS, Town, a_town
from tests.support.fake_exchange import an_address


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


def reserve(town: Town, *, asset: str = "btc", address: str = BITCOIN, units: int = 100 * DOLLAR, cap: str | None = None) -> int:
    owner = town.owner(asset=asset, address=address, cap=cap)
    town.available(owner, units)
    town.fire("payout.plan")
    town.drain(but=("payout.start",))
    return owner


def state(town: Town) -> str:
    return str(town.value("SELECT state FROM split_payout_que ORDER BY id DESC LIMIT 1"))


def test_a_payout_is_priced_ordered_and_handed_to_the_wallet(town: Town) -> None:
    owner = reserve(town)
    town.drain()
    assert state(town) == "swap_ready"
    made = town.exchange.exchanges[town.value("SELECT provider_id FROM swap")]
    assert (made["fromCurrency"], made["fromNetwork"], made["toCurrency"]) == ("usdt", "eth", "btc")
    assert (made["payoutAddress"], made["refundAddress"]) == (BITCOIN, OURS)
    assert Decimal(made["fromAmount"]) == 100
    assert town.rows("SELECT step, subject FROM work WHERE state = 'open'") == [("swap.fund", "1")]
    assert town.balance(owner, "reserved", "usdterc20") == 100 * DOLLAR
    before = town.picture()
    town.do_everything_again()
    assert town.picture() == before


def test_usdt_on_ethereum_goes_to_the_wallet_without_an_exchange(town: Town) -> None:
    address = an_address()
    reserve(town, asset="usdterc20", address=address)
    town.drain()
    assert state(town) == "quoted"
    assert town.rows("SELECT from_units, to_units, cost_bps, rate_id FROM quote") == [(100 * DOLLAR, 100 * DOLLAR, 0, None)]
    assert town.rows("SELECT step, subject FROM work WHERE state = 'open'") == [("payout.direct", "1")]
    assert town.count("swap") == 0
    before = town.picture()
    town.do_everything_again()
    assert town.picture() == before


def test_a_direct_payout_that_comes_back_is_handed_over_again(town: Town) -> None:
    reserve(town, asset="usdterc20", address=an_address())
    town.drain()
    with town.db.transaction() as tx:
        assert payouts.fund(tx, 1, source=Payout.QUOTED)
        assert payouts.reserve_again(tx, 1, source=Payout.FUNDING, reason="no gas", counts=False)
    town.fire("payout.requote", "1")
    town.drain()
    assert state(town) == "quoted"
    assert town.rows("SELECT subject FROM work WHERE step = 'payout.direct' ORDER BY id") == [("1",), ("2",)]


@pytest.mark.parametrize(
    ("cap", "spread_bps", "outcome"),
    [(None, 200, "swap_ready"), (None, 201, "released"), ("5", 500, "swap_ready"), ("5", 501, "released"), ("0", 1, "released"), (None, -300, "swap_ready")],
)
def test_a_quote_above_the_fee_cap_gives_the_money_back(town: Town, cap: str | None, spread_bps: int, outcome: str) -> None:
    # At 50 000 dollars a Bitcoin, 100 dollars are 200 000 satoshi and no cost is hidden by rounding.
    town.exchange.usd["BTC"] = Decimal(50_000)
    town.exchange.spread_bps = spread_bps
    owner = reserve(town, cap=cap)
    town.drain()
    assert state(town) == outcome
    if outcome == "released":
        assert town.balance(owner, "available", "usdterc20") == 100 * DOLLAR
        assert town.value("SELECT reason FROM split_payout_que") == "the exchange would cost more than your limit"
        assert town.rows("SELECT kind, subject, chat_id FROM notification") == [("payout_released", 1, 4711)]
        assert town.count("payout_accumulation", "state = 'converted' AND payout_id IS NULL") == 1
        assert town.exchange.exchanges == {}
        before = town.picture()
        town.do_everything_again()
        # The plan that is run again leaves the money alone, too: it has not grown.
        assert town.picture() == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda exchange: setattr(exchange, "minimum_usd", Decimal(101)), "the exchange does not take so little"),
        (lambda exchange: setattr(exchange, "maximum_usd", Decimal(99)), "the exchange does not take so much at once"),
        (lambda exchange: setattr(exchange, "refusal", (400, "pair_is_inactive")), "the exchange does not trade this pair at the moment"),
        (lambda exchange: setattr(exchange, "refusal", (400, "deposit_too_small")), "the exchange does not take so little"),
    ],
)
def test_without_an_offer_the_money_goes_back_with_the_reason(town: Town, change: object, reason: str) -> None:
    change(town.exchange)
    owner = reserve(town)
    town.drain()
    assert (state(town), town.value("SELECT reason FROM split_payout_que")) == ("released", reason)
    assert town.balance(owner, "available", "usdterc20") == 100 * DOLLAR
    assert town.balance(owner, "reserved", "usdterc20") == 0


def test_released_money_is_paid_out_with_what_joins_it(town: Town) -> None:
    town.exchange.minimum_usd = Decimal(101)
    owner = reserve(town)
    town.drain()
    town.available(owner, 20 * DOLLAR)
    town.fire("payout.plan")
    town.drain()
    assert town.rows("SELECT state, units FROM split_payout_que ORDER BY id") == [("released", 100 * DOLLAR), ("swap_ready", 120 * DOLLAR)]


def test_an_exchange_in_trouble_is_asked_again_and_nothing_is_released(town: Town) -> None:
    reserve(town)
    town.exchange.refusal = (503, "oops")
    town.drain()
    assert state(town) == "reserved"
    town.exchange.refusal = None
    town.value("DELETE FROM vendor_pause RETURNING 1")
    town.settle_down()
    assert state(town) == "swap_ready"


def test_without_a_market_price_a_payout_waits(town: Town) -> None:
    price = town.exchange.usd.pop("BTC")
    reserve(town)
    town.drain()
    assert (state(town), town.count("quote", "to_units IS NOT NULL")) == ("reserved", 0)
    town.exchange.usd["BTC"] = price
    town.settle_down()
    assert state(town) == "swap_ready"


def test_a_payout_waits_with_its_reason_while_the_wallet_could_not_pay(town: Town) -> None:
    reserve(town)
    town.value("UPDATE wallet SET gas_reserve_wei = CAST(:wei AS numeric) RETURNING 1", wei=str(11 * ETHER))
    town.drain()
    assert (state(town), town.count("quote")) == ("reserved", 0)
    assert "a deposit of ETH is needed" in town.value("SELECT reason FROM split_payout_que")
    town.value("UPDATE wallet SET gas_reserve_wei = 0 RETURNING 1")
    town.settle_down()
    assert state(town) == "swap_ready"


def test_a_rate_that_lapses_leads_to_a_new_quote(town: Town) -> None:
    town.exchange.valid_s = 100
    reserve(town)
    town.drain(but=("swap.create",))
    town.exchange.valid_s = 1200
    town.drain()
    assert town.rows("SELECT state, reason FROM swap ORDER BY id") == [("abandoned", "rate_lapsed"), ("created", None)]
    assert town.rows("SELECT state, quotes_failed FROM split_payout_que") == [("swap_ready", 1)]
    before = town.picture()
    town.do_everything_again()
    assert town.picture() == before


def test_after_twenty_quotes_a_person_is_told_and_his_retry_begins_a_new_count(town: Town) -> None:
    town.exchange.valid_s = 100
    reserve(town)
    town.settle_down()
    assert town.count("quote") == 20
    assert state(town) == "reserved"
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("payout.requote", "quotes_spent")]
    town.exchange.valid_s = 1200
    town.value("UPDATE work SET state = 'open', attempts = 0 WHERE state = 'dead' RETURNING 1")
    town.settle_down()
    assert town.rows("SELECT state, quotes_failed FROM split_payout_que") == [("swap_ready", 0)]


def test_a_quote_that_lapsed_while_the_wallet_was_busy_does_not_count(town: Town) -> None:
    reserve(town)
    town.drain()
    with town.db.transaction() as tx:
        assert swaps.abandon(tx, 1, source=Swap.CREATED, reason="no slot")
        assert payouts.reserve_again(tx, 1, source=Payout.SWAP_READY, reason="no slot", counts=False)
    town.fire("payout.requote", "1")
    town.drain()
    assert town.rows("SELECT state, quotes_failed FROM split_payout_que") == [("swap_ready", 0)]
    assert town.count("quote") == 2


def test_a_late_word_about_an_old_quote_changes_nothing(town: Town) -> None:
    reserve(town)
    town.drain()
    with town.db.transaction() as tx:
        assert swaps.abandon(tx, 1, source=Swap.CREATED, reason="too near")
        assert payouts.reserve_again(tx, 1, source=Payout.SWAP_READY, reason="too near")
    town.fire("payout.requote", "1")
    town.drain()
    before = town.picture()
    for step, subject in (("payout.requote", "1"), ("payout.quoted", "1"), ("payout.swap_ready", "1"), ("payout.quote", "1"), ("payout.start", "1")):
        with town.db.reading() as tx:
            tx.run("DELETE FROM work WHERE step = :step AND subject = :subject", step=step, subject=subject)
        town.fire(step, subject)
        town.run(step, subject)
    assert town.picture()[:6] == before[:6]


def test_a_lost_answer_leads_to_at_most_three_orders_and_one_is_kept(town: Town) -> None:
    town.exchange.on_create = ["lost", "lost"]
    reserve(town)
    town.settle_down()
    assert len(town.exchange.exchanges) == 3
    assert town.rows("SELECT creates, state FROM swap") == [(3, "created")]


def test_after_three_lost_answers_a_new_quote_begins_anew(town: Town) -> None:
    town.exchange.on_create = ["lost"] * 3
    reserve(town)
    town.settle_down()
    assert town.rows("SELECT state, creates FROM swap ORDER BY id") == [("abandoned", 3), ("created", 1)]
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("swap.create", "creates_spent")]
    assert state(town) == "swap_ready"


def test_an_exchange_that_is_away_costs_a_payout_one_quote_and_no_more(town: Town) -> None:
    reserve(town)
    town.drain(but=("swap.create",))
    town.exchange.on_create = ["down"] * 3
    town.exchange.refusal = (503, "maintenance")
    for _ in range(12):
        town.settle_down()
        town.value("DELETE FROM vendor_pause RETURNING 1")
    assert town.rows("SELECT state, creates FROM swap") == [("abandoned", 3)]
    assert town.rows("SELECT state, quotes_failed FROM split_payout_que") == [("reserved", 1)]
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("swap.create", "creates_spent")]
    town.exchange.refusal = None
    town.settle_down()
    assert state(town) == "swap_ready"


def test_an_order_for_somebody_else_stops_for_a_person_and_is_never_funded(town: Town) -> None:
    town.exchange.on_create = [lambda made: made.update(payoutAddress="bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3")]
    reserve(town)
    town.settle_down()
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("swap.create", "bad_answer")]
    assert (state(town), town.value("SELECT state FROM swap")) == ("quoted", "planned")
    assert town.count("swap_orphan") == 1


def test_a_payout_whose_owner_changes_his_address_goes_where_it_was_reserved_for(town: Town) -> None:
    owner = reserve(town)
    with town.db.transaction() as tx:
        town.details(tx, owner, asset="eth", address=an_address())
    town.drain()
    assert town.rows("SELECT to_asset, payout_address FROM swap") == [("btc", BITCOIN)]


def test_a_second_word_that_a_quote_came_to_nothing_leads_to_no_second_quote(town: Town) -> None:
    reserve(town)
    town.drain()
    with town.db.transaction() as tx:
        assert swaps.abandon(tx, 1, source=Swap.CREATED, reason="too near")
        assert payouts.reserve_again(tx, 1, source=Payout.SWAP_READY, reason="too near")
    town.fire("payout.requote", "1")
    town.drain(but=("payout.quote",))
    with town.db.reading() as tx:
        tx.run("DELETE FROM work WHERE step = 'payout.requote'")
    town.fire("payout.requote", "1")
    town.drain(but=("payout.quote",))
    assert town.count("quote") == 2


def test_an_answered_quote_never_changes(town: Town) -> None:
    reserve(town)
    town.drain(but=("payout.quoted",))
    before = town.rows("SELECT to_units, rate_id, refused_reason FROM quote")
    with town.db.transaction() as tx:
        assert not quotes.answer(tx, 1, to_units=1, rate_id="other", valid_until=datetime.now(UTC), cost_bps=0)
        assert not quotes.refuse(tx, 1, reason="late")
    assert town.rows("SELECT to_units, rate_id, refused_reason FROM quote") == before
