"""Reads what a request says, and refuses what makes no sense in the vendor's words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from flask import current_app, request

from deploy.simulators.nowpayments import bodies, pricing, store
from deploy.simulators.nowpayments.store import Vendor


class RefusedError(Exception):
    """The vendor says no."""

    def __init__(self, status: int, message: str | None = None, code: str | None = None) -> None:
        """Take what failure() takes."""
        super().__init__(message)
        self.status = status
        self.body = bodies.failure(status, message, code)


def the_vendor() -> Vendor:
    """Give the vendor of the application that handles this request."""
    vendor: Vendor = current_app.extensions["vendor"]
    return vendor


def read_object() -> dict[str, Any]:
    """Read the body, which must be an object."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise RefusedError(400, "Invalid request body")
    return body


def read_number(values: Mapping[str, Any], name: str) -> Decimal:
    """Read a positive number, or the text of one."""
    try:
        number = Decimal(str(values[name]))
    except (KeyError, ArithmeticError) as error:
        raise RefusedError(400, f"{name} must be a number") from error
    if isinstance(values[name], bool) or not number.is_finite() or number <= 0:
        raise RefusedError(400, f"{name} must be a positive number")
    return number


def read_string(values: Mapping[str, Any], name: str) -> str | None:
    """Read a text; numbers are taken as their text."""
    value = values.get(name)
    return None if value is None else str(value)


def read_currency(values: Mapping[str, Any], name: str) -> str:
    """Read the code of a currency that is traded."""
    code = str(values.get(name) or "").lower()
    if not code:
        raise RefusedError(400, f"{name} is required")
    pricing.usd_price(the_vendor().books, code)
    return code


def read_callback(values: Mapping[str, Any]) -> str | None:
    """Read the address for callbacks."""
    url = read_string(values, "ipn_callback_url")
    if url is not None and not url.startswith(("http://", "https://")):
        raise RefusedError(400, "ipn_callback_url must be a valid uri")
    return url


def read_query(name: str) -> str:
    """Read a parameter that must be there."""
    value = request.args.get(name)
    if not value:
        raise RefusedError(400, f"{name} is required")
    return value.lower()


def read_whole(name: str, default: int) -> int:
    """Read a whole number among the parameters."""
    text = request.args.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise RefusedError(400, f"{name} must be a whole number")
    return int(text)


def read_moment(name: str, text: str) -> str:
    """Read a day or a moment and write it as created_at is written; a day as the upper end means the whole day."""
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise RefusedError(400, f"{name} must be a date") from error
    if name == "dateTo" and len(text) == len("2026-01-31"):
        moment += timedelta(days=1, milliseconds=-1)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return store.iso(int(moment.timestamp() * 1000))
