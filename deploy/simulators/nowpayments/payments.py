"""The life of a payment at NOWPayments: opened, paid, moved from status to status, one callback and at most one payout."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eth_utils.address import to_checksum_address

from deploy.simulators import javascript
from deploy.simulators.books import Row
from deploy.simulators.market import BY_CODE
from deploy.simulators.nowpayments import bodies, pricing, signing, store
from deploy.simulators.nowpayments.store import Vendor

WHOLE_WAY = ("waiting", "confirming", "confirmed", "sending", "finished")
# Statuses in which nothing has been seen on the payer's chain.
UNPAID = frozenset({"waiting", "expired"})
# Statuses in which the vendor owes the merchant the outcome.
PAYABLE = frozenset({"finished", "partially_paid"})
# Coins that the vendor can really pay out on the local chain.
ON_CHAIN = frozenset({"eth", "usdterc20"})
MOVE_POLL_S = 0.2


class BadOrderError(ValueError):
    """The order to pay makes no sense."""


@dataclass(frozen=True)
class Deal:
    """What a payment is for and from where."""

    price_amount: Decimal
    price_currency: str
    order_id: str | None
    order_description: str | None
    ipn_callback_url: str | None
    invoice_id: int | None = None
    parent_payment_id: int | None = None
    purchase_id: int | None = None
    is_fixed_rate: bool = False


def deal_of(row: Row, *, invoice_id: int | None = None, parent_payment_id: int | None = None) -> Deal:
    """Make another payment's deal out of an invoice or an earlier payment."""
    return Deal(
        price_amount=Decimal(row["price_amount"]),
        price_currency=row["price_currency"],
        order_id=row["order_id"],
        order_description=row["order_description"],
        ipn_callback_url=row["ipn_callback_url"],
        invoice_id=invoice_id,
        parent_payment_id=parent_payment_id,
        purchase_id=row.get("purchase_id"),
        is_fixed_rate=bool(row["is_fixed_rate"]),
    )


def open_payment(vendor: Vendor, deal: Deal, order: Mapping[str, Any]) -> int:
    """Write a payment down, and at once or by and by move it through the statuses of the order; gives its id.

    The order is what the control door takes: pay_currency, pay_amount, actually_paid, outcome_amount, outcome_currency, statuses,
    pace_s, payout, ipns, ipn_overrides. Raises BadOrderError, and UnknownCurrencyError for a currency nobody knows.
    """
    row = _drawn_up(vendor, deal, order)
    with vendor.books.write():
        store.insert(vendor.books, "payments", row)
        _advance(vendor, row["id"])
    ring(vendor)
    return int(row["id"])


def _drawn_up(vendor: Vendor, deal: Deal, order: Mapping[str, Any]) -> Row:
    books, account = vendor.books, vendor.account
    coin, outcome_coin = str(order.get("pay_currency") or "eth"), str(order.get("outcome_currency") or account.payout_currency)
    pay_amount = _amount(order, "pay_amount", pricing.convert(books, deal.price_amount, deal.price_currency, coin, up=True))
    paid = _amount(order, "actually_paid", pay_amount)
    gross = pricing.convert(books, paid, coin, outcome_coin)
    # A full payment is worth its price, whatever the rounding of pay_amount.
    if paid == pay_amount:
        gross = pricing.convert(books, deal.price_amount, deal.price_currency, outcome_coin)
    fee = pricing.service_fee(gross, account.service_fee_percent, outcome_coin)
    outcome = _amount(order, "outcome_amount", max(gross - fee, Decimal(0)))
    if outcome_coin in ON_CHAIN and -Decimal(outcome.as_tuple().exponent) > BY_CODE[outcome_coin].decimals:
        raise BadOrderError("outcome_amount has more decimals than the coin")
    statuses = order.get("statuses") or _usual_way(paid, pay_amount)
    pace_s = float(order.get("pace_s", account.status_pace_s))
    return {
        "id": store.new_id(),
        "invoice_id": deal.invoice_id,
        "parent_payment_id": deal.parent_payment_id,
        "purchase_id": deal.purchase_id or store.new_id(),
        "payment_status": "",
        "plan": json.dumps(list(statuses)),
        "next_move_at": time.time(),
        "pace_s": pace_s,
        "pay_address": to_checksum_address(secrets.token_bytes(20)),
        "price_amount": _text(deal.price_amount),
        "price_currency": deal.price_currency,
        "pay_amount": _text(pay_amount),
        "will_pay": _text(paid),
        "actually_paid": "0",
        "pay_currency": coin,
        "order_id": deal.order_id,
        "order_description": deal.order_description,
        "ipn_callback_url": deal.ipn_callback_url if order.get("ipns", True) else None,
        "is_fixed_rate": deal.is_fixed_rate,
        "outcome_amount": _text(outcome),
        "outcome_currency": outcome_coin,
        "service_fee": _text(fee),
        "ipn_overrides": javascript.stringify(order["ipn_overrides"]) if order.get("ipn_overrides") else None,
        "payin_hash": None,
        "payout_state": "wanted" if order.get("payout", True) and outcome_coin in ON_CHAIN else "off",
        "payout_hash": None,
        "created_at": store.now_iso(),
        "updated_at_ms": int(time.time() * 1000),
    }


def change(vendor: Vendor, payment: Row, order: Mapping[str, Any]) -> None:
    """Go on with a payment that is there: new amounts if the order has any, then its statuses."""
    amounts = {name: _amount(order, name, Decimal(payment[name])) for name in ("pay_amount", "outcome_amount")}
    paid = _amount(order, "actually_paid", Decimal(payment["will_pay"]))
    statuses = order.get("statuses") or _usual_way(paid, amounts["pay_amount"])[1:]
    with vendor.books.write():
        vendor.books.run(
            """UPDATE payments SET pay_amount = ?, outcome_amount = ?, will_pay = ?, plan = ?, next_move_at = ?, pace_s = ?,
                      ipn_overrides = ?
                WHERE id = ?""",
            (
                *map(_text, amounts.values()),
                _text(paid),
                json.dumps(list(statuses)),
                time.time(),
                float(order.get("pace_s", payment["pace_s"])),
                javascript.stringify(order["ipn_overrides"]) if order.get("ipn_overrides") else payment["ipn_overrides"],
                payment["id"],
            ),
        )
        _advance(vendor, payment["id"])
    ring(vendor)


def _advance(vendor: Vendor, payment_id: int) -> None:
    """Take the payment's next status, or all of them when it has no pace; within a transaction."""
    while True:
        row = store.payment(vendor.books, payment_id) or {}
        plan = bodies.plan_of(row)
        if not plan:
            return
        _move(vendor, row, plan[0], plan[1:])
        if row["pace_s"] > 0:
            return


def _move(vendor: Vendor, row: Row, status: str, rest: Sequence[str]) -> None:
    unpaid = status in UNPAID
    due = status in PAYABLE and row["payout_state"] == "wanted" and Decimal(row["outcome_amount"]) > 0
    row |= {
        "payment_status": status,
        "plan": json.dumps(list(rest)),
        "next_move_at": time.time() + row["pace_s"] if rest else None,
        "actually_paid": "0" if unpaid else row["will_pay"],
        "payin_hash": row["payin_hash"] if unpaid or row["payin_hash"] else secrets.token_hex(32),
        "payout_state": "due" if due else row["payout_state"],
        "updated_at_ms": max(int(time.time() * 1000), row["updated_at_ms"] + 1),
    }
    vendor.books.run(
        """UPDATE payments SET payment_status = :payment_status, plan = :plan, next_move_at = :next_move_at, payin_hash = :payin_hash,
                  actually_paid = :actually_paid, payout_state = :payout_state, updated_at_ms = :updated_at_ms
            WHERE id = :id""",
        row,
    )
    write_ipn(vendor, row)


def write_ipn(vendor: Vendor, payment: Row) -> None:
    """Write down a callback about a payment as it stands now; nothing when the merchant has no address or no secret for it."""
    if payment["ipn_callback_url"]:
        write_message(vendor, payment["ipn_callback_url"], bodies.ipn(payment), payment["id"])


def write_message(vendor: Vendor, url: str, body: Mapping[str, Any], payment_id: int | None = None) -> None:
    """Write down any callback, to be signed and sent by the courier."""
    if not vendor.account.ipn_secret:
        return
    row = {
        "payment_id": payment_id,
        "payment_status": body.get("payment_status"),
        "url": url,
        "body": signing.canonical(body),
        "state": "due",
        "next_at": time.time(),
        "created_at": store.now_iso(),
    }
    store.insert(vendor.books, "ipns", row)


def mover(vendor: Vendor) -> Callable[[threading.Event], None]:
    """Give the worker that moves payments which have a pace, and lets waiting ones expire."""

    def run(stop: threading.Event) -> None:
        while not stop.wait(MOVE_POLL_S):
            move_due(vendor)

    return run


def move_due(vendor: Vendor) -> None:
    """Move every payment whose time has come."""
    due = vendor.books.all("SELECT id FROM payments WHERE next_move_at <= ?", (time.time(),))
    too_old = store.iso(int((time.time() - vendor.account.expiry_s) * 1000))
    old = "SELECT id FROM payments WHERE payment_status = 'waiting' AND next_move_at IS NULL AND created_at < ?"
    for row in vendor.books.all(old, (too_old,)):
        vendor.books.run("UPDATE payments SET plan = '[\"expired\"]' WHERE id = ?", (row["id"],))
        due.append(row)
    for row in due:
        with vendor.books.write():
            _advance(vendor, row["id"])
    if due:
        ring(vendor)


def ring(vendor: Vendor) -> None:
    """Wake the workers: there is something to send or to pay."""
    vendor.ipn_bell.set()
    vendor.payout_bell.set()


def _usual_way(paid: Decimal, wanted: Decimal) -> tuple[str, ...]:
    return WHOLE_WAY if paid >= wanted else (*WHOLE_WAY[:-1], "partially_paid")


def _amount(order: Mapping[str, Any], name: str, default: Decimal) -> Decimal:
    value = order.get(name)
    if value is None:
        return default
    amount = number(value)
    if amount is None:
        raise BadOrderError(f"{name} is not a number")
    return amount


def number(value: object) -> Decimal | None:
    """Read a number or its text; None when it is neither."""
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and not isinstance(value, bool) else None


def _text(amount: Decimal) -> str:
    return format(amount, "f")
