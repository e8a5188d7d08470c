"""Reads what a request says, and refuses what makes no sense in the vendor's words (contracts: section 2.3)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from decimal import Decimal
from functools import wraps
from typing import Any

from flask import current_app, request

from deploy.simulators.changenow.store import Vendor
from deploy.simulators.market import BY_CODE, BY_KEY, COINS, Coin

USUAL_CODES = {
    400: "bad_params",
    401: "unauthorized",
    403: "invalid_api_key",
    404: "not_found",
    429: "too_many_requests",
}


class RefusedError(Exception):
    """The vendor says no."""

    def __init__(self, status: int, error: str, message: str, payload: Mapping[str, Any] | None = None) -> None:
        """Take the HTTP status and the vendor's code and words."""
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"error": error, "message": message} | ({} if payload is None else {"payload": payload})


def failure(status: int, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Complain with any status, in the vendor's form."""
    error = detail.get("error") or USUAL_CODES.get(status, "internal_error")
    body = {"error": error, "message": detail.get("message") or str(error).replace("_", " ").capitalize()}
    return body | ({"payload": detail["payload"]} if "payload" in detail else {})


def the_vendor() -> Vendor:
    """Give the vendor of the application that handles this request."""
    vendor: Vendor = current_app.extensions["vendor"]
    return vendor


def keyed(view: Any) -> Any:
    """Let a request in with the partner's key only; the exact refusal of v2 is not documented."""

    @wraps(view)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = request.headers.get("x-changenow-api-key", "")
        if not hmac.compare_digest(given.encode(), the_vendor().terms.api_key.encode()):
            raise RefusedError(403, "invalid_api_key", "Invalid API key")
        return view(*args, **kwargs)

    return checked


def read_object() -> dict[str, Any]:
    """Read the body, which must be an object."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise RefusedError(400, "bad_params", "Invalid request body")
    return body


def read_coin(values: Mapping[str, Any], side: str) -> Coin:
    """Read one side of a pair: `<side>Currency` and `<side>Network`; without a network the currency's first one is meant."""
    ticker, network = str(values.get(f"{side}Currency") or "").lower(), str(values.get(f"{side}Network") or "").lower()
    if not ticker:
        raise RefusedError(400, "not_valid_params", f"{side}Currency is required")
    for coin in COINS:
        if coin.ticker == ticker and network in {"", coin.network}:
            return coin
    raise RefusedError(400, "pair_is_inactive", "Pair is inactive")


def read_amount(values: Mapping[str, Any], name: str) -> Decimal | None:
    """Read an amount, a number or its text; None when it is left out or empty."""
    value = values.get(name)
    if value is None or value == "":
        return None
    amount = number(value)
    if amount is None or amount <= 0:
        raise RefusedError(400, "not_valid_params", f"{name} is not valid")
    return amount


def read_flow(values: Mapping[str, Any]) -> str:
    """Read standard or fixed-rate."""
    flow = str(values.get("flow") or "standard")
    if flow not in {"standard", "fixed-rate"}:
        raise RefusedError(400, "not_valid_params", "flow is not valid")
    return flow


def read_type(values: Mapping[str, Any]) -> str:
    """Read direct or reverse."""
    kind = str(values.get("type") or "direct")
    if kind not in {"direct", "reverse"}:
        raise RefusedError(400, "not_valid_params", "type is not valid")
    return kind


def number(value: object) -> Decimal | None:
    """Read a number or its text; None when it is neither."""
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and not isinstance(value, bool) else None


def named_coin(name: object) -> Coin:
    """Find a coin by "ticker:network" or by its one-word code, as the control door takes it."""
    coin = BY_KEY.get(str(name)) or BY_CODE.get(str(name))
    if coin is None:
        raise RefusedError(400, "bad_params", f"no such coin: {name}")
    return coin
