"""What only a test can do at NOWPayments: pay an invoice, deposit again, move a payment, have a callback sent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from flask import Blueprint, jsonify, request

from deploy.simulators.nowpayments import bodies, payments, store
from deploy.simulators.nowpayments.reading import RefusedError, the_vendor

door = Blueprint("door", __name__, url_prefix="/_control")


@door.post("/invoices/<invoice_id>/pay")
def pay_invoice(invoice_id: str) -> Any:
    """Pay an invoice: everything in the body is optional, an empty one pays all of it in ETH and ends finished."""
    vendor = the_vendor()
    invoice = store.invoice(vendor.books, invoice_id)
    if invoice is None:
        raise RefusedError(404, "Invoice not found")
    order = _order()
    parent = order.get("parent_payment_id")
    deal = payments.deal_of(invoice, invoice_id=None if parent else invoice["id"], parent_payment_id=parent)
    order.setdefault("pay_currency", invoice["pay_currency"])
    return _paid(payments.open_payment(vendor, deal, order))


@door.post("/payments/<payment_id>/pay")
def go_on(payment_id: str) -> Any:
    """Go on with a payment: pay a waiting one, or move any to other statuses and amounts."""
    row = _payment(payment_id)
    payments.change(the_vendor(), row, _order())
    return _paid(row["id"])


@door.post("/payments/<payment_id>/deposit")
def deposit(payment_id: str) -> Any:
    """Send money to a payment's address once more, in any coin: the vendor makes a child of the first payment of it."""
    row = _payment(payment_id)
    parent = row["parent_payment_id"] or row["id"]
    order = _order()
    order.setdefault("pay_currency", row["pay_currency"])
    if "actually_paid" in order:
        order.setdefault("pay_amount", order["actually_paid"])
    return _paid(payments.open_payment(the_vendor(), payments.deal_of(row, parent_payment_id=parent), order))


@door.post("/payments/<payment_id>/resend")
def resend(payment_id: str) -> Any:
    """Send a callback about a payment as it stands now, as the dashboard can."""
    payments.write_ipn(the_vendor(), _payment(payment_id))
    payments.ring(the_vendor())
    return jsonify(ok=True)


@door.post("/ipns")
def send_anything() -> Any:
    """Sign and send any body to any address: {"url", "body"}."""
    order = _order()
    if not isinstance(order.get("url"), str) or not isinstance(order.get("body"), dict):
        raise RefusedError(400, "a callback is {url, body}")
    payments.write_message(the_vendor(), order["url"], order["body"])
    payments.ring(the_vendor())
    return jsonify(ok=True)


@door.post("/rates")
def set_rate() -> Any:
    """Set what a coin is worth in USD: {"coin", "usd"}; null takes it off the list."""
    order = _order()
    usd = None if order.get("usd") is None else payments.number(order["usd"]) or Decimal(0)
    if not isinstance(order.get("coin"), str) or (usd is not None and usd <= 0):
        raise RefusedError(400, "a rate is {coin, usd}")
    the_vendor().books.run("INSERT OR REPLACE INTO rates VALUES (?, ?)", (order["coin"].lower(), None if usd is None else str(usd)))
    return jsonify(ok=True)


def _order() -> dict[str, Any]:
    order = request.get_json(force=True, silent=True) if request.get_data() else {}
    if not isinstance(order, dict):
        raise RefusedError(400, "the body must be an object")
    return order


def _payment(payment_id: str) -> dict[str, Any]:
    row = store.payment(the_vendor().books, payment_id)
    if row is None:
        raise RefusedError(404, "Payment not found")
    return row


def _paid(payment_id: int) -> Any:
    row = store.payment(the_vendor().books, payment_id) or {}
    return jsonify(bodies.listed_payment(row, store.children(the_vendor().books, payment_id)))
