"""What an exchange's status means for us, and what is never asked of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.clients.changenow import STANDINGS, ChangeNow, Coin, Standing, standing
from PGP_COMMON.errors import BadAnswer, BadInput, PgpError
from PGP_COMMON.http import Http

USDT = Coin("usdt", "eth", 6)
BTC = Coin("btc", "btc", 8)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("new", Standing.FUNDABLE),
        ("waiting", Standing.FUNDABLE),
        ("confirming", Standing.WAIT),
        ("exchanging", Standing.WAIT),
        ("sending", Standing.WAIT),
        ("finished", Standing.FINISHED),
        ("refunded", Standing.REFUNDED),
        ("failed", Standing.REVIEW),
        ("expired", Standing.REVIEW),
        ("verifying", Standing.HOLD),
        ("overdue", Standing.HOLD),
        ("FINISHED", Standing.HOLD),
        ("", Standing.HOLD),
    ],
)
def test_every_status_has_a_standing(status: str, meaning: Standing):
    assert standing(status) is meaning


@given(st.text())
def test_a_status_that_nobody_knows_is_held(status: str):
    assert standing(status) is STANDINGS.get(status, Standing.HOLD)


def client(body: Any, status: int = 200) -> ChangeNow:
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, json=body))
    return ChangeNow(Http("changenow", "https://cn.example/v2", transport=transport), api_key=lambda: "k")


@pytest.mark.parametrize("amount", ["0", "-1", "0.0000001", "NaN", "1e40"])
def test_an_amount_that_the_coin_cannot_have_is_never_asked_about(amount: str):
    with pytest.raises(BadInput):
        client({}).estimate(USDT, BTC, amount=Decimal(amount))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "error", "payload", "range", "rateId", "status", "fromAmount"]), inner),
    max_leaves=12,
)


@given(JUNK, st.sampled_from([200, 201, 400, 404]))
def test_any_answer_is_read_or_becomes_an_error_of_ours(body: Any, status: int):
    vendor = client(body, status)
    for call in (
        lambda: vendor.estimate(USDT, BTC, amount=Decimal(1)),
        lambda: vendor.range(USDT, BTC),
        lambda: vendor.exchange("x"),
        lambda: vendor.create_exchange(USDT, BTC, amount=Decimal(1), rate_id="r", address="a", refund_address="b"),
        vendor.currencies,
    ):
        try:
            call()
        except PgpError:
            continue


def test_an_echo_of_another_amount_is_a_contradiction():
    body = {
        "fromCurrency": "usdt", "fromNetwork": "eth", "toCurrency": "btc", "toNetwork": "btc",
        "rateId": "r", "validUntil": "2026-11-01T10:20:00.000Z", "fromAmount": 2, "toAmount": 1,
    }  # fmt: skip
    assert client(body).estimate(USDT, BTC, amount=Decimal(2)).to_amount == 1
    with pytest.raises(BadAnswer):
        client(body).estimate(USDT, BTC, amount=Decimal(1))
