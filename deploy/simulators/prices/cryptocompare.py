"""CryptoCompare's GET /data/price (contracts: section 6): every complaint comes with HTTP 200."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, current_app, request

from deploy.simulators.prices.names import NAMES
from deploy.simulators.prices.quotes import Quotes

RATE_LIMIT = "You are over your rate limit please upgrade your account!"
BY_SYMBOL = {names.symbol: names.coingecko for names in NAMES.values()}


def failure(message: str, kind: int, parameter: str | None = None) -> dict[str, Any]:
    """Complain; `kind` 99 is the rate limit, 2 a bad parameter, 1 a bad key."""
    body: dict[str, Any] = {"Response": "Error", "Message": message, "HasWarning": False, "Type": kind, "RateLimit": {}, "Data": {}}
    return body | ({"ParamWithError": parameter} if parameter else {})


def door(quotes: Quotes, api_key: str | None) -> Blueprint:
    """Make the source; with a key, a request that brings another one is refused."""
    blueprint = Blueprint("cryptocompare", __name__, url_prefix="/cryptocompare")

    @blueprint.get("/data/price")
    def price() -> Response:
        return Response(current_app.json.dumps(look_up(quotes, api_key)), content_type="application/json; charset=UTF-8")

    return blueprint


def look_up(quotes: Quotes, api_key: str | None) -> dict[str, Any]:
    """Write the answer: a number per currency."""
    brought = request.args.get("api_key") or request.headers.get("Authorization", "").removeprefix("Apikey ")
    if api_key is not None and brought and brought != api_key:
        return failure("You need a valid auth key or api key to access this endpoint", 1)
    symbol, currencies = request.args.get("fsym", ""), request.args.get("tsyms", "")
    for parameter, value in (("fsym", symbol), ("tsyms", currencies)):
        if not value:
            return failure(f"{parameter} is a required param.", 2, parameter)
    asset = BY_SYMBOL.get(symbol.upper())
    found = quotes.price("cryptocompare", asset) if asset else None
    if found is None or "USD" not in currencies.upper().split(","):
        return failure(f"There is no data for the symbol {symbol} .", 2, "fsym")
    return {"USD": found.usd}
