"""What a notice sets in motion: one credit, one entitlement, whatever the order and number of the notices."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from PGP_COMMON.database import BaseDatabaseManager
from tests.support.sales import BUYER, WHOLE_WAY, Shop, fee, units


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Shop]:
    """A shop of its own."""
    made = Shop(database_url, settings)
    yield made
    made.close()


def test_a_payment_credits_its_owner_and_gives_its_buyer_access(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment, *WHOLE_WAY)
    assert (order.state, shop.outcome(payment)) == ("paid", "credited")
    assert shop.balance(f"owner:{shop.owner_id}:pending") == units(payment) - fee(payment)
    assert shop.balance("income:fee") == fee(payment)
    assert shop.balance("np_transit") == units(payment)
    ((days, state, mode),) = shop.rows(
        "SELECT CAST(e.ends_at - e.starts_at AS text), v.state, v.mode FROM entitlement e JOIN invite v ON v.entitlement_id = e.id"
    )
    assert (days, state, mode) == ("30 days", "planned", "join_request")
    assert len(shop.sent("invite.send")) == len(shop.sent("notify.send")) == len(shop.sent("payment.payout_hash")) == 1
    assert shop.rows("SELECT kind, chat_id FROM notification") == [("sale", 777)]
    assert shop.value("SELECT value_usd FROM processed_payments") == Decimal("19.8")


def test_fifty_identical_notices_at_once_are_one_row_and_one_credit(shop: Shop) -> None:
    payment = shop.order().payment("finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(shop.notify(payment).status_code)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 50
    assert shop.rows("SELECT times_seen FROM inbox") == [(50,)]
    assert len(shop.sent("payment.settle")) == len(shop.queue.waiting) == 1
    shop.settle(twice=True)
    assert shop.value("SELECT count(*) FROM ledger_tx WHERE kind = 'payment.credit'") == 1


def test_the_same_notice_settled_by_eight_workers_at_once_is_credited_once(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment("finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment
    for status in ("finished", "partially_paid"):
        shop.notify(payment | {"payment_status": status})
    engine = shop.orchestrator.extensions["pgp"].engine
    subjects = shop.sent("payment.settle") * 4
    threads = [threading.Thread(target=engine.run, args=("payment.settle", subject)) for subject in subjects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shop.settle(within_s=600)
    assert shop.value("SELECT count(*) FROM ledger_tx WHERE kind = 'payment.credit'") == 1
    assert shop.value("SELECT count(*) FROM payout_accumulation") == shop.value("SELECT count(*) FROM entitlement") == 1


def test_notices_in_any_order_and_doubled_end_the_same(shop: Shop, dice: random.Random) -> None:
    for _ in range(6):
        order = shop.order(buyer_id=dice.randrange(1, 2**52))
        payment = order.payment("finished")
        shop.vendor.payments[str(payment["payment_id"])] = payment
        told = [*WHOLE_WAY, *WHOLE_WAY]
        dice.shuffle(told)
        for status in told:
            shop.notify(payment | {"payment_status": status})
        shop.settle(dice=dice, twice=True)
        assert (order.state, shop.outcome(payment)) == ("paid", "credited")
        assert shop.value("SELECT status FROM processed_payments WHERE order_id = :id", id=order.id) == "finished"
    assert shop.value("SELECT count(*) FROM entitlement") == shop.value("SELECT count(*) FROM ledger_tx WHERE kind = 'payment.credit'") == 6


def test_a_renewal_extends_from_the_end_of_what_the_buyer_has(shop: Shop) -> None:
    for _ in range(3):
        shop.pay(shop.order().payment(), "finished")
    found = shop.rows("SELECT starts_at, ends_at FROM entitlement ORDER BY starts_at")
    assert [later[0] for later in found[1:]] == [earlier[1] for earlier in found[:-1]]
    assert shop.value("SELECT count(*) FROM membership WHERE buyer_id = :buyer", buyer=BUYER) == 1


def test_two_orders_of_one_buyer_settled_at_once_follow_one_another(shop: Shop) -> None:
    for _ in range(8):
        payment = shop.order().payment("finished")
        shop.vendor.payments[str(payment["payment_id"])] = payment
        shop.notify(payment)
    engine = shop.orchestrator.extensions["pgp"].engine
    threads = [threading.Thread(target=engine.run, args=("payment.settle", subject)) for subject in shop.sent("payment.settle")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shop.settle(within_s=600)
    assert shop.value("SELECT count(*) FROM entitlement") == 8
    assert shop.value("SELECT max(ends_at) - min(starts_at) = interval '240 days' FROM entitlement")


def test_a_donation_credits_its_owner_and_opens_no_channel(shop: Shop) -> None:
    order = shop.order(days=None)
    shop.pay(order.payment(), "finished")
    assert order.state == "paid"
    assert shop.value("SELECT count(*) FROM entitlement") == 0
    assert shop.rows("SELECT kind FROM notification") == [("donation",)]


def test_part_of_the_price_is_a_state_and_the_rest_completes_it(shop: Shop) -> None:
    order = shop.order()
    half = order.payment()
    half |= {"actually_paid": half["pay_amount"] / 2, "outcome_amount": half["outcome_amount"] / 2}
    shop.pay(half, "waiting", "confirming", "partially_paid")
    assert (order.state, shop.outcome(half)) == ("part_paid", "credited")
    assert shop.value("SELECT count(*) FROM entitlement") == 0
    assert len(shop.sent("invoice.create")) == 1
    assert shop.rows("SELECT kind FROM notification") == [("part_paid",)]
    rest = shop.rest_of(order)
    assert rest.price == Decimal("10.00")
    shop.pay(rest.payment(), "finished")
    assert order.state == "paid"
    assert shop.value("SELECT count(*) FROM entitlement") == 1
    assert shop.balance(f"owner:{shop.owner_id}:pending") + shop.balance("income:fee") == shop.balance("np_transit") == 2 * units(half)


def test_network_dust_is_within_the_owners_tolerance(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment | {"actually_paid": payment["pay_amount"] * Decimal("0.991")}, "partially_paid")
    assert order.state == "paid"


def test_a_rest_below_the_vendors_minimum_is_not_asked_for_and_the_days_are_cut(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.vendor.minimum_usd = Decimal(11)
    shop.pay(payment | {"actually_paid": payment["pay_amount"] / 2, "outcome_amount": payment["outcome_amount"] / 2}, "partially_paid")
    assert order.state == "paid"
    assert shop.sent("invoice.create") == []
    assert shop.value("SELECT CAST(ends_at - starts_at AS text) FROM entitlement") == "15 days"


def test_a_larger_outcome_later_is_booked_as_its_difference(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment | {"actually_paid": payment["pay_amount"] / 2, "outcome_amount": payment["outcome_amount"] / 2}, "partially_paid")
    shop.pay(payment, "finished")
    assert order.state == "paid"
    assert shop.rows("SELECT part FROM payout_accumulation ORDER BY part") == [(1,), (2,)]
    key = shop.value("SELECT CAST(id AS text) FROM processed_payments")
    assert shop.rows("SELECT reference FROM ledger_tx WHERE kind = 'payment.credit' ORDER BY id") == [(key,), (f"{key}/2",)]
    assert shop.balance("np_transit") == units(payment)
    assert shop.balance("income:fee") == fee(payment)


def test_a_smaller_outcome_later_changes_nothing_and_is_told_to_a_person(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "partially_paid")
    before = shop.balance("np_transit")
    shop.pay(payment | {"outcome_amount": payment["outcome_amount"] / 4 * 3}, "finished")
    assert shop.balance("np_transit") == before
    assert [source for source, _ in shop.letters()] == ["payment.settle"]


def test_over_payment_is_the_owners_and_access_is_given_once(shop: Shop) -> None:
    order = shop.order()
    payment = order.payment()
    payment |= {"actually_paid": payment["pay_amount"] * 3, "outcome_amount": payment["outcome_amount"] * 3}
    shop.pay(payment, "finished")
    assert order.state == "paid"
    assert shop.value("SELECT paid_usd FROM orders WHERE id = :id", id=order.id) == Decimal(20)
    assert shop.balance("np_transit") == units(payment)
    assert shop.value("SELECT count(*) FROM entitlement") == 1


def test_a_repeated_deposit_on_a_paid_order_is_the_owners_without_access(shop: Shop) -> None:
    order = shop.order()
    first = order.payment()
    shop.pay(first, "finished")
    again = order.payment(parent_payment_id=first["payment_id"], invoice_id=None)
    shop.pay(again, "finished")
    assert shop.outcome(again) == "credited"
    assert shop.rows("SELECT excess FROM processed_payments ORDER BY id") == [(False,), (True,)]
    assert shop.value("SELECT count(*) FROM entitlement") == 1
    assert shop.balance("np_transit") == 2 * units(first)


def test_a_repeated_deposit_counts_toward_an_open_order_by_its_parents_amount(shop: Shop) -> None:
    order = shop.order()
    first = order.payment()
    third = {"actually_paid": first["pay_amount"] / 4, "outcome_amount": first["outcome_amount"] / 4}
    shop.pay(first | third, "partially_paid")
    # The vendor names the repeated deposit itself as what was wanted.
    again = order.payment(parent_payment_id=first["payment_id"], invoice_id=None, **third, pay_amount=third["actually_paid"])
    shop.pay(again, "finished")
    assert order.state == "part_paid"
    assert shop.value("SELECT paid_usd FROM orders WHERE id = :id", id=order.id) == Decimal(10)
    assert shop.value("SELECT count(*) FROM entitlement") == 0


def test_a_late_payment_still_counts(shop: Shop) -> None:
    order = shop.order()
    with shop.db.reading() as tx:
        tx.run("UPDATE orders SET state = 'expired' WHERE id = :id", id=order.id)
    shop.pay(order.payment(), "finished")
    assert order.state == "paid"
    assert shop.value("SELECT count(*) FROM entitlement") == 1


def test_an_invoice_whose_answer_was_lost_can_be_paid(shop: Shop) -> None:
    order = shop.order()
    with shop.db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run("UPDATE invoice SET provider_id = NULL, url = NULL WHERE order_id = :id", id=order.id)
        tx.run("UPDATE orders SET state = 'created' WHERE id = :id", id=order.id)
        tx.run("DELETE FROM state_history WHERE machine = 'order' AND target = 'invoiced'")
    shop.pay(order.payment(), "finished")
    assert order.state == "paid"


@pytest.mark.parametrize("status", ["failed", "expired", "refunded"])
def test_a_payment_that_brings_nothing_is_rejected_and_the_order_stays_open(shop: Shop, status: str) -> None:
    order = shop.order()
    payment = order.payment()
    shop.pay(payment, "waiting", status)
    assert (order.state, shop.outcome(payment)) == ("invoiced", "rejected")
    assert shop.balance("np_transit") == 0
    shop.pay(order.payment(), "finished")
    assert order.state == "paid"


def test_the_work_of_one_settled_payment_stays_small(shop: Shop) -> None:
    payment = shop.order().payment()
    shop.pay(payment, "waiting")
    shop.pay(shop.order(buyer_id=99).payment(), "finished")
    shop.vendor.payments[str(payment["payment_id"])] = payment | {"payment_status": "finished"}
    shop.notify(payment | {"payment_status": "finished"})
    (_, _, subject) = shop.sent("payment.settle")
    engine, before = shop.orchestrator.extensions["pgp"].engine, BaseDatabaseManager.statements
    assert engine.run("payment.settle", subject) == "done"
    assert BaseDatabaseManager.statements - before <= 13
