"""Notices that come at the same moment, in any order and again and again: one credit, whoever settles which of them when."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from PGP_COMMON.clients.nowpayments import Payment as Answer
from PGP_COMMON.clients.nowpayments import read_payment
from PGP_COMMON.money_machines import accumulations, arrivals, crediting, payments
from PGP_ORCHESTRATOR_v1 import finding, verdict
from tests.support.crowd import a_crowd, at_once
from tests.support.sales import WHOLE_WAY, Payment, Shop, units

THREADS = 50
# With --long.
LONGEST_S = 3_600


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Shop]:
    made = Shop(database_url, settings)
    yield made
    made.close()


def ready(shop: Shop, dice: random.Random, status: str = "finished", **changes: Any) -> Payment:
    """A payment of a fresh order that the vendor confirms."""
    payment = shop.order(buyer_id=dice.randrange(1, 2**52)).payment(status, **changes)
    shop.vendor.payments[str(payment["payment_id"])] = payment
    return payment


def credited(shop: Shop) -> int:
    return int(shop.value("SELECT count(*) FROM ledger_tx WHERE kind = 'payment.credit'"))


def open_notices(shop: Shop) -> list[str]:
    """The notices that wait to be settled."""
    return [subject for (subject,) in shop.rows("SELECT subject FROM work WHERE step = 'payment.settle' AND state = 'open'")]


def settle_with(shop: Shop, workers: int, subjects: list[str]) -> None:
    """Let so many workers run these notices at once, each through all of them in its own order, until nothing is open."""
    engine = shop.orchestrator.extensions["pgp"].engine

    def work(seed: int) -> None:
        mine = subjects * 2
        random.Random(seed).shuffle(mine)
        for subject in mine:
            engine.run("payment.settle", subject)

    at_once(*(partial(work, seed) for seed in range(workers)))
    shop.settle(within_s=600)


@pytest.mark.parametrize("turn", range(3))
def test_fifty_equal_notices_at_once_through_the_door_are_one_row_and_one_credit(shop: Shop, dice: random.Random, turn: int) -> None:
    payment = ready(shop, dice)
    answers = at_once(*[lambda: shop.notify(payment).status_code] * THREADS)
    assert answers == [200] * THREADS
    assert shop.rows("SELECT times_seen FROM inbox") == [(THREADS,)]
    (subject,) = shop.sent("payment.settle")
    assert len(shop.queue.waiting) == 1
    settle_with(shop, 8, [subject])
    assert credited(shop) == 1
    assert shop.outcome(payment) == "credited"
    assert shop.value("SELECT count(*) FROM entitlement") == shop.value("SELECT count(*) FROM payout_accumulation") == 1


@pytest.mark.timeout(LONGEST_S)
def test_every_status_at_once_and_in_any_order_is_one_credit(shop: Shop, dice: random.Random, request: pytest.FixtureRequest) -> None:
    """Whoever tells of `finished` first: each status is a notice of its own, and they are settled by eight workers in eight orders."""
    count = 1_000 if request.config.getoption("--long") else 24
    for batch in range(count // 8):
        payments = [ready(shop, dice) for _ in range(8)]
        notices = [payment | {"payment_status": status} for payment in payments for status in WHOLE_WAY]
        dice.shuffle(notices)
        with a_crowd() as crowd:
            for start in range(4):
                crowd.start(lambda mine: [shop.notify(notice) for notice in mine], notices[start::4])
        subjects = open_notices(shop)
        settle_with(shop, 8, subjects)
        assert credited(shop) == (batch + 1) * 8
        assert {shop.outcome(payment) for payment in payments} == {"credited"}
    assert shop.value("SELECT count(*) FROM payout_accumulation") == shop.value("SELECT count(*) FROM entitlement") == count // 8 * 8
    assert shop.rows("SELECT DISTINCT status FROM processed_payments") == [("finished",)]
    shop.check_books()


def test_a_payment_and_its_repeated_deposit_settled_at_once_are_each_credited_once(shop: Shop, dice: random.Random) -> None:
    """Two payments of one order, of which the second names the first as its parent: the days are given once, the money is all the owner's."""
    for turn in range(1, 5):
        order = shop.order(buyer_id=dice.randrange(1, 2**52))
        first = order.payment("finished")
        second = order.payment("finished", parent_payment_id=first["payment_id"], invoice_id=None)
        for payment in (first, second):
            shop.vendor.payments[str(payment["payment_id"])] = payment
            shop.notify(payment)
        settle_with(shop, 4, open_notices(shop))
        # Whoever was settled before its first payment was known comes again.
        shop.later(90 * turn)
        settle_with(shop, 4, open_notices(shop))
        assert [shop.outcome(payment) for payment in (first, second)] == ["credited", "credited"]
        assert shop.value("SELECT count(*) FROM entitlement WHERE order_id = :id", id=order.id) == 1
        shop.check_books()


def test_two_halves_that_are_settled_at_once_make_a_whole_order(shop: Shop, dice: random.Random) -> None:
    """Each half alone would leave the order waiting for the other: whoever is second has to see what the first has paid."""
    for _ in range(8):
        order = shop.order(buyer_id=dice.randrange(1, 2**52))
        for _ in range(2):
            half = order.payment("partially_paid")
            half |= {"actually_paid": half["pay_amount"] / 2, "outcome_amount": half["outcome_amount"] / 2}
            shop.vendor.payments[str(half["payment_id"])] = half
            shop.notify(half)
        subjects = open_notices(shop)
        engine = shop.orchestrator.extensions["pgp"].engine
        at_once(*(partial(engine.run, "payment.settle", subject) for subject in subjects))
        shop.settle(within_s=600)
        assert order.state == "paid"
        assert shop.value("SELECT paid_usd = price_usd FROM orders WHERE id = :id", id=order.id)
        assert shop.value("SELECT count(*) FROM entitlement WHERE order_id = :id", id=order.id) == 1
    shop.check_books()


def test_a_refund_that_races_its_credit_leaves_nothing_that_could_be_converted(shop: Shop, dice: random.Random) -> None:
    """The vendor says `finished`, then `refunded`, and both notices are settled at once: never credited, or credited and taken back."""
    seen = set()
    for _ in range(12):
        payment = ready(shop, dice)
        answers = [payment, payment | {"payment_status": "refunded"}]
        for answer in answers:
            shop.notify(answer)
        subjects = open_notices(shop)
        engine = shop.orchestrator.extensions["pgp"].engine

        def change_its_mind(payment: Payment = answers[1]) -> None:
            shop.vendor.payments[str(payment["payment_id"])] = payment

        at_once(*(partial(engine.run, "payment.settle", subject) for subject in subjects), change_its_mind)
        shop.settle(within_s=600)
        seen.add(shop.outcome(payment))
        pending = shop.value(
            "SELECT count(*) FROM payout_accumulation a JOIN processed_payments p ON p.id = a.payment_id WHERE p.provider_id = :id AND a.state = 'pending'",
            id=str(payment["payment_id"]),
        )
        assert pending == 0
    assert seen <= {"review: refunded", "rejected"}
    shop.check_books()


def test_a_refund_that_races_the_plan_freezes_the_money_or_finds_it_converting_and_never_both(shop: Shop, dice: random.Random) -> None:
    """The plan skips a row that the refund holds, and the refund waits for a row that the plan holds."""
    found = set()
    for _ in range(12):
        payment = ready(shop, dice)
        shop.notify(payment)
        shop.settle(within_s=600)
        number = int(shop.value("SELECT id FROM processed_payments WHERE provider_id = :id", id=str(payment["payment_id"])))
        tx_hash = f"0x{number:064x}"
        with shop.db.transaction() as tx:
            wallet_id = tx.value("SELECT id FROM wallet") or tx.value(
                "INSERT INTO wallet (address, chain_id, first_nonce, next_nonce, scanned_block) VALUES (:a, 1, 0, 0, 0) RETURNING id", a="0x" + "1" * 40
            )
            tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE id = :id", hash=tx_hash, id=number)
            arrivals.book(tx, wallet_id=int(wallet_id), asset="eth", units=units(payment), tx_hash=tx_hash, log="native", block=1, sender="x")
            assert arrivals.match(tx, arrivals.of_transaction(tx, tx_hash)[0])

        def plan() -> int:
            with shop.db.transaction() as tx:
                rows = accumulations.collect_pending(tx, "eth", limit=100)
                if rows:
                    conversion = tx.value(
                        """
                        INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', :units, 'usdterc20', 'x') RETURNING id
                        """,
                        units=sum(row.units for row in rows),
                    )
                    accumulations.begin_conversion(tx, rows, conversion_id=int(conversion))
                return len(rows)

        def take_back(payment: Payment = payment) -> int:
            answer = read_payment(payment | {"payment_status": "refunded"})
            with shop.db.transaction() as tx:
                row = payments.find(tx, answer.payment_id)
                assert row is not None
                crediting.take_back(tx, row, verdict.read(answer, None).sight)
                return int(tx.value("SELECT count(*) FROM payout_accumulation WHERE payment_id = :id AND state = 'frozen'", id=row.id))

        taken, frozen = at_once(plan, take_back)
        assert taken + frozen == 1
        found.add("frozen" if frozen else "converting")
        assert shop.value("SELECT state FROM payout_accumulation WHERE payment_id = :id", id=number) in found
    assert found


def test_two_runs_that_find_the_same_payments_in_opposite_orders_lock_nobody_out(shop: Shop, dice: random.Random) -> None:
    answers = [read_payment(ready(shop, dice)) for _ in range(60)]
    found = {answer.payment_id: answer for answer in answers}
    db = shop.orchestrator.extensions["pgp"].db

    def record(missed: dict[str, Answer]) -> None:
        with db.transaction() as tx:
            finding._keep(tx, finding.JOB, finding.Findings(missed=missed))

    for _ in range(3):
        at_once(partial(record, found), partial(record, dict(reversed(found.items()))))
    assert shop.value("SELECT count(*) FROM inbox WHERE kind = 'found'") == len(found) == len(shop.sent("payment.settle"))
