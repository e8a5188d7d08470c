"""What only a test can do at ChangeNOW: set a rate, switch a pair off, force an exchange's fate."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from flask import Blueprint, jsonify, request

from deploy.simulators.books import Row
from deploy.simulators.changenow import bodies, exchanges, store
from deploy.simulators.changenow.reading import RefusedError, named_coin, number, read_object, the_vendor
from deploy.simulators.changenow.store import Vendor
from deploy.simulators.market import BY_KEY

door = Blueprint("door", __name__, url_prefix="/_control")

# Statuses from which the exchange goes on by itself; every other one stays until the next order.
GOES_ON = {"exchanging": "send", "sending": "pay", "finished": "pay"}


@door.post("/rates")
def set_rate() -> Any:
    """Set {"from", "to", "rate"} ("eth:eth" or "eth"); null switches the pair off. The way back follows unless it is set itself."""
    order = read_object()
    source, target = named_coin(order.get("from")), named_coin(order.get("to"))
    rate = None if order.get("rate") is None else number(order["rate"])
    if order.get("rate") is not None and (rate is None or rate <= 0):
        raise RefusedError(400, "bad_params", "a rate is {from, to, rate}")
    values = (source.key, target.key, None if rate is None else str(rate))
    the_vendor().books.run("INSERT OR REPLACE INTO rates VALUES (?, ?, ?)", values)
    return jsonify(ok=True)


@door.post("/exchanges/<exchange_id>")
def force(exchange_id: str) -> Any:
    """Force {"status", "amountTo", "refund"}: see the module's functions for what each does."""
    order, vendor = request.get_json(force=True), the_vendor()
    with vendor.moving:
        exchange = store.exchange(vendor.books, exchange_id)
        if exchange is None:
            raise RefusedError(404, "not_found", "Transaction not found")
        with vendor.books.write():
            if "amountTo" in order:
                store.change(vendor.books, exchange_id, amount_to=format(_amount(order["amountTo"]), "f"))
            if order.get("refund") is not None:
                _force_refund(vendor, exchange, order["refund"])
            elif order.get("status") is not None:
                _force_status(vendor, exchange, str(order["status"]), pays=order.get("payout") is not False)
        return jsonify(bodies.exchange(store.exchange(vendor.books, exchange_id) or {}))


def _force_status(vendor: Vendor, exchange: Row, status: str, *, pays: bool) -> None:
    """Show any status, known or not.

    "exchanging" and "sending" go on from there and "finished" pays out first, unless the order says {"payout": false}; every other
    status stays, and the exchange with it, until the next order.
    """
    step = GOES_ON.get(status) if pays else None
    shown = "sending" if status == "finished" and step else status
    if step is None:
        store.change(vendor.books, exchange["id"], status=shown, held=True)
    else:
        store.change(vendor.books, exchange["id"], status=shown, held=False, next_step=step, next_at=time.time())


def _force_refund(vendor: Vendor, exchange: Row, wanted: object) -> None:
    """Send back what was deposited (true), or another amount of it; false shows "refunded" and sends nothing."""
    if wanted is False:
        store.change(vendor.books, exchange["id"], status="refunded", held=True)
        return
    deposit = store.first_deposit(vendor.books, exchange["id"])
    if deposit is None or not exchange["refund_address"]:
        raise RefusedError(400, "bad_params", "nothing to refund, or nowhere to refund it to")
    amount = exchanges.refundable(vendor, deposit) if wanted is True else _amount(wanted)
    if exchanges.units(amount, BY_KEY[deposit["asset"]]) <= 0:
        raise RefusedError(400, "bad_params", "the refund is too small")
    values = {"refund_amount": format(amount, "f"), "held": False, "next_step": "refund", "next_at": time.time()}
    store.change(vendor.books, exchange["id"], **values)


def _amount(value: object) -> Decimal:
    amount = number(value)
    if amount is None or amount <= 0:
        raise RefusedError(400, "bad_params", "not an amount")
    return amount
