"""Puts ChangeNOW together: its API, its control door, its books."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException

from deploy.simulators.changenow.api import api
from deploy.simulators.changenow.control import door
from deploy.simulators.changenow.reading import RefusedError, failure
from deploy.simulators.changenow.store import Vendor
from deploy.simulators.desk import Desk
from deploy.simulators.javascript import NodeJson


def create_app(vendor: Vendor) -> Flask:
    """Make the application with its control door."""
    app = Flask("changenow")
    app.json = NodeJson(app)
    app.extensions["vendor"] = vendor
    app.register_blueprint(api)
    app.register_blueprint(door)
    app.register_error_handler(RefusedError, lambda error: (jsonify(error.body), error.status))
    app.register_error_handler(HTTPException, _plain_failure)
    books = vendor.books
    desk = Desk(
        "changenow",
        books={
            "exchanges": lambda: books.all("SELECT * FROM exchanges ORDER BY created_at_ms, id"),
            "deposits": lambda: books.all("SELECT * FROM deposits ORDER BY block, log_index"),
            "payouts": lambda: books.all("SELECT * FROM payouts ORDER BY made_at, exchange_id"),
        },
        refuse=failure,
        on_reset=lambda forget: books.wipe() if forget else None,
    )
    return desk.attach(app)


def _plain_failure(error: HTTPException) -> Any:
    status = error.code or 500
    return jsonify(failure(status, {"message": error.name})), status
