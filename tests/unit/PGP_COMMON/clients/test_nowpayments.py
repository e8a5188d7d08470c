"""What NOWPayments says of a payment is read as it is, or refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.clients.nowpayments import RANKS, NowPayments, read_payment
from PGP_COMMON.errors import BadAnswer, BadInput, Misconfigured, VendorDown
from PGP_COMMON.http import Http, parsed

# Real notices (contracts: 1.7, B to E).
FROM_AN_INVOICE = (
    '{"actually_paid":1.70073759,"actually_paid_at_fiat":0,"fee":{"currency":"usdtmatic","depositFee":0.004169,"serviceFee":0,'
    '"withdrawalFee":0.005413},"invoice_id":6158118973,"order_description":"Second brain course","order_id":"LEX3SZMT",'
    '"outcome_amount":0.378719,"outcome_currency":"usdtmatic","parent_payment_id":null,"pay_address":'
    '"0xABB808cE003E6120bf20bF536834bDEF4e8A6259","pay_amount":1.70073759,"pay_currency":"maticmainnet","payin_extra_id":null,'
    '"payment_extra_ids":null,"payment_id":4562642554,"payment_status":"confirming","price_amount":0.4,"price_currency":"usd",'
    '"purchase_id":"5844495295"}'
)
REPEATED = (
    '{"payment_id":4870885867,"parent_payment_id":6160305429,"invoice_id":null,"payment_status":"partially_paid","price_amount":13,'
    '"price_currency":"usd","pay_amount":13,"actually_paid":13,"actually_paid_at_fiat":12.98513924,"pay_currency":"usdtbsc",'
    '"order_id":"order of the parent","outcome_amount":0.01633459,"outcome_currency":"bnbbsc","fee":{"currency":"bnbbsc",'
    '"depositFee":0.000083,"withdrawalFee":0,"serviceFee":0.000249}}'
)
LEAST: dict[str, Any] = {"payment_id": 1, "payment_status": "waiting", "price_amount": 5, "price_currency": "usd"}


def test_a_notice_from_an_invoice_names_it_with_a_number():
    payment = read_payment(parsed(FROM_AN_INVOICE))
    assert (payment.payment_id, payment.invoice_id, payment.order_id) == ("4562642554", "6158118973", "LEX3SZMT")
    assert payment.actually_paid == payment.pay_amount == Decimal("1.70073759")
    assert payment.outcome_amount == Decimal("0.378719")
    assert payment.rank == 2
    assert payment.payout_hash is None


def test_a_repeated_deposit_names_its_parent_and_no_invoice():
    payment = read_payment(parsed(REPEATED))
    assert (payment.parent_payment_id, payment.invoice_id, payment.status) == ("6160305429", None, "partially_paid")


def test_the_same_payment_in_text_and_in_numbers_is_the_same_payment():
    numbers = parsed(FROM_AN_INVOICE)
    texts = {name: str(value) if isinstance(value, int | Decimal) else value for name, value in numbers.items()}
    assert read_payment(texts) == read_payment(numbers)


def test_ranks_only_rise_along_a_payments_life():
    life = ["waiting", "confirming", "confirmed", "sending", "finished"]
    assert sorted(life, key=RANKS.__getitem__) == life
    assert read_payment({**LEAST, "payment_status": "spending"}).rank == 0
    assert read_payment({**LEAST, "payment_status": "FINISHED"}).rank == 0


@pytest.mark.parametrize(
    "change",
    [
        {"payment_id": None},
        {"payment_id": Decimal("5.745459419e9")},
        {"payment_id": "5.745459419e9"},
        {"payment_id": -1},
        {"payment_id": True},
        {"payment_id": "٣"},
        {"payment_id": "1 "},
        {"payment_id": ""},
        {"payment_id": [1]},
        {"payment_id": 10**40},
        {"payment_status": None},
        {"payment_status": 7},
        {"payment_status": ""},
        {"price_amount": None},
        {"price_amount": "1,5"},
        {"price_amount": "NaN"},
        {"price_amount": "Infinity"},
        {"price_amount": True},
        {"price_amount": 0.1},
        {"price_amount": Decimal("1e400")},
        {"price_currency": 1},
        {"order_id": "a\0b"},
        {"order_id": "\ud800"},
        {"order_id": "x" * 5000},
        {"order_id": 17},
        {"outcome_amount": {}},
    ],
)
def test_a_payment_that_makes_no_sense_is_refused_by_the_name_of_its_field(change: dict[str, Any]):
    with pytest.raises(BadAnswer) as error:
        read_payment({**LEAST, **change})
    assert error.value.data["field"] in change


@pytest.mark.parametrize("body", [None, [], "x", 7, {}, {"id": "1", "status": "FINISHED", "amount": "12.17"}])
def test_what_is_no_payment_is_refused(body: object):
    with pytest.raises(BadAnswer):
        read_payment(body)


@given(st.dictionaries(st.sampled_from([*LEAST, "order_id", "outcome_amount"]), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.none())))
def test_any_body_is_read_or_refused(body: dict[str, Any]):
    try:
        read_payment(body)
    except BadAnswer:
        return


class Vendor:
    """A vendor that hands out numbered tokens and takes only the newest."""

    def __init__(self) -> None:
        self.tokens = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/auth":
            self.tokens += 1
            return httpx.Response(200, json={"token": f"t{self.tokens}"})
        if request.headers["authorization"] != f"Bearer t{self.tokens}":
            return httpx.Response(401, json={"code": "AUTH_REQUIRED"})
        return httpx.Response(200, json={"data": [], "pagesCount": 0})


def client(handler: Any, **more: Any) -> NowPayments:
    http = Http("nowpayments", "https://np.example/v1", transport=httpx.MockTransport(handler))
    return NowPayments(http, **{"api_key": lambda: "k", "email": lambda: "a@b.example", "password": lambda: "p", **more})


def test_the_token_of_the_list_is_used_for_four_minutes_and_then_asked_for_again():
    vendor, now = Vendor(), [0.0]
    nowpayments = client(vendor, clock=lambda: now[0])
    for seconds, tokens in ((0, 1), (239, 1), (240, 2)):
        now[0] = seconds
        nowpayments.payments(date_from=datetime(2026, 1, 1, tzinfo=UTC))
        assert vendor.tokens == tokens


def test_a_token_that_the_vendor_forgot_is_asked_for_again_the_next_time():
    vendor = Vendor()
    nowpayments = client(vendor)
    nowpayments.payments(date_from=datetime(2026, 1, 1, tzinfo=UTC))
    vendor.tokens = 7
    with pytest.raises(VendorDown):
        nowpayments.payments(date_from=datetime(2026, 1, 1, tzinfo=UTC))
    assert nowpayments.payments(date_from=datetime(2026, 1, 1, tzinfo=UTC)).payments == ()


def test_the_list_needs_the_accounts_email_and_password():
    with pytest.raises(Misconfigured):
        client(Vendor(), password=str).payments(date_from=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("payment_id", ["", "../auth", "1/2", "1?x=1", "٣", "abc"])
def test_only_digits_are_asked_for(payment_id: str):
    with pytest.raises(BadInput):
        client(Vendor()).payment(payment_id)


def test_an_answer_about_another_payment_is_a_contradiction():
    with pytest.raises(BadAnswer):
        client(lambda _request: httpx.Response(200, content=json.dumps(LEAST))).payment("2")


def test_a_rotated_key_is_used_by_the_next_call():
    keys, seen = iter(["old", "new"]), []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["x-api-key"])
        return httpx.Response(200, json=LEAST)

    nowpayments = client(handle, api_key=lambda: next(keys))
    nowpayments.payment("1")
    nowpayments.payment("1")
    assert seen == ["old", "new"]
