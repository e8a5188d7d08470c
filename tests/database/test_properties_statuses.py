"""Every status of the payment vendor, for a payment and an order in every state: there is an answer, and money is booked at most once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from PGP_COMMON.clients.nowpayments import RANKS
from PGP_COMMON.engine import Dead, Done, Job, Later
from PGP_COMMON.money_machines import inbox
from PGP_COMMON.money_machines.orders import Order as OrderState
from PGP_COMMON.money_machines.payments import PAYMENT_LIFE
from PGP_COMMON.money_machines.payments import Payment as PaymentState
from PGP_ORCHESTRATOR_v1 import steps, verdict
from tests.support.sales import Order, Payment, Shop, as_notice, fee, units

STATUSES = [*RANKS, "Finished", "wrong_asset_confirmed"]
# None: the payment has never been heard of.
PAYMENTS: list[PaymentState | None] = [None, *PaymentState]
# Written down here once more: what the product believes is what is tested.
PAYS, FAILS = {"partially_paid", "finished"}, {"failed", "expired"}
REASONS = {"unknown_status", "money_after_the_end", "vendor_disagrees"}


@pytest.fixture
def shop(database_url: str, settings: dict[str, str]) -> Iterator[Shop]:
    made = Shop(database_url, settings)
    yield made
    made.close()


def plant(shop: Shop, order: Order, payment: Payment, *, order_state: OrderState, payment_state: PaymentState | None) -> None:
    """Put an order and its payment into any state, past the rules that would want their histories."""
    with shop.db.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run("UPDATE orders SET state = :state WHERE id = :id", state=order_state.value, id=order.id)
        if payment_state is None:
            return
        has_money = payment_state in {PaymentState.CREDITED, PaymentState.REVIEW, PaymentState.REVERSED}
        outcome, kept = (units(payment), fee(payment)) if has_money else (0, 0)
        tx.run(
            """
            INSERT INTO processed_payments (provider_id, order_id, state, status, status_rank, pay_currency, outcome_asset, outcome_units, owner_units, fee_units,
                                            suspense_units, correlation)
            VALUES (:provider, :order, :state, 'waiting', 1, 'eth', :asset, :outcome, :owner, :fee, :suspense, 'c')
            """,
            provider=str(payment["payment_id"]),
            order=order.id,
            state=payment_state.value,
            asset="eth" if has_money else None,
            outcome=outcome,
            owner=outcome - kept if payment_state is PaymentState.CREDITED else 0,
            fee=kept if payment_state is PaymentState.CREDITED else 0,
            suspense=outcome if payment_state is PaymentState.REVIEW else 0,
        )


def settle(shop: Shop, payment: Payment) -> Done | Later | Dead:
    """One settlement, committed; a bug would come out as what it is."""
    shop.vendor.payments[str(payment["payment_id"])] = payment
    body = as_notice(payment)
    runtime = shop.orchestrator.extensions["pgp"]
    with runtime.db.transaction() as tx:
        inbox.add_found(tx, body)
    engine = runtime.engine
    job: Job[Any] = Job("payment.settle", inbox.subject_of(body), "start", 1, 1, engine.db, engine.config, engine.clients)
    return engine.db.rerun(steps.settle(job))


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_an_answer_whatever_is_known(shop: Shop, status: str) -> None:
    for payment_state, order_state in itertools.product(PAYMENTS, OrderState):
        order = shop.order(buyer_id=shop.new_id())
        payment = order.payment(status)
        plant(shop, order, payment, order_state=order_state, payment_state=payment_state)
        before = shop.value("SELECT count(*) FROM ledger_tx")
        outcome = settle(shop, payment)
        case = (status, payment_state, order_state, outcome)
        assert isinstance(outcome, Done | Later) or outcome.reason in REASONS, case
        found = shop.rows("SELECT state, status_rank FROM processed_payments WHERE provider_id = :id", id=str(payment["payment_id"]))
        expect(status, payment_state, found[0] if found else None, posted=shop.value("SELECT count(*) FROM ledger_tx") - before, case=case)
        entitled = shop.value("SELECT count(*) FROM entitlement WHERE order_id = :id", id=order.id)
        assert entitled == int(is_credited(status, payment_state) and order_state is not OrderState.PAID), case
        assert type(settle(shop, payment)) is type(outcome), case
        assert shop.value("SELECT count(*) FROM ledger_tx") - before <= 1, case


def is_credited(status: str, before: PaymentState | None) -> bool:
    return status in PAYS and before in {None, PaymentState.OBSERVED}


def expect(status: str, before: PaymentState | None, after: tuple[Any, ...] | None, *, posted: int, case: object) -> None:
    """What a status may make of a payment: nothing but moves of its table, and money once, for what pays and was not booked."""
    start = before or PaymentState.OBSERVED
    if after is None:
        assert status not in RANKS, case
        return
    state, rank = PaymentState(str(after[0])), int(after[1])
    assert state is start or state in PAYMENT_LIFE.moves[start], case
    assert rank >= (1 if before else 0), case
    assert posted == int(is_credited(status, before)), case
    if is_credited(status, before):
        assert state is PaymentState.CREDITED, case
    elif status in FAILS and start is PaymentState.OBSERVED:
        assert state is PaymentState.REJECTED, case
    elif status == "refunded" and start in {PaymentState.OBSERVED, PaymentState.CREDITED}:
        assert state is (PaymentState.REJECTED if start is PaymentState.OBSERVED else PaymentState.REVIEW), case
    else:
        assert state is start, case


def test_ranks_rise_with_what_a_status_decides() -> None:
    """What pays is looked up, what only shows how far it is comes before, and nothing that pays ranks with what fails."""
    assert (verdict.PAYABLE, verdict.FAILED, verdict.REFUNDED) == (PAYS, FAILS, "refunded")
    assert all(RANKS[status] >= verdict.DECISIVE_RANK for status in (*PAYS, *FAILS, "refunded"))
    assert all(RANKS[status] < verdict.DECISIVE_RANK for status in ("waiting", "confirming", "confirmed", "sending"))
    assert {RANKS[status] for status in PAYS}.isdisjoint({RANKS[status] for status in FAILS})
