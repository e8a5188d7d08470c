"""Puts the three price sources and the control doors into one application."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from deploy.simulators.desk import Desk
from deploy.simulators.javascript import NodeJson
from deploy.simulators.prices import coingecko, cryptocompare, oneinch
from deploy.simulators.prices.names import ADDRESSES
from deploy.simulators.prices.quotes import Quotes


@dataclass(frozen=True)
class Keys:
    """The key that each source takes; None takes any."""

    coingecko: str | None = None
    cryptocompare: str | None = None
    oneinch: str | None = None


def build(state_dir: Path, *, keys: Keys | None = None, tokens: Mapping[str, str] | None = None) -> Flask:
    """Make the application; `tokens` are further contracts for 1inch, {address: our code}."""
    keys = keys or Keys()
    quotes = Quotes(state_dir)
    known = ADDRESSES | {address.lower(): code for address, code in (tokens or {}).items()}
    app = Flask(__name__)
    app.json = NodeJson(app)
    app.register_blueprint(coingecko.door(quotes, keys.coingecko))
    app.register_blueprint(cryptocompare.door(quotes, keys.cryptocompare))
    app.register_blueprint(oneinch.door(quotes, known, keys.oneinch))

    @app.post("/_control/prices")
    def set_price() -> tuple[Response, int]:
        order = request.get_json(force=True, silent=True)
        try:
            return jsonify(quotes.set(order if isinstance(order, dict) else {})), 200
        except (TypeError, ValueError) as error:
            return jsonify(error=str(error)), 400

    @app.errorhandler(HTTPException)
    def complain(error: HTTPException) -> Any:
        return jsonify(error=error.name), error.code or 500

    books = {"prices": quotes.all, "asked": quotes.questions}
    return Desk("prices", books, refuse=refuse, on_reset=lambda forget: quotes.books.wipe() if forget else None).attach(app)


def refuse(status: int, detail: Mapping[str, Any]) -> object:
    """Say what an armed status fault says, in the words of the source it is armed for; CryptoCompare's comes with HTTP 200."""
    said = str(detail.get("message") or "")
    if "/cryptocompare/" in detail["operation"]:
        return Response(json.dumps(cryptocompare.failure(said or cryptocompare.RATE_LIMIT, 99)), content_type="application/json")
    if "/oneinch/" in detail["operation"]:
        return oneinch.failure(status, said)
    return coingecko.failure(status, said or coingecko.RATE_LIMIT, detail.get("code"))
