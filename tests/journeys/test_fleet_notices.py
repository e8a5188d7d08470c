"""Notices of payments reach real processes many times at once and in the wrong order; money and access come once."""

from __future__ import annotations

import random

import pytest

from deploy.local.demo import acts
from deploy.local.demo.people import Buyer, Owner
from tests.support.running_fleet import Fleet, deliver, intercepted, wait_until

pytestmark = pytest.mark.fleet


def credited_once(fleet: Fleet, buyer: Buyer) -> bool:
    """Whether a payment is in the books exactly once: itself, its posting, its accumulation, its order's entitlement."""
    counts = fleet.value(
        """
        SELECT ARRAY[count(*), count(DISTINCT l.id), count(DISTINCT a.id), count(DISTINCT e.id)]
          FROM processed_payments p JOIN ledger_tx l ON l.kind = 'payment.credit' AND l.reference IN (p.provider_id, CAST(p.id AS text))
          JOIN payout_accumulation a ON a.payment_id = p.id JOIN entitlement e ON e.order_id = p.order_id
         WHERE p.provider_id = :id AND p.state = 'credited'
        """,
        id=buyer.payment_id,
    )
    return list(counts) == [1, 1, 1, 1]


def test_fifty_identical_notices_at_once_give_one_credit(fleet: Fleet, shop: Owner) -> None:
    buyer = fleet.ordered(shop)
    fleet.world.control("nowpayments", "faults", {"operation": "ipn", "mode": "duplicate", "value": 50})
    paid = fleet.world.control("nowpayments", f"invoices/{buyer.invoice_id}/pay", {"pay_currency": "eth", "statuses": ["finished"]})
    buyer.payment_id = str(paid["payment_id"])
    acts.enter(fleet.world, buyer)

    def seen() -> object:
        body = f'%"payment_id":{buyer.payment_id}%'
        return fleet.value("SELECT ARRAY[count(*), sum(times_seen)] FROM inbox WHERE convert_from(body, 'UTF8') LIKE :body", body=body)

    wait_until(lambda: seen() == [1, 50], what="fifty notices kept as one")
    assert credited_once(fleet, buyer)


def test_notices_in_any_order_lead_to_the_same_end(fleet: Fleet, shop: Owner, dice: random.Random) -> None:
    buyer = fleet.ordered(shop)
    bodies = intercepted(fleet, buyer, ["waiting", "confirming", "confirmed", "sending", "finished"])
    assert [body.count(b'"payment_status":"finished"') for body in bodies] == [0, 0, 0, 0, 1]
    rest = bodies[:-1]
    dice.shuffle(rest)
    secret = fleet.known["NOWPAYMENTS_IPN_SECRET"].partition(",")[0]
    # The last one overtakes all others.
    assert [deliver(fleet, body, secret) for body in (bodies[-1], *rest)] == [200] * 5
    acts.enter(fleet.world, buyer)
    open_work = "SELECT count(*) FROM work WHERE step = 'payment.settle' AND state <> 'done'"
    wait_until(lambda: fleet.value(open_work) == 0, what="the settling of every notice")
    assert credited_once(fleet, buyer)
    assert fleet.value("SELECT o.state FROM orders o JOIN processed_payments p ON p.order_id = o.id WHERE p.provider_id = :id", id=buyer.payment_id) == "paid"
