"""The checks of an exchange's order, word by word."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from PGP_COMMON.clients.changenow import Exchange, Seen
from PGP_COMMON.money_machines.coins import Coin
from PGP_COMMON.money_machines.swap_desk import echo_problem, second_look_problem
from PGP_COMMON.money_machines.swaps import SwapRow

OURS = "0x00000000000000000000000000000000000A11cE"
PAYIN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
USDT = Coin("usdterc20", "Tether", "usdt", "eth", 6, "evm", None, None, can_pay=True, can_pay_out=True)
BTC = Coin("btc", "Bitcoin", "btc", "btc", 8, "btc", None, None, can_pay=True, can_pay_out=True)
MONERO = Coin("xmr", "Monero", "xmr", "xmr", 12, None, None, None, can_pay=True, can_pay_out=False)
SWAP = SwapRow(
    id=1,
    reference=uuid.uuid4(),
    quote_id=1,
    conversion_id=None,
    payout_id=1,
    state="planned",
    from_asset="usdterc20",
    from_units=100_000_000,
    to_asset="btc",
    to_units=99_600,
    payout_address=BITCOIN,
    payout_extra_id=None,
    refund_address=OURS,
    deadline=datetime(2026, 1, 1, tzinfo=UTC),
    creates=1,
    provider_id="c2036055d1f776",
    payin_address=PAYIN,
    vendor_status=None,
    vendor_looked_at=None,
    received_units=None,
    payout_hash=None,
    refund_units=None,
    refund_hash=None,
    reason=None,
)
MADE = Exchange("c2036055d1f776", "usdt", "eth", "btc", "btc", Decimal(100), Decimal("0.000996"), PAYIN, None, BITCOIN, OURS)
SEEN = Seen(
    id="c2036055d1f776",
    status="waiting",
    from_ticker="usdt",
    from_network="eth",
    to_ticker="btc",
    to_network="btc",
    expected_from=Decimal(100),
    expected_to=Decimal("0.000996"),
    received=None,
    paid=None,
    payin_address=PAYIN,
    payin_extra_id=None,
    payout_address=BITCOIN,
    refund_address=OURS,
    payin_hash=None,
    payout_hash=None,
    refund_hash=None,
    refund_amount=None,
    valid_until=None,
)


def echo(**change: Any) -> str | None:
    return echo_problem(SWAP, dataclasses.replace(MADE, **change), gives=USDT, gets=BTC)


def look(**change: Any) -> str | None:
    return second_look_problem(SWAP, dataclasses.replace(SEEN, **change), gives=USDT, gets=BTC)


def test_an_order_that_is_what_was_asked_for_has_no_problem() -> None:
    assert echo() is None
    assert look() is None


def test_addresses_may_be_written_in_another_case() -> None:
    assert echo(payin_address=PAYIN.lower(), refund_address=OURS.lower(), payout_address=BITCOIN.upper()) is None
    assert look(payin_address=PAYIN.lower()) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"from_ticker": "eth"}, "from_asset"),
        ({"from_network": "trx"}, "from_asset"),
        ({"to_ticker": "ltc"}, "to_asset"),
        ({"to_network": "lightning"}, "to_asset"),
        ({"from_amount": Decimal("100.000001")}, "from_amount"),
        ({"payout_address": "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"}, "payout_address"),
        ({"refund_address": None}, "refund_address"),
        ({"refund_address": PAYIN}, "refund_address"),
        ({"payin_extra_id": "12"}, "payin_extra_id"),
        ({"payin_address": PAYIN.replace("a", "A", 1)}, "payin_address"),
        ({"payin_address": "0x" + "0" * 40}, "payin_address"),
        ({"payin_address": BITCOIN}, "payin_address"),
        ({"payin_address": OURS.lower()}, "payin_address"),
    ],
)
def test_each_word_that_differs_is_named(change: dict[str, Any], problem: str) -> None:
    assert (echo(**change) or "").startswith(problem)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"status": "finished"}, "status"),
        ({"status": "something new"}, "status"),
        ({"from_ticker": "eth"}, "from_asset"),
        ({"to_network": "lightning"}, "to_asset"),
        ({"expected_from": None}, "from_amount"),
        ({"expected_from": Decimal(99)}, "from_amount"),
        ({"expected_to": None}, "to_amount"),
        ({"expected_to": Decimal("0.00099599")}, "to_amount"),
        ({"payin_address": OURS}, "payin_address"),
        ({"payout_address": "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"}, "payout_address"),
        ({"refund_address": None}, "refund_address"),
        ({"payin_extra_id": "12"}, "payin_extra_id"),
    ],
)
def test_each_word_that_differs_the_second_time_is_named(change: dict[str, Any], problem: str) -> None:
    assert (look(**change) or "").startswith(problem)


def test_a_coin_whose_addresses_nobody_can_check_is_never_ordered() -> None:
    made = dataclasses.replace(MADE, to_ticker="xmr", to_network="xmr", payout_address="4" * 95)
    swap = dataclasses.replace(SWAP, to_asset="xmr", payout_address="4" * 95)
    assert echo_problem(swap, made, gives=USDT, gets=MONERO) == "payout_address"
