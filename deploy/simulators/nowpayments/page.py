"""The invoice page: the payer picks a coin and pays; plain HTML, no script."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, abort, redirect, render_template_string, request

from deploy.simulators.market import COINS
from deploy.simulators.nowpayments import payments, store
from deploy.simulators.nowpayments.payments import BadOrderError
from deploy.simulators.nowpayments.pricing import UnknownCurrencyError
from deploy.simulators.nowpayments.reading import the_vendor

page = Blueprint("page", __name__)

SHEET = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Invoice {{ invoice.id }}</title></head>
<body>
<h1>{{ invoice.price_amount }} {{ invoice.price_currency | upper }}</h1>
<p>{{ invoice.order_description or "" }}</p>
{% if paid %}<p>Payment {{ paid.id }}: {{ paid.payment_status }}</p>{% endif %}
<form method="post" action="/payment/?iid={{ invoice.id }}">
<label>Coin <select name="pay_currency">
{% for coin in coins %}<option value="{{ coin.code }}">{{ coin.name }}</option>
{% endfor %}</select></label>
<label>Amount in that coin <input name="actually_paid" placeholder="all of it"></label>
<button type="submit">Pay</button>
</form>
{% if invoice.cancel_url %}<p><a href="{{ invoice.cancel_url }}">Cancel</a></p>{% endif %}
</body></html>
"""


@page.get("/payment/")
def show() -> Any:
    """Show what is to be paid, with a choice of coins unless the invoice names one."""
    return _sheet(_invoice())


@page.post("/payment/")
def pay() -> Any:
    """Pay; then send the payer back to the shop with NP_id, as the vendor does, which proves nothing."""
    invoice, vendor = _invoice(), the_vendor()
    order = {"pay_currency": invoice["pay_currency"] or request.form.get("pay_currency") or "eth"}
    order |= {"actually_paid": request.form.get("actually_paid") or None}
    try:
        payment_id = payments.open_payment(vendor, payments.deal_of(invoice, invoice_id=invoice["id"]), order)
    except (BadOrderError, UnknownCurrencyError):
        abort(400)
    if not invoice["success_url"]:
        return _sheet(invoice, payment_id)
    joint = "&" if "?" in invoice["success_url"] else "?"
    return redirect(f"{invoice['success_url']}{joint}{urlencode({'NP_id': payment_id})}", 303)


def _invoice() -> dict[str, Any]:
    return store.invoice(the_vendor().books, request.args.get("iid", "")) or abort(404)


def _sheet(invoice: dict[str, Any], payment_id: int | None = None) -> str:
    coins = [coin for coin in COINS if invoice["pay_currency"] in {None, coin.code}]
    # The coin that the local chain knows stands first.
    coins.sort(key=lambda coin: coin.code != "eth")
    paid = store.payment(the_vendor().books, payment_id) if payment_id else None
    return render_template_string(SHEET, invoice=invoice, coins=coins, paid=paid)
