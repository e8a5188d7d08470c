"""The HTTP API of NOWPayments (contracts: section 1)."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from flask import Blueprint, jsonify, request

from deploy.simulators.market import COINS
from deploy.simulators.nowpayments import bodies, payments, pricing, store
from deploy.simulators.nowpayments.access import keyed, logged_in, new_token
from deploy.simulators.nowpayments.payments import BadOrderError, Deal
from deploy.simulators.nowpayments.reading import (
    RefusedError,
    read_callback,
    read_currency,
    read_moment,
    read_number,
    read_object,
    read_query,
    read_string,
    read_whole,
    the_vendor,
)
from deploy.simulators.nowpayments.store import Vendor

Answer = Any

MOST_LISTED = 500
FILTERS = (
    ("dateFrom", "created_at >= :dateFrom"),
    ("dateTo", "created_at <= :dateTo"),
    ("invoiceId", "invoice_id = :invoiceId"),
)

api = Blueprint("api", __name__, url_prefix="/v1")


@api.get("/status")
def status() -> Answer:
    """Say that the vendor is up; needs no key."""
    return jsonify(message="OK")


@api.post("/auth")
def auth() -> Answer:
    """Trade the account's e-mail and password for a token; the refusal's exact form is not documented."""
    body, account = read_object(), the_vendor().account
    if (body.get("email"), body.get("password")) != (account.email, account.password):
        raise RefusedError(403, "Invalid email or password", "ACCESS_DENIED")
    return jsonify(token=new_token())


@api.get("/currencies")
@keyed
def currencies() -> Answer:
    """Name every coin, in lower case."""
    return jsonify(currencies=[coin.code for coin in COINS])


@api.get("/full-currencies")
@keyed
def full_currencies() -> Answer:
    """Tell about every coin."""
    return jsonify(currencies=[bodies.coin_entry(coin.code, place) for place, coin in enumerate(COINS, 1)])


@api.get("/merchant/coins")
@keyed
def merchant_coins() -> Answer:
    """Name the coins that the merchant takes: here in upper case."""
    return jsonify(selectedCurrencies=[coin.code.upper() for coin in COINS])


@api.get("/estimate")
@keyed
def estimate() -> Answer:
    """Turn an amount into another currency; estimated_amount came as a string when it was last seen live."""
    amount, source, target = read_number(request.args, "amount"), read_query("currency_from"), read_query("currency_to")
    estimated = pricing.convert(the_vendor().books, amount, source, target)
    return jsonify(currency_from=source, amount_from=amount, currency_to=target, estimated_amount=format(estimated, "f"))


@api.get("/min-amount")
@keyed
def min_amount() -> Answer:
    """Tell the smallest payment in a coin."""
    books, source, target = the_vendor().books, read_query("currency_from"), read_query("currency_to")
    pricing.usd_price(books, target)
    least = pricing.least(books, source)
    answer: dict[str, Any] = {"currency_from": source, "currency_to": target, "min_amount": least}
    if fiat := request.args.get("fiat_equivalent"):
        answer["fiat_equivalent"] = pricing.convert(books, least, source, fiat)
    return jsonify(answer)


@api.post("/invoice")
@keyed
def create_invoice() -> Answer:
    """Make an invoice; a second request makes a second one, because nothing here is idempotent."""
    body, books = read_object(), the_vendor().books
    row = {
        "id": store.new_id(),
        "token_id": str(store.new_id()),
        "price_amount": format(read_number(body, "price_amount"), "f"),
        "price_currency": read_currency(body, "price_currency"),
        "pay_currency": read_currency(body, "pay_currency") if body.get("pay_currency") else None,
        "ipn_callback_url": read_callback(body),
        **{name: read_string(body, name) for name in ("order_id", "order_description", "success_url", "cancel_url", "partially_paid_url")},
        "is_fixed_rate": body.get("is_fixed_rate") is True or body.get("is_fee_paid_by_user") is True,
        "is_fee_paid_by_user": body.get("is_fee_paid_by_user") is True,
        "created_at": store.now_iso(),
    }
    row["invoice_url"] = f"{request.host_url}payment/?iid={row['id']}"
    store.insert(books, "invoices", row)
    return jsonify(bodies.invoice(row)), 201


@api.post("/payment")
@keyed
def create_payment() -> Answer:
    """Make a payment without an invoice."""
    body, vendor = read_object(), the_vendor()
    deal = Deal(
        price_amount=read_number(body, "price_amount"),
        price_currency=read_currency(body, "price_currency"),
        order_id=read_string(body, "order_id"),
        order_description=read_string(body, "order_description"),
        ipn_callback_url=read_callback(body),
        is_fixed_rate=body.get("is_fixed_rate") is True,
    )
    return _opened(vendor, deal, body)


@api.post("/invoice-payment")
@keyed
def create_invoice_payment() -> Answer:
    """Make a payment of an invoice: the payer has chosen his coin."""
    body, vendor = read_object(), the_vendor()
    invoice = store.invoice(vendor.books, str(body.get("iid")))
    if invoice is None:
        raise RefusedError(404, "Invoice not found")
    return _opened(vendor, payments.deal_of(invoice, invoice_id=invoice["id"]), body)


def _opened(vendor: Vendor, deal: Deal, body: Mapping[str, Any]) -> Answer:
    coin = read_currency(body, "pay_currency")
    wanted = pricing.convert(vendor.books, deal.price_amount, deal.price_currency, coin, up=True)
    if wanted < pricing.least(vendor.books, coin):
        raise RefusedError(400, "amountTo is too small", "AMOUNT_MINIMAL_ERROR")
    try:
        order = {"pay_currency": coin, "pay_amount": body.get("pay_amount"), "statuses": ["waiting"]}
        payment_id = payments.open_payment(vendor, deal, order)
    except BadOrderError as error:
        raise RefusedError(400, str(error)) from error
    return jsonify(bodies.created_payment(store.payment(vendor.books, payment_id) or {})), 201


@api.get("/payment/<payment_id>")
@keyed
def get_payment(payment_id: str) -> Answer:
    """Tell how a payment stands."""
    row = _payment(payment_id)
    return jsonify(bodies.payment(row, store.children(the_vendor().books, row["id"])))


@api.post("/payment/<payment_id>/update-merchant-estimate")
@keyed
def update_estimate(payment_id: str) -> Answer:
    """Tell the current estimate of a payment."""
    row = _payment(payment_id)
    until = store.iso(row["updated_at_ms"] + bodies.EXPIRY_MS)
    token = secrets.token_hex(5)
    return jsonify(id=str(row["id"]), token_id=token, pay_amount=Decimal(row["pay_amount"]), expiration_estimate_date=until)


@api.get("/payment/", strict_slashes=False)
@keyed
@logged_in
def list_payments() -> Answer:
    """List payments, newest first unless asked otherwise."""
    limit, page = read_whole("limit", 10), read_whole("page", 0)
    if not 1 <= limit <= MOST_LISTED:
        raise RefusedError(400, f"limit must be between 1 and {MOST_LISTED}")
    where, values = _filters()
    direction = "ASC" if request.args.get("orderBy", "desc").lower() == "asc" else "DESC"
    books = the_vendor().books
    total = (books.one(f"SELECT count(*) AS n FROM payments WHERE {where}", values) or {})["n"]
    values |= {"limit": limit, "offset": limit * page}
    rows = books.all(f"SELECT * FROM payments WHERE {where} ORDER BY created_at {direction}, id {direction} LIMIT :limit OFFSET :offset", values)
    data = [bodies.listed_payment(row, store.children(books, row["id"])) for row in rows]
    return jsonify(data=data, limit=limit, page=page, pagesCount=math.ceil(total / limit), total=total)


def _filters() -> tuple[str, dict[str, Any]]:
    where, values = ["TRUE"], dict[str, Any]()
    for name, clause in FILTERS:
        if text := request.args.get(name):
            where.append(clause)
            values[name] = text if name == "invoiceId" else read_moment(name, text)
    return " AND ".join(where), values


def _payment(payment_id: str) -> dict[str, Any]:
    row = store.payment(the_vendor().books, payment_id)
    if row is None:
        raise RefusedError(404, "Payment not found")
    return row
