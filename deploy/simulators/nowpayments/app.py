"""Puts NOWPayments together: its API, its invoice page, its control door, its books."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException

from deploy.simulators.desk import Desk
from deploy.simulators.javascript import NodeJson
from deploy.simulators.nowpayments import bodies, pricing, store
from deploy.simulators.nowpayments.api import api
from deploy.simulators.nowpayments.control import door
from deploy.simulators.nowpayments.page import page
from deploy.simulators.nowpayments.payments import BadOrderError
from deploy.simulators.nowpayments.reading import RefusedError
from deploy.simulators.nowpayments.store import Vendor


def create_app(vendor: Vendor) -> tuple[Flask, Desk]:
    """Make the application and its control door; the desk is what the courier asks for faults."""
    app = Flask("nowpayments")
    app.json = NodeJson(app)
    app.extensions["vendor"] = vendor
    for blueprint in (api, page, door):
        app.register_blueprint(blueprint)
    app.register_error_handler(RefusedError, lambda error: (jsonify(error.body), error.status))
    app.register_error_handler(BadOrderError, lambda error: (jsonify(bodies.failure(400, str(error))), 400))
    app.register_error_handler(pricing.UnknownCurrencyError, _unknown_currency)
    app.register_error_handler(HTTPException, _plain_failure)
    desk = _desk(vendor)
    desk.attach(app)
    return app, desk


def _desk(vendor: Vendor) -> Desk:
    books = vendor.books
    return Desk(
        "nowpayments",
        books={
            "invoices": lambda: books.all("SELECT * FROM invoices ORDER BY created_at, id"),
            "payments": lambda: books.all("SELECT * FROM payments ORDER BY created_at, id"),
            "ipns": lambda: store.ipns_with_attempts(books),
            "payouts": lambda: books.all("SELECT * FROM sends ORDER BY nonce"),
        },
        refuse=lambda status, detail: bodies.failure(status, detail.get("message"), detail.get("code")),
        webhooks=("ipn",),
        on_reset=lambda forget: books.wipe() if forget else None,
    )


def _unknown_currency(error: pricing.UnknownCurrencyError) -> Any:
    return jsonify(bodies.failure(400, f"Currency {error} is not found")), 400


def _plain_failure(error: HTTPException) -> Any:
    status = error.code or 500
    return jsonify(bodies.failure(status, error.name)), status
