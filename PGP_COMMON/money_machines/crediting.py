"""Crediting: what a payment's money sets in motion, all of it in the transaction that books it.

ORCHESTRATOR does this when the vendor has confirmed a payment, an operator when he has looked at one in review. Both have locked the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any, Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import bury
from PGP_COMMON.errors import BrokenRule, Conflict, NotFound
from PGP_COMMON.money import fee_of
from PGP_COMMON.money_machines import access, accumulations, ledger, notices, orders, payment_cases, payments, transit
from PGP_COMMON.money_machines.orders import Order, Sold
from PGP_COMMON.money_machines.payments import Payment, PaymentRow, Sight

CENT: Final = Decimal("0.01")
# Where a payment in review waits for a person; the letter's subject is the payment's id.
REVIEW: Final = "payment.review"
DECIDE: Final = "`pgp suspense list`; then `pgp suspense resolve`, `pgp suspense refund` or `pgp suspense reject`"


@dataclass(frozen=True)
class Worth:
    """What a payment is worth in USD: toward its order, and its outcome at this moment (None: unpriced).

    `least_usd` is the least that the vendor makes an invoice for, None when that is not known.
    """

    paid_usd: Decimal
    value_usd: Decimal | None = None
    least_usd: Decimal | None = None


@dataclass(frozen=True)
class Fate:
    """What becomes of an order: its state, what has been paid for it, the days that were bought, and the rest to ask for."""

    state: str
    paid_usd: Decimal
    days: int | None = None
    rest_usd: Decimal | None = None


def fate_of(sold: Sold, *, paid_usd: Decimal, least_usd: Decimal | None) -> Fate:
    """Decide what so much paid (USD, in all) makes of an open order (product.md 7.3).

    A rest that the vendor makes no invoice for is not asked for: a subscription lasts as many days as were paid, at least one.
    """
    if sold.is_met_by(paid_usd):
        return Fate(Order.PAID, paid_usd, sold.days)
    rest = (sold.price_usd - paid_usd).quantize(CENT, ROUND_UP)
    if least_usd is None or rest >= least_usd:
        return Fate(Order.PART_PAID, paid_usd, rest_usd=rest if paid_usd > sold.paid_usd else None)
    if sold.days is None:
        return Fate(Order.PAID, paid_usd)
    days = int(sold.days * paid_usd / sold.price_usd)
    return Fate(Order.PAID, paid_usd, days) if days else Fate(Order.PART_PAID, paid_usd)


def credit(tx: Transaction, sold: Sold, payment: PaymentRow, sight: Sight, worth: Worth, *, look_after_s: int = 0) -> str:
    """Book all that has come of a payment and is not booked yet to its owner, and give the buyer what it pays for.

    What no order needs is the owner's as well, without access. A second call with the same sight changes nothing. Gives back a word for the log.
    `look_after_s`: when the vendor is first asked which transaction brings the money. Raises Conflict when less has come than is booked.
    """
    again = payment.state == Payment.CREDITED
    excess = payment.excess if again else not sold.is_open
    if sight.outcome_units < payment.outcome_units:
        raise Conflict("the vendor names a smaller outcome than before", payment=payment.id)
    if again and sight.outcome_units == payment.outcome_units:
        return "credited before"
    if not excess and sold.is_open:
        before = payment.paid_usd if again else Decimal(0)
        fate = fate_of(sold, paid_usd=sold.paid_usd - before + max(before, worth.paid_usd), least_usd=worth.least_usd)
        _follow(tx, sold, fate)
        if not again:
            _tell_owner(tx, sold, payment, fate)
    _book(tx, sold, payment, sight, worth, excess=excess, look_after_s=look_after_s)
    return "credited as excess" if excess else "credited"


def _follow(tx: Transaction, sold: Sold, fate: Fate) -> None:
    """Move the order on, and give what it bought or ask for the rest."""
    if fate.state == Order.PAID and fate.days:
        access.plan_entitlement(tx, channel_id=sold.channel_id, buyer_id=sold.buyer_id, order_id=sold.id, days=fate.days, mode=sold.access_mode)
    if fate.rest_usd is not None:
        tx.send("invoice.create", orders.add_invoice(tx, sold.id, price_usd=fate.rest_usd))
    source = sold.state
    if source == Order.CREATED:
        # The answer with its invoice was lost, and yet somebody paid it.
        orders.mark_invoiced(tx, sold.id)
        source = Order.INVOICED
    orders.record_paid(tx, sold.id, source=source, state=fate.state, paid_usd=fate.paid_usd)


def _tell_owner(tx: Transaction, sold: Sold, payment: PaymentRow, fate: Fate) -> None:
    kind: notices.Kind = "donation" if sold.kind == "donation" else "sale"
    notices.tell(tx, kind if fate.state == Order.PAID else "part_paid", payment.id, sold.notify_chat_id)


def _book(tx: Transaction, sold: Sold, payment: PaymentRow, sight: Sight, worth: Worth, *, excess: bool, look_after_s: int) -> None:
    """Write down whose the money is: the payment, the owner's accumulation, the ledger. Rounding favours the owner."""
    asset = sight.outcome_asset
    if asset is None:
        raise BrokenRule("money of an unknown coin cannot be credited")
    fee = fee_of(sight.outcome_units, sold.fee_percent)
    owner, suspense = sight.outcome_units - fee, payment.suspense_units
    moved = payments.credit(
        tx,
        payment.id,
        sight,
        source=Payment(payment.state),
        owner_units=owner,
        fee_units=fee,
        paid_usd=worth.paid_usd,
        value_usd=worth.value_usd,
        excess=excess,
    )
    if not moved:
        raise Conflict("somebody else moved the payment", payment=payment.id)
    new_owner, new_fee, part = owner - payment.owner_units, fee - payment.fee_units, payment.parts + 1
    if new_owner:
        accumulations.insert(tx, payment_id=payment.id, part=part, owner_id=sold.owner_id, channel_id=sold.channel_id, asset=asset, units=new_owner)
    tx.send("payment.payout_hash", payment.id, after_s=look_after_s)
    if not new_owner + new_fee:
        return
    source, kind = (ledger.suspense(asset), "suspense.resolve") if suspense else (ledger.np_transit(asset), "payment.credit")
    if payment.outcome_units:
        # What its arrival left open is posted as well.
        ledger.lock(tx, source, ledger.owed(sold.owner_id, "pending", asset), ledger.fee_income(asset), ledger.swap_expense(asset))
    lines = [
        ledger.debit(source, new_owner + new_fee),
        ledger.credit(ledger.owed(sold.owner_id, "pending", asset), new_owner),
        ledger.credit(ledger.fee_income(asset), new_fee),
    ]
    if not ledger.post(tx, kind, payment.id if payment.state != Payment.CREDITED else f"{payment.id}/{part}", lines):
        raise BrokenRule(f"{kind} of payment {payment.id} was posted before")
    transit.follow_credit(tx, payment.id, asset=asset, before=payment.outcome_units, outcome=sight.outcome_units)


def hold(tx: Transaction, payment: PaymentRow, sight: Sight, *, reason: str, value_usd: Decimal | None = None, detail: Mapping[str, Any]) -> None:
    """Keep a payment for a person: what came of it is suspense, nobody gets anything, and a letter says why."""
    payments.review(tx, payment.id, sight, reason=reason, value_usd=value_usd)
    bury(tx, source=REVIEW, subject=str(payment.id), reason=reason, detail={"vendor_id": sight.provider_id, "status": sight.status, "next": DECIDE, **detail})
    new = sight.outcome_units - payment.outcome_units
    if new > 0 and sight.outcome_asset is not None:
        tx.send("payment.payout_hash", payment.id)
        asset = sight.outcome_asset
        if payment.outcome_units:
            ledger.lock(tx, ledger.np_transit(asset), ledger.suspense(asset), ledger.swap_expense(asset))
        lines = [ledger.debit(ledger.np_transit(asset), new), ledger.credit(ledger.suspense(asset), new)]
        ledger.post(tx, "payment.review", payment.id if not payment.outcome_units else f"{payment.id}/{sight.outcome_units}", lines)
        transit.follow_credit(tx, payment.id, asset=asset, before=payment.outcome_units, outcome=sight.outcome_units)


def resolve(tx: Transaction, provider_id: str, *, paid_usd: Decimal) -> str:
    """A person has looked at a payment in review: its suspense is its owner's, and it counts `paid_usd` toward its order.

    Everything follows that follows from a credit. Raises NotFound when no payment of this id is in review, Conflict when no money of it is in suspense.
    """
    case = payment_cases.reviewed(tx, provider_id)
    if case is None:
        raise NotFound("no payment of this id is in review", vendor_id=provider_id)
    sold = orders.lock(tx, case.unique_id, provider_invoice_id=case.invoice, price_usd=case.price_usd)
    payment = payments.find(tx, provider_id)
    if sold is None or payment is None or payment.state != Payment.REVIEW or not payment.suspense_units:
        raise Conflict("nothing of this payment is in suspense", vendor_id=provider_id)
    return credit(tx, sold, payment, case.sight(provider_id), Worth(paid_usd))


def take_back(tx: Transaction, payment: PaymentRow, sight: Sight) -> None:
    """A credited payment went back to its buyer: freeze what of it is not yet converted, and tell a person. The ledger waits for him."""
    if not payments.take_back(tx, payment.id, sight):
        return
    frozen = accumulations.freeze(tx, payment.id)
    detail = {"vendor_id": sight.provider_id, "parts": payment.parts, "frozen": frozen, "next": "`pgp payment reverse`, or `pgp payment keep`"}
    bury(tx, source=REVIEW, subject=str(payment.id), reason="refunded", detail=detail)
