"""What a payment is worth and what becomes of its order: arithmetic that favours nobody by accident."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.clients.nowpayments import read_payment
from PGP_COMMON.http import parsed
from PGP_COMMON.money_machines import orders
from PGP_COMMON.money_machines.coins import Coin
from PGP_COMMON.money_machines.crediting import fate_of
from PGP_COMMON.money_machines.orders import Sold
from PGP_COMMON.money_machines.payments import PaymentRow
from PGP_ORCHESTRATOR_v1 import finding, verdict

ETH = Coin("eth", "Ethereum", "eth", "eth", 18, "evm", None, "ethereum", can_pay=True, can_pay_out=True)
SOLD = Sold(
    id=1, unique_id="0" * 26, kind="subscription", owner_id=1, channel_id=1, buyer_id=7, price_usd=Decimal(20), days=30, fee_percent=Decimal(3),
    tolerance_bps=100, paid_usd=Decimal(0), state="invoiced", correlation="c", open_channel_id=-5, access_mode="join_request", notify_chat_id=None,
    invoice_id=1, invoice_usd=Decimal(20),
)  # fmt: skip
PAYMENT = PaymentRow(
    id=1, order_id=1, state="observed", status_rank=1, pay_currency="eth", outcome_asset=None, outcome_units=0, owner_units=0, fee_units=0,
    suspense_units=0, paid_usd=Decimal(0), excess=False, review_reason=None, parts=0, parent_currency=None, parent_pay_amount=None,
)  # fmt: skip
USD = st.decimals(Decimal("0.01"), Decimal(10_000), places=2)
COINS = st.decimals(Decimal("0.00000001"), Decimal(10**9), places=8)


def said(**changes: Any) -> Any:
    """The vendor's answer, paid in full unless changed."""
    return read_payment({
        "payment_id": 5, "invoice_id": 6, "order_id": SOLD.sent_id, "payment_status": "finished", "price_amount": 20, "price_currency": "usd",
        "pay_amount": Decimal("0.008"), "actually_paid": Decimal("0.008"), "pay_currency": "eth", "outcome_amount": Decimal("0.0079"), "outcome_currency": "eth",
    } | changes)  # fmt: skip


@given(wanted=COINS, paid=COINS, price=USD)
def test_a_payment_is_never_worth_more_than_its_invoice_nor_less_than_what_was_paid_of_it(wanted: Decimal, paid: Decimal, price: Decimal) -> None:
    sold = replace(SOLD, invoice_usd=price)
    worth = verdict.worth(verdict.read(said(pay_amount=wanted, actually_paid=paid), ETH), sold, PAYMENT).paid_usd
    exact = min(price, price * paid / wanted)
    assert 0 <= worth <= price
    assert exact - Decimal("0.00000001") < worth <= exact + Decimal("1e-20")


@given(price=USD, paid=st.decimals(Decimal("0.01"), Decimal(10_000), places=8), days=st.integers(1, 3660), least=st.none() | USD, bps=st.integers(0, 1000))
def test_an_order_is_paid_in_part_or_over_and_never_buys_more_days_than_were_paid(
    price: Decimal, paid: Decimal, days: int, least: Decimal | None, bps: int
) -> None:
    sold = replace(SOLD, price_usd=price, days=days, tolerance_bps=bps)
    fate = fate_of(sold, paid_usd=paid, least_usd=least)
    assert fate.paid_usd == paid
    if paid >= price * (10_000 - bps) / 10_000:
        assert (fate.state, fate.days, fate.rest_usd) == ("paid", days, None)
    elif fate.rest_usd is not None:
        assert fate.state == "part_paid"
        assert price - paid <= fate.rest_usd < price - paid + Decimal("0.01")
        assert least is None or fate.rest_usd >= least
    else:
        assert least is not None
        assert (fate.state == "paid") == bool(fate.days)
        assert (fate.days or 0) <= days * paid / price


def test_a_donation_below_the_vendors_minimum_is_taken_as_it_is() -> None:
    fate = fate_of(replace(SOLD, kind="donation", days=None), paid_usd=Decimal(15), least_usd=Decimal(6))
    assert (fate.state, fate.days, fate.rest_usd) == ("paid", None, None)


@pytest.mark.parametrize(("value", "reason"), [("9.99", "below_floor"), ("10", None), ("400", None), ("400.01", "absurd_amount")])
def test_the_outcomes_value_is_held_against_what_was_paid(value: str, reason: str | None) -> None:
    confirmed = replace(verdict.read(said(outcome_amount=Decimal(value)), ETH), price_usd=Decimal(1))
    assert verdict.objection(confirmed, SOLD, PAYMENT, floor=Decimal("0.50")) == reason


def test_a_price_beyond_all_reason_does_not_break_the_arithmetic() -> None:
    confirmed = replace(verdict.read(said(outcome_amount=Decimal("1e19")), ETH), price_usd=Decimal("1e15"))
    assert confirmed.value_usd is None
    assert verdict.objection(confirmed, SOLD, PAYMENT, floor=Decimal("0.50")) == "absurd_amount"


@given(st.text(max_size=60))
def test_only_ids_of_our_form_name_an_order(text: str) -> None:
    found = orders.unique_id_of(text)
    assert (found is not None) == bool(re.fullmatch(r"PGP-[0-9]{1,16}\|-[0-9]{1,16}\|[0-9A-Z]{26}", text, re.ASCII))


def test_orders_names_sort_by_age_and_are_found_again_in_what_was_sent() -> None:
    names = [orders.new_unique_id() for _ in range(200)]
    assert len(set(names)) == 200
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", name) for name in names)
    assert [name[:8] for name in names] == sorted(name[:8] for name in names)
    assert orders.unique_id_of(orders.sent_id(buyer_id=1, open_channel_id=-1001234567890, unique_id=names[0])) == names[0]


def test_a_find_reads_back_as_what_the_vendor_said() -> None:
    answer = said(outcome_amount=Decimal("0.000000000000000001"), parent_payment_id=4)
    (body,) = finding.bodies([answer])
    assert read_payment(parsed(body)) == answer
