"""The JSON bodies of NOWPayments, each in the types that were seen on the wire (contracts: section 1)."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from deploy.simulators import javascript
from deploy.simulators.books import Row
from deploy.simulators.market import BY_CODE
from deploy.simulators.nowpayments.store import iso

EXPIRY_MS = 20 * 60 * 1000
CODES = {
    400: ("BAD_REQUEST", "Bad request"),
    401: ("AUTH_REQUIRED", "Authorization header is empty (Bearer JWTtoken is required)"),
    403: ("INVALID_API_KEY", "Invalid api key"),
    404: ("NOT_FOUND", "Not found"),
    405: ("METHOD_NOT_ALLOWED", "Method not allowed"),
    429: ("TOO_MANY_REQUESTS", "Too many requests"),
}


def failure(status: int, message: str | None = None, code: str | None = None) -> dict[str, Any]:
    """Complain as the vendor does."""
    usual_code, usual_message = CODES.get(status, ("INTERNAL_ERROR", "Internal error"))
    return {"status": False, "statusCode": status, "code": code or usual_code, "message": message or usual_message}


def invoice(row: Row) -> dict[str, Any]:
    """The answer to POST /v1/invoice: here id and price_amount are strings."""
    return {
        "id": str(row["id"]),
        "token_id": row["token_id"],
        "order_id": row["order_id"],
        "order_description": row["order_description"],
        "price_amount": javascript.number(Decimal(row["price_amount"])),
        "price_currency": row["price_currency"],
        "pay_currency": row["pay_currency"],
        "ipn_callback_url": row["ipn_callback_url"],
        "invoice_url": row["invoice_url"],
        "success_url": row["success_url"],
        "cancel_url": row["cancel_url"],
        "partially_paid_url": row["partially_paid_url"],
        "payout_currency": None,
        "created_at": row["created_at"],
        "updated_at": row["created_at"],
        "is_fixed_rate": bool(row["is_fixed_rate"]),
        "is_fee_paid_by_user": bool(row["is_fee_paid_by_user"]),
    }


def created_payment(row: Row) -> dict[str, Any]:
    """The answer to POST /v1/payment: payment_id and purchase_id are strings."""
    coin = BY_CODE[row["pay_currency"]]
    until = iso(row["updated_at_ms"] + EXPIRY_MS)
    return {
        "payment_id": str(row["id"]),
        "payment_status": row["payment_status"],
        "pay_address": row["pay_address"],
        "price_amount": Decimal(row["price_amount"]),
        "price_currency": row["price_currency"],
        "pay_amount": Decimal(row["pay_amount"]),
        "pay_currency": row["pay_currency"],
        "order_id": row["order_id"],
        "order_description": row["order_description"],
        "ipn_callback_url": row["ipn_callback_url"],
        "created_at": row["created_at"],
        "updated_at": iso(row["updated_at_ms"]),
        "purchase_id": str(row["purchase_id"]),
        "amount_received": Decimal(row["outcome_amount"]),
        "payin_extra_id": None,
        "smart_contract": "",
        "network": coin.network,
        "network_precision": coin.decimals,
        "time_limit": None,
        "burning_percent": None,
        "expiration_estimate_date": until,
        "valid_until": until,
        "is_fixed_rate": bool(row["is_fixed_rate"]),
        "is_fee_paid_by_user": False,
        "type": "crypto2crypto",
    }


def payment(row: Row, children: list[int]) -> dict[str, Any]:
    """The answer to GET /v1/payment/{id}: here every id is a number."""
    return {
        "payment_id": row["id"],
        "invoice_id": row["invoice_id"],
        "payment_status": row["payment_status"],
        "pay_address": row["pay_address"],
        "payin_extra_id": None,
        "price_amount": Decimal(row["price_amount"]),
        "price_currency": row["price_currency"],
        "pay_amount": Decimal(row["pay_amount"]),
        "actually_paid": Decimal(row["actually_paid"]),
        "pay_currency": row["pay_currency"],
        "order_id": row["order_id"],
        "order_description": row["order_description"],
        "purchase_id": row["purchase_id"],
        "outcome_amount": Decimal(row["outcome_amount"]),
        "outcome_currency": row["outcome_currency"],
        "payout_hash": row["payout_hash"],
        "payin_hash": row["payin_hash"],
        "created_at": row["created_at"],
        "updated_at": iso(row["updated_at_ms"]),
        "burning_percent": "null",
        "type": "crypto2crypto",
        "payment_extra_ids": children or None,
    }


def listed_payment(row: Row, children: list[int]) -> dict[str, Any]:
    """One entry of GET /v1/payment/: repeated deposits say whose they are."""
    body = payment(row, children)
    if row["parent_payment_id"] is not None:
        body |= {"parent_payment_id": row["parent_payment_id"], "origin_type": "REPEATED"}
    return body


def ipn(row: Row) -> dict[str, Any]:
    """The callback's body before it is sorted: purchase_id is a string, updated_at is in milliseconds, fees hang below."""
    body = {
        "payment_id": row["id"],
        "parent_payment_id": row["parent_payment_id"],
        "invoice_id": row["invoice_id"],
        "payment_status": row["payment_status"],
        "pay_address": row["pay_address"],
        "payin_extra_id": None,
        "price_amount": Decimal(row["price_amount"]),
        "price_currency": row["price_currency"],
        "pay_amount": Decimal(row["pay_amount"]),
        "actually_paid": Decimal(row["actually_paid"]),
        # Mostly 0 on the wire, even when finished.
        "actually_paid_at_fiat": 0,
        "pay_currency": row["pay_currency"],
        "order_id": row["order_id"],
        "order_description": row["order_description"],
        "purchase_id": str(row["purchase_id"]),
        "outcome_amount": Decimal(row["outcome_amount"]),
        "outcome_currency": row["outcome_currency"],
        "payment_extra_ids": None,
        "fee": {"currency": row["outcome_currency"], "depositFee": 0, "serviceFee": Decimal(row["service_fee"]), "withdrawalFee": 0},
        "updated_at": row["updated_at_ms"],
    }
    return body | (javascript.loads(row["ipn_overrides"]) if row["ipn_overrides"] else {})


def coin_entry(code: str, position: int) -> dict[str, Any]:
    """One entry of GET /v1/full-currencies."""
    coin = BY_CODE[code]
    return {
        "id": position,
        "code": code.upper(),
        "name": coin.name,
        "enable": True,
        "wallet_regex": None,
        "priority": position,
        "extra_id_exists": coin.extra_id,
        "extra_id_regex": None,
        "logo_url": f"/images/coins/{coin.ticker}.svg",
        "track": True,
        "cg_id": coin.name.lower(),
        "is_maxlimit": False,
        "network": coin.network,
        "smart_contract": None,
        "network_precision": str(coin.decimals),
        "explorer_link_hash": None,
        "precision": 8,
        "ticker": coin.ticker,
        "is_defi": False,
        "is_popular": True,
        "is_stable": coin.usd == 1,
        "available_for_to_conversion": True,
    }


def plan_of(row: Row) -> list[str]:
    """Give the statuses that a payment has still to go through."""
    return list(json.loads(row["plan"]))
