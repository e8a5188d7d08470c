"""CoinGecko's GET /api/v3/simple/price (contracts: section 6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from flask import Blueprint, Response, current_app, request

from deploy.simulators.prices.names import NAMES
from deploy.simulators.prices.quotes import Quotes

DEMO_KEY = ("x-cg-demo-api-key", "x_cg_demo_api_key")
PRO_KEY = ("x-cg-pro-api-key", "x_cg_pro_api_key")
# Without `precision` prices of a dollar and more come with cents, as most of them do.
CENTS = Decimal("0.01")

RATE_LIMIT = "You've exceeded the Rate Limit. Please visit https://www.coingecko.com/en/api/pricing to subscribe to our API plans."

IDS = {names.coingecko for names in NAMES.values()}
BY_SYMBOL = {names.symbol.lower(): names.coingecko for names in NAMES.values()}
BY_NAME = {names.name.lower(): names.coingecko for names in NAMES.values()}


def failure(status: int, message: str, code: int | None = None) -> Any:
    """Complain in the shape of the public API."""
    return {"status": {"error_code": code or status, "error_message": message}}


def door(quotes: Quotes, api_key: str | None) -> Blueprint:
    """Make the source; with a key, a request that brings another one is refused. Without any key it answers, as the public host does."""
    blueprint = Blueprint("coingecko", __name__, url_prefix="/coingecko")

    @blueprint.get("/api/v3/simple/price")
    def simple_price() -> Response:
        refused = refuse_key(api_key)
        if refused is not None:
            return refused
        currencies = listed("vs_currencies")
        if not currencies:
            return answer({"error": "Missing parameter vs_currencies"}, 422)
        wanted = wanted_coins()
        if not wanted:
            return answer({"error": "Missing parameter ids"}, 422)
        found = {key: quote(quotes, asset, currencies) for key, asset in wanted.items() if asset in IDS}
        return answer({key: value for key, value in found.items() if value is not None})

    return blueprint


def wanted_coins() -> dict[str, str]:
    """Say under which key each asked coin is answered: its id, or the symbol or name it was asked by. Unknown ones get no key."""
    if listed("ids"):
        return {asset: asset for asset in listed("ids")}
    for parameter, known in (("names", BY_NAME), ("symbols", BY_SYMBOL)):
        if listed(parameter):
            return {word: known[word] for word in listed(parameter) if word in known}
    return {}


def listed(parameter: str) -> list[str]:
    return [word.strip().lower() for word in request.args.get(parameter, "").split(",") if word.strip()]


def quote(quotes: Quotes, asset: str, currencies: list[str]) -> dict[str, Any] | None:
    """Write one coin's answer; None when there is no price for it."""
    price = quotes.price("coingecko", asset)
    if price is None:
        return None
    shape: dict[str, Any] = {"usd": rounded(price.usd)} if "usd" in currencies else {}
    if request.args.get("include_last_updated_at") == "true":
        shape["last_updated_at"] = price.updated_at
    return shape


def rounded(usd: Decimal) -> Decimal:
    precision = request.args.get("precision")
    if precision == "full" or (precision is None and abs(usd) < 1):
        return usd
    return usd.quantize(Decimal(1).scaleb(-int(precision)) if precision and precision.isdecimal() else CENTS)


def refuse_key(api_key: str | None) -> Response | None:
    """Refuse a key of the wrong kind or value; None when all is well."""
    if given(PRO_KEY):
        text = "If you are using Pro API key, please change your root URL from api.coingecko.com to pro-api.coingecko.com"
        return answer(failure(400, text, 10010), 400)
    if api_key is not None and given(DEMO_KEY) not in {None, api_key}:
        return answer(failure(401, "API Key Missing or invalid", 10002), 401)
    return None


def given(names: tuple[str, str]) -> str | None:
    return request.headers.get(names[0]) or request.args.get(names[1])


def answer(body: Any, status: int = 200) -> Response:
    return Response(current_app.json.dumps(body), status, content_type="application/json; charset=utf-8")
