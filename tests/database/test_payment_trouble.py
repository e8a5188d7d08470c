"""A vendor that is away, late or contradicts itself, and processes that stop anywhere: the end is the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON import failpoints
from PGP_COMMON.fleet import ORCHESTRATOR
from tests.support.sales import Shop, units
from tests.support.signing import ring


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Shop]:
    """A shop of its own."""
    made = Shop(database_url, settings)
    yield made
    made.close()


class Crash(BaseException):
    """The process stops here."""


def crash() -> None:
    """Stop once."""
    failpoints.disarm()
    raise Crash


def test_while_the_vendor_is_down_the_notice_waits_and_nothing_is_booked(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment("finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.vendor.down = True
    shop.notify(payment)
    shop.settle()
    assert shop.value("SELECT count(*) FROM processed_payments") == 0
    assert shop.rows("SELECT state, last_error LIKE 'VendorDown%' FROM work WHERE step = 'payment.settle'") == [("open", True)]
    assert shop.value("SELECT vendor FROM vendor_pause") == "nowpayments"
    shop.vendor.down = False
    shop.later(600)
    shop.settle(within_s=600)
    assert order.state == "paid"
    assert shop.letters() == []


def test_a_vendor_whose_books_are_behind_its_notice_is_asked_again(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment("finished")
    number = str(payment["payment_id"])
    shop.vendor.payments[number] = payment | {"payment_status": "sending"}
    shop.notify(payment)
    shop.settle()
    assert shop.rows("SELECT state, last_error FROM work WHERE step = 'payment.settle'") == [("open", "the vendor's books are behind its notice")]
    assert shop.value("SELECT count(*) FROM processed_payments") == 0
    shop.vendor.payments[number] = payment
    shop.later(90)
    shop.settle(within_s=90)
    assert (order.state, shop.letters()) == ("paid", [])


@pytest.mark.parametrize("confirmed", ["waiting", None])
def test_after_an_hour_of_contradiction_a_person_looks(shop: Shop, confirmed: str | None) -> None:
    order = shop.order()
    payment = order.payment("finished")
    if confirmed:
        shop.vendor.payments[str(payment["payment_id"])] = payment | {"payment_status": confirmed}
    shop.notify(payment)
    shop.settle()
    shop.later(3700)
    shop.settle(within_s=3700)
    assert shop.outcome(payment) == "review: vendor_disagrees"
    assert (order.state, shop.balance("suspense")) == ("invoiced", 0)
    assert shop.letters() == [("payment.review", "vendor_disagrees")]


def test_finished_without_an_outcome_waits_for_it_and_after_an_hour_for_a_person(shop: Shop) -> None:
    payment = shop.order().payment("finished", outcome_amount=None)
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.notify(payment)
    shop.settle()
    assert shop.value("SELECT last_error FROM work WHERE step = 'payment.settle'") == "no outcome yet"
    shop.later(3700)
    shop.settle(within_s=3700)
    assert shop.outcome(payment) == "review: no_outcome"


def test_money_for_a_payment_that_had_failed_is_told_to_a_person(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "failed", "finished")
    assert shop.outcome(payment) == "rejected"
    assert shop.letters() == [("payment.settle", "money_after_the_end")]


POINTS = ("claim.before", "claim.after", "start.before_commit", "start.after_commit")


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("status", ["confirming", "finished", "refunded"])
def test_a_process_that_stops_anywhere_leaves_one_credit(shop: Shop, point: str, status: str) -> None:
    order = shop.order()
    payment = order.payment()
    if status == "refunded":
        shop.pay(payment, "finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment | {"payment_status": status}
    shop.notify(payment | {"payment_status": status})
    failpoints.arm({f"payment.settle.{point}": crash})
    with pytest.raises(Crash):
        shop.settle()
    shop.later(200)
    shop.settle(within_s=200)
    assert shop.value("SELECT count(*) FROM work WHERE step = 'payment.settle' AND state <> 'done'") == 0
    assert shop.outcome(payment) == {"confirming": "observed", "finished": "credited", "refunded": "review: refunded"}[status]
    assert shop.balance("np_transit") == (0 if status == "confirming" else units(payment))
    assert shop.value("SELECT count(*) FROM entitlement") == (0 if status == "confirming" else 1)


@pytest.mark.parametrize("where", ["http.nowpayments.sent", "http.nowpayments.answered", "publish.invite.send.before", "publish.notify.send.after"])
def test_a_process_that_stops_around_a_call_leaves_one_credit(shop: Shop, where: str) -> None:
    order = shop.order()
    payment = order.payment("finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.notify(payment)
    failpoints.arm({f"payment.settle.start.{where}": crash})
    with pytest.raises(Crash):
        shop.settle()
    shop.later(200)
    shop.settle(within_s=200)
    assert (order.state, shop.outcome(payment)) == ("paid", "credited")
    assert shop.value("SELECT count(*) FROM ledger_tx WHERE kind = 'payment.credit'") == 1


def test_a_wake_up_that_was_lost_is_healed_by_the_sweep(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment("finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    shop.queue.down = True
    assert shop.notify(payment).status_code == 200
    assert shop.queue.waiting == []
    shop.queue.down = False
    shop.later(120)
    _ring(shop, "/sweep", "sweep", "2026-03-01T09:30:00Z")
    shop.settle(within_s=120)
    assert order.state == "paid"


def test_the_sweep_forgets_old_schedule_work_and_nothing_else(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    _ring(shop, "/sweep", "sweep", "2026-03-01T09:30:00Z")
    shop.settle()
    settled = len(shop.sent("payment.settle"))
    shop.later(8 * 86400)
    _ring(shop, "/sweep", "sweep", "2026-03-09T09:30:00Z")
    shop.queue.run(within_s=60)
    assert shop.sent("work.sweep") == ["2026-03-09T09:30:00Z"]
    assert len(shop.sent("payment.settle")) == settled


def _ring(shop: Shop, path: str, name: str, at: str) -> None:
    assert ring(shop.orchestrator, path, name, at).status_code == 200


def test_the_hash_of_the_vendors_payout_is_asked_for_until_it_is_there(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    assert len([path for path in shop.vendor.asked if path.startswith("/payment/")]) == 1
    shop.later(400)
    shop.settle(within_s=400)
    assert shop.value("SELECT last_error FROM work WHERE step = 'payment.payout_hash'") == "the vendor has not sent it yet"
    said = "AB" * 32
    shop.vendor.payments[str(payment["payment_id"])] |= {"payout_hash": said}
    shop.later(800)
    shop.settle(within_s=800)
    assert shop.value("SELECT payout_hash FROM processed_payments") == f"0x{said.lower()}"
    assert shop.sent("arrival.look") == [f"0x{said.lower()}"]


def test_money_that_the_vendor_has_not_sent_for_a_day_is_an_alarm_once(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "finished")
    for hours in (25, 27, 29):
        shop.later(hours * 3600)
        shop.orchestrator.extensions["pgp"].engine.run("payment.payout_hash", shop.sent("payment.payout_hash")[0])
    assert shop.letters() == [("payment.payout_hash", "not_sent_for_a_day")]
    assert shop.value("SELECT state FROM work WHERE step = 'payment.payout_hash'") == "open"


@pytest.mark.parametrize("said", ["hash", "0x12", "0x" + "zz" * 32])
def test_a_payout_hash_that_is_none_is_parked(shop: Shop, said: str) -> None:
    payment = shop.order().payment(payout_hash=said)
    shop.pay(payment, "finished")
    assert shop.letters() == [("payment.payout_hash", "strange_payout_hash")]


def test_every_step_of_the_manifest_was_here() -> None:
    assert {step.name for step in ORCHESTRATOR.steps} == {
        *("payment.settle", "payment.payout_hash", "work.sweep", "payments.reconcile", "payments.list", "books.check", "books.audit"),
    }
