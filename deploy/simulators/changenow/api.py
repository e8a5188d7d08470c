"""The HTTP API of ChangeNOW v2 (contracts: section 2)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, jsonify, request

from deploy.simulators import javascript
from deploy.simulators.changenow import addresses, bodies, pricing, store
from deploy.simulators.changenow.reading import (
    RefusedError,
    keyed,
    read_amount,
    read_coin,
    read_flow,
    read_object,
    read_type,
    the_vendor,
)
from deploy.simulators.changenow.store import Vendor
from deploy.simulators.market import COINS, Coin

Answer = Any

# The payload is for partners: at most 5 keys of at most 64 characters.
MOST_PAYLOAD_KEYS = 5
LONGEST_PAYLOAD = 64

api = Blueprint("api", __name__, url_prefix="/v2")


@api.get("/exchange/estimated-amount")
@keyed
def estimated_amount() -> Answer:
    """Price a swap; a fixed rate is held and named when useRateId asks for it."""
    asked, vendor = request.args, the_vendor()
    source, target, flow, kind = read_coin(asked, "from"), read_coin(asked, "to"), read_flow(asked), read_type(asked)
    priced = pricing.price(vendor, source, target, from_amount=read_amount(asked, "fromAmount"), to_amount=read_amount(asked, "toAmount"))
    rate_id, until = None, None
    if flow == "fixed-rate" and asked.get("useRateId") == "true":
        rate_id, until = pricing.keep(vendor, source, target, priced)
    return jsonify(
        {
            **bodies.pair(source, target),
            "flow": flow,
            "type": kind,
            "rateId": rate_id,
            "validUntil": store.iso(until),
            "transactionSpeedForecast": "10-60",
            "warningMessage": None,
            "depositFee": 0,
            "withdrawalFee": priced.withdrawal_fee,
            "userId": asked.get("userId"),
            "fromAmount": priced.from_amount,
            "toAmount": priced.to_amount,
        }
    )


@api.get("/exchange/range")
@keyed
def limits() -> Answer:
    """Tell the smallest and the greatest swap of a pair."""
    source, target = _open_pair()
    return jsonify({**bodies.pair(source, target), "flow": read_flow(request.args), **pricing.limits(the_vendor(), source)})


@api.get("/exchange/min-amount")
@keyed
def min_amount() -> Answer:
    """Tell the smallest swap of a pair."""
    source, target = _open_pair()
    least = pricing.least(the_vendor(), source)
    return jsonify({**bodies.pair(source, target), "flow": read_flow(request.args), "minAmount": least})


@api.get("/exchange/currencies")
def currencies() -> Answer:
    """Name every coin on every network."""
    return jsonify([bodies.currency(coin) for coin in COINS])


@api.get("/validate/address")
def validate_address() -> Answer:
    """Check an address; `currency` is the network's name, not the ticker."""
    network = request.args.get("currency", "").lower()
    if network not in addresses.CHECKS:
        raise RefusedError(400, "bad_params", f"Validation for {network} is not supported")
    good = addresses.is_address(network, request.args.get("address", ""))
    return jsonify(result=good, message=None if good else "Invalid address", isActivated=None)


@api.post("/exchange")
@keyed
def create_exchange() -> Answer:
    """Make an exchange with a pay-in address of its own; a repeated request makes a second one."""
    body, vendor = read_object(), the_vendor()
    source, target, flow, kind = read_coin(body, "from"), read_coin(body, "to"), read_flow(body), read_type(body)
    from_amount, to_amount = read_amount(body, "fromAmount"), read_amount(body, "toAmount")
    rate_id, until = _text(body, "rateId"), None
    if rate_id is not None:
        priced, until = pricing.kept(vendor, rate_id, source, target, from_amount if kind == "direct" else to_amount)
    else:
        priced = pricing.price(vendor, source, target, from_amount=from_amount, to_amount=to_amount if kind == "reverse" else None)
        until = store.now_ms() + int(vendor.terms.rate_ttl_s * 1000) if flow == "fixed-rate" else None
    row = {
        **_deal(flow, kind, source, target, rate_id),
        **_addresses(body, vendor, source, target),
        "from_amount": format(priced.from_amount, "f"),
        "to_amount": format(priced.to_amount, "f"),
        "user_id": _text(body, "userId"),
        "payload": _payload(body),
        "contact_email": _text(body, "contactEmail"),
        "valid_until_ms": until,
    }
    store.insert(vendor.books, "exchanges", row)
    return jsonify(bodies.created_exchange(row))


def _deal(flow: str, kind: str, source: Coin, target: Coin, rate_id: str | None) -> dict[str, Any]:
    now = store.now_ms()
    return {
        "flow": flow,
        "type": kind,
        "source": source.key,
        "target": target.key,
        "rate_id": rate_id,
        "status": "waiting",
        "created_at_ms": now,
        "updated_at_ms": now,
    }


def _addresses(body: Mapping[str, Any], vendor: Vendor, source: Coin, target: Coin) -> dict[str, Any]:
    exchange_id = secrets.token_hex(7)
    return {
        "id": exchange_id,
        "payin_address": addresses.payin_address(source.network, vendor.terms.seed, exchange_id),
        "payin_extra_id": str(secrets.randbelow(10**9)) if source.extra_id else None,
        "payout_address": _address(body, "address", target, "not_valid_address"),
        "payout_extra_id": _text(body, "extraId"),
        "refund_address": _address(body, "refundAddress", source, "not_valid_refund_address") if body.get("refundAddress") else None,
        "refund_extra_id": _text(body, "refundExtraId"),
    }


@api.get("/exchange/by-id")
@keyed
def by_id() -> Answer:
    """Tell how an exchange stands; the id is a parameter of the query."""
    exchange_id = request.args.get("id", "")
    if not re.fullmatch(r"[0-9a-f]{6,32}", exchange_id):
        raise RefusedError(400, "not_valid_params", "Not valid ID")
    row = store.exchange(the_vendor().books, exchange_id)
    if row is None:
        raise RefusedError(404, "not_found", "Transaction not found")
    return jsonify(bodies.exchange(row))


def _open_pair() -> tuple[Coin, Coin]:
    source, target = read_coin(request.args, "from"), read_coin(request.args, "to")
    pricing.rate(the_vendor(), source, target)
    return source, target


def _address(body: Mapping[str, Any], name: str, coin: Coin, error: str) -> str:
    text = str(body.get(name) or "")
    if not addresses.is_address(coin.network, text):
        raise RefusedError(400, error, f"{name} is not valid")
    return text


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return None if value in {None, ""} else str(value)


def _payload(body: Mapping[str, Any]) -> str | None:
    payload = body.get("payload")
    if not payload:
        return None
    if not isinstance(payload, dict) or len(payload) > MOST_PAYLOAD_KEYS:
        raise RefusedError(400, "not_valid_params", "payload is not valid")
    if any(len(str(part)) > LONGEST_PAYLOAD for pair in payload.items() for part in pair):
        raise RefusedError(400, "not_valid_params", "payload is not valid")
    return javascript.stringify(payload)
