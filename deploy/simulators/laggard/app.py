"""The RPC address of a node that lags, and its control door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, Request, jsonify, request

from deploy.simulators.desk import Desk
from deploy.simulators.laggard import view
from deploy.simulators.laggard.node import HOLD_S, LAG, Laggard, UpstreamError

# A node that finds nobody behind it says so as a provider's proxy would.
BAD_GATEWAY = 502
MOST_LAG, LONGEST_HOLD_S = 128, 3600


def build(node: Laggard) -> Flask:
    """Make the application: one address for every method, `POST /_control/lag` and `POST /_control/hold`."""
    app = Flask("laggard")

    @app.post("/")
    def answer() -> Any:
        body = request.get_json(force=True, silent=True)
        if body is None or body == []:
            return jsonify(view.failure(None, {"code": -32700, "message": "parse error"})), 400
        try:
            return jsonify(node.answer(body))
        except UpstreamError as error:
            return jsonify(view.failure(body, {"code": -32603, "message": f"upstream: {error}"})), BAD_GATEWAY

    @app.post("/_control/lag")
    def lag() -> Any:
        return _turn(node, LAG, "blocks", MOST_LAG)

    @app.post("/_control/hold")
    def hold() -> Any:
        return _turn(node, HOLD_S, "seconds", LONGEST_HOLD_S)

    desk = Desk(
        "laggard",
        books={
            "knobs": lambda: [{"name": name, "value": node.knob(name)} for name in (LAG, HOLD_S)],
            "held": lambda: node.books.all("SELECT hash, due, said FROM held ORDER BY due"),
        },
        refuse=refuse,
        operation_of=operation_of,
        operations=view.METHODS,
        on_reset=lambda _: node.reset(),
    )
    return desk.attach(app)


def _turn(node: Laggard, knob: str, name: str, most: int) -> Any:
    """Set {"blocks": N}, or {"seconds": S}; it stays so until the next order or a reset."""
    order = request.get_json(force=True, silent=True)
    value = order.get(name) if isinstance(order, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return jsonify(error=f"an order is {{{name}}}, from 0 to {most}"), 400
    node.turn(knob, value)
    return jsonify({name: value})


def operation_of(asked: Request) -> str | None:
    """Name a request after its method (contracts: section 8); a batch after its last one."""
    return view.method_of(asked.get_json(force=True, silent=True))


def refuse(status: int, detail: Mapping[str, Any]) -> object:
    """Say what an armed status fault says, as a provider does (contracts: section 8.4)."""
    code = 429 if status == 429 else -32603
    return view.failure(None, {"code": code, "message": str(detail.get("message") or "your app has exceeded its capacity")})
