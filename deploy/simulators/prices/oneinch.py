"""1inch's spot prices, /price/v1.1/{chain}/{addresses} (contracts: section 6): addresses in lower case, prices as text."""

from __future__ import annotations

import re
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, request

from deploy.simulators.prices.names import NAMES
from deploy.simulators.prices.quotes import Quotes

ADDRESS = re.compile(r"0x[0-9a-f]{40}")
WEI = Decimal(10) ** 18


def failure(status: int, description: str = "") -> dict[str, Any]:
    """Complain in the shape of the developer portal."""
    phrase = HTTPStatus(status).phrase
    return {"error": phrase, "description": description or phrase, "statusCode": status, "requestId": ""}


def door(quotes: Quotes, tokens: dict[str, str], api_key: str | None) -> Blueprint:
    """Make the source for the tokens {address in lower case: our code}; any bearer will do unless a key is given."""
    blueprint = Blueprint("oneinch", __name__, url_prefix="/oneinch")

    @blueprint.get("/price/v1.1/<int:chain>/<addresses>")
    def by_path(chain: int, addresses: str) -> Response:
        del chain
        return prices(addresses.split(","), request.args.get("currency"))

    @blueprint.post("/price/v1.1/<int:chain>")
    def by_body(chain: int) -> Response:
        del chain
        body = request.get_json(force=True, silent=True)
        if not isinstance(body, dict) or not isinstance(body.get("tokens"), list):
            return answer(failure(400, "tokens must be an array"), 400)
        return prices(body["tokens"], body.get("currency"))

    def prices(addresses: list[str], currency: str | None) -> Response:
        brought = request.headers.get("Authorization", "")
        if not brought.startswith("Bearer ") or (api_key is not None and brought != f"Bearer {api_key}"):
            return answer(failure(401), 401)
        lower = [str(address).lower() for address in addresses]
        if not all(ADDRESS.fullmatch(address) for address in lower):
            return answer(failure(400, "Invalid token address"), 400)
        if currency not in {None, "", "USD"}:
            return answer(failure(400, "Currency is not supported"), 400)
        return answer({address: said for address in lower if (said := spot(quotes, tokens.get(address), in_usd=bool(currency))) is not None})

    return blueprint


def spot(quotes: Quotes, code: str | None, *, in_usd: bool) -> str | None:
    """Write one price: in dollars, or in wei of the native coin; None for a token without one."""
    price = quotes.price("oneinch", NAMES[code].coingecko) if code else None
    if price is None:
        return None
    if in_usd:
        return format(price.usd, "f")
    native = quotes.price("oneinch", NAMES["eth"].coingecko)
    return None if native is None or not native.usd else str(int(price.usd / native.usd * WEI))


def answer(body: Any, status: int = 200) -> Response:
    return Response(current_app.json.dumps(body), status, content_type="application/json; charset=utf-8")
