"""What makes no sense is kept for a person: its money is suspense, nobody gets anything, and a letter says why."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from PGP_COMMON.errors import NotFound
from PGP_COMMON.money_machines import crediting
from tests.support.sales import Payment, Shop, units


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Shop]:
    """A shop of its own."""
    made = Shop(database_url, settings)
    yield made
    made.close()


OBJECTIONS = {
    "price_differs": {"price_amount": Decimal("19.99")},
    "wrong_asset": {"outcome_currency": "bnbbsc", "outcome_amount": Decimal("0.0284")},
    "nothing_paid": {"actually_paid": Decimal(0)},
    "below_floor": {"outcome_amount": Decimal("0.0039")},
    "absurd_amount": {"outcome_amount": Decimal(80)},
    "unknown_invoice": {"invoice_id": 123456789, "price_amount": Decimal(21)},
}


@pytest.mark.parametrize("reason", OBJECTIONS)
def test_it_is_booked_to_suspense_and_opens_no_channel(shop: Shop, reason: str) -> None:
    order = shop.order()
    payment = order.payment(**OBJECTIONS[reason])
    shop.pay(payment, "waiting", "finished")
    assert (shop.outcome(payment), order.state) == (f"review: {reason}", "invoiced")
    asset = payment["outcome_currency"]
    assert shop.balance("suspense", asset) == shop.balance("np_transit", asset) == units(payment)
    assert shop.letters() == [("payment.review", reason)]
    assert len(shop.sent("payment.payout_hash")) == 1
    assert shop.value("SELECT count(*) FROM entitlement") == shop.value("SELECT count(*) FROM notification") == 0
    shop.pay(payment | {"updated_at": 1}, "finished")
    assert shop.balance("suspense", asset) == units(payment)


def test_a_repeated_deposit_that_overtakes_its_first_payment_waits_for_it(shop: Shop) -> None:
    order = shop.order()
    again = order.payment(invoice_id=None, parent_payment_id=987654321)
    shop.pay(again, "finished")
    assert (shop.outcome(again), order.state, shop.letters()) == ("observed", "invoiced", [])
    assert shop.value("SELECT last_error FROM work WHERE step = 'payment.settle' AND state = 'open'") == "its first payment is not known yet"
    # The first one is known by then: the deposit is more than the order needs, and the owner's.
    first = order.payment(payment_id=987654321)
    shop.pay(first, "finished")
    shop.later(90)
    shop.settle(within_s=90)
    assert [shop.outcome(payment) for payment in (first, again)] == ["credited", "credited"]


def test_a_repeated_deposit_whose_first_payment_nobody_knows_waits_an_hour_and_then_for_a_person(shop: Shop) -> None:
    lonely = shop.order().payment(invoice_id=None, parent_payment_id=123454321)
    shop.pay(lonely, "finished")
    shop.later(3700)
    shop.settle(within_s=3700)
    assert (shop.outcome(lonely), shop.letters()) == ("review: unknown_parent", [("payment.review", "unknown_parent")])
    assert shop.balance("suspense") == units(lonely)


def test_another_price_currency_is_another_price(shop: Shop) -> None:
    payment = shop.order().payment(price_currency="eur")
    shop.pay(payment, "finished")
    assert shop.outcome(payment) == "review: price_differs"


@pytest.mark.parametrize(
    "change",
    [{"outcome_amount": Decimal("-0.008")}, {"outcome_amount": Decimal("1e25")}, {"actually_paid": Decimal(-1)}, {"pay_amount": Decimal("1e40")}],
    ids="-".join,
)
def test_amounts_that_cannot_be_are_kept_for_a_person(shop: Shop, change: Payment) -> None:
    payment = shop.order().payment(**change)
    shop.pay(payment, "finished")
    assert shop.outcome(payment) == "review: absurd_amount"
    assert shop.balance("suspense") == (0 if "outcome_amount" in change else units(payment))


def test_a_coin_that_the_catalogue_does_not_have_has_no_units_to_book(shop: Shop) -> None:
    payment = shop.order().payment(outcome_currency="shib")
    shop.pay(payment, "finished")
    assert shop.outcome(payment) == "review: unknown_coin"
    assert shop.value("SELECT count(*) FROM ledger_tx") == 0


def test_a_payment_that_changes_its_coin_on_the_way_is_kept_for_a_person(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "waiting")
    shop.pay(payment | {"pay_currency": "usdtbsc"}, "finished")
    assert shop.outcome(payment) == "review: wrong_asset"


def test_without_a_price_the_floor_does_not_hold_anything_back(shop: Shop) -> None:
    shop.vendor.usd = None
    payment = shop.order().payment(outcome_amount=Decimal("0.0001"))
    shop.pay(payment, "finished")
    assert shop.outcome(payment) == "credited"
    assert shop.value("SELECT value_usd FROM processed_payments") is None


def test_a_refund_after_the_credit_freezes_what_is_not_converted(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment, "finished", "refunded")
    assert shop.outcome(payment) == "review: refunded"
    assert shop.rows("SELECT state FROM payout_accumulation") == [("frozen",)]
    assert shop.letters() == [("payment.review", "refunded")]
    shop.pay(payment | {"updated_at": 2}, "refunded")
    assert shop.balance("np_transit") == units(payment)


def test_a_refund_of_what_is_being_converted_says_so(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    with shop.db.reading() as tx:
        tx.run("INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', 1, 'usdterc20', 'c')")
        tx.run("UPDATE payout_accumulation SET state = 'converting', conversion_id = (SELECT id FROM batch_conversions)")
    shop.vendor.payments[str(payment["payment_id"])] = payment | {"payment_status": "refunded"}
    shop.notify(payment | {"payment_status": "refunded"})
    shop.queue.run()
    assert shop.rows("SELECT state FROM payout_accumulation") == [("converting",)]
    assert shop.value("SELECT detail->>'frozen' FROM failed_transactions") == "0"


def test_more_money_for_a_payment_in_review_waits_with_it(shop: Shop) -> None:
    payment = shop.order().payment(price_amount=Decimal(19))
    shop.pay(payment | {"outcome_amount": payment["outcome_amount"] / 2}, "partially_paid")
    shop.pay(payment, "finished")
    assert shop.outcome(payment) == "review: price_differs"
    assert shop.balance("suspense") == units(payment)


@pytest.mark.parametrize(
    "order_id", [None, "", "x", "PGP-1|-1|" + "0" * 26, "PGP-4242424|-1000|", "PGP-1|2|3|4", "pgp-1|-2|" + "A" * 26, "'; DROP TABLE orders"]
)
def test_an_order_that_is_not_ours_is_a_dead_letter_with_the_body_kept(shop: Shop, order_id: str | None) -> None:
    payment = shop.order().payment("finished", order_id=order_id)
    shop.pay(payment, "finished")
    assert shop.letters() == [("payment.settle", "unknown_order")]
    assert shop.value("SELECT count(*) FROM inbox") == 1
    assert shop.value("SELECT count(*) FROM processed_payments") == 0


def test_another_buyers_id_before_the_right_order_is_not_our_order(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment(order_id=order.sent_id.replace("4242424", "4242425"))
    shop.pay(payment, "finished")
    assert shop.letters() == [("payment.settle", "unknown_order")]
    assert order.state == "invoiced"


def test_a_notice_that_names_another_order_than_the_vendor_does_is_not_believed(shop: Shop) -> None:
    first, second = shop.order(), shop.order(buyer_id=5)
    payment = first.payment("finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.notify(payment | {"order_id": second.sent_id})
    shop.settle()
    assert shop.letters() == [("payment.settle", "unknown_order")]
    assert (first.state, second.state) == ("invoiced", "invoiced")


def test_a_payment_does_not_change_its_order(shop: Shop) -> None:
    first, second = shop.order(), shop.order(buyer_id=5)
    payment = first.payment()
    shop.pay(payment, "finished")
    shop.pay(second.payment(payment_id=payment["payment_id"]), "finished")
    assert shop.letters() == [("payment.settle", "bad_answer")]
    assert second.state == "invoiced"


UNREADABLE = {
    "no JSON": b"finished",
    "a list": b'["payment_id"]',
    "a number": b"5",
    "no payment": b'{"id":"123456789","batch_withdrawal_id":"987654321","status":"CREATING","currency":"usdttrc20","amount":"50"}',
    "an id with an exponent": b'{"payment_id":5.745459419e9,"payment_status":"finished","price_amount":1,"price_currency":"usd"}',
    "no number": b'{"payment_id":1,"payment_status":"finished","price_amount":NaN,"price_currency":"usd"}',
    "depth": b'{"a":' * 9000,
    "no text": b"\xff\xfe\x00\xd8",
    "a lone surrogate": b'{"payment_id":1,"payment_status":"finished","order_id":"\\ud800","price_amount":1,"price_currency":"usd"}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_signed_notice_that_cannot_be_read_is_kept_and_parked(shop: Shop, body: bytes) -> None:
    assert shop.notify(body).status_code == 200
    shop.settle()
    assert shop.letters() == [("payment.settle", "unreadable_notice")]
    assert bytes(shop.value("SELECT body FROM inbox")) == body


def test_a_status_that_nobody_knows_is_asked_for_and_parked_if_the_vendor_says_it_too(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment("spending")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.notify(payment)
    shop.settle()
    assert shop.letters() == [("payment.settle", "unknown_status")]
    shop.vendor.payments[str(payment["payment_id"])] = payment | {"payment_status": "finished"}
    shop.notify(payment | {"payment_status": "FINISHED"})
    shop.settle()
    assert order.state == "paid"


def test_a_person_who_finds_a_payment_in_order_credits_it_with_everything_that_follows(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment(outcome_amount=Decimal("0.0039"))
    shop.pay(payment, "finished")
    with shop.orchestrator.extensions["pgp"].db.transaction() as tx:
        crediting.resolve(tx, str(payment["payment_id"]), paid_usd=order.price)
    shop.check_books()
    assert (shop.outcome(payment), order.state) == ("credited", "paid")
    assert shop.balance("suspense") == 0
    assert shop.rows("SELECT kind FROM ledger_tx ORDER BY id") == [("payment.review",), ("suspense.resolve",)]
    with pytest.raises(NotFound), shop.orchestrator.extensions["pgp"].db.transaction() as tx:
        crediting.resolve(tx, str(payment["payment_id"]), paid_usd=order.price)
