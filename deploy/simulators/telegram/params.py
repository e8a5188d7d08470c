"""Reads the parameters of a method call as the Bot API server does: forgiving about odd numbers, strict about JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from flask import Request

from deploy.simulators.telegram.errors import bad_request

LEADING_INTEGER = re.compile(r"-?\d{1,18}")


class Params(dict[str, str]):
    """The named parameters of one call; every value is text, lists and objects are JSON text."""

    def text(self, name: str) -> str:
        """Read a text; missing is empty."""
        return self.get(name, "")

    def integer(self, name: str, default: int = 0, low: int | None = None, high: int | None = None) -> int:
        """Read a number and clamp it silently; what does not start with a number is 0, as in the server."""
        given = self.text(name)
        found = LEADING_INTEGER.match(given)
        number = default if not given else int(found.group()) if found else 0
        number = number if low is None else max(low, number)
        return number if high is None else min(high, number)

    def flag(self, name: str) -> bool:
        """Read a boolean: anything that is not clearly true is false."""
        return self.text(name).strip().lower() in {"true", "yes", "1"}

    def json(self, name: str, what: str) -> Any:
        """Read JSON; None when missing; raises ApiError that names `what` cannot be parsed."""
        given = self.text(name)
        if not given:
            return None
        try:
            return json.loads(given)
        except ValueError:
            raise bad_request(f"can't parse {what} JSON object") from None

    def user_id(self, name: str = "user_id") -> int:
        """Read a user's id, which must be a positive number."""
        given = self.text(name)
        if not given.isascii() or not given.isdigit() or int(given) <= 0:
            raise bad_request(f"invalid {name} specified")
        return int(given)


def read(request: Request) -> Params:
    """Gather the parameters of a request: query string, form or multipart (a file counts by its name), or a JSON object."""
    given = Params(request.args.items())
    if request.is_json:
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise bad_request("can't parse JSON object") if request.get_data() else bad_request("request body is empty")
        given.update(plain(body))
        return given
    given.update(request.form.items())
    given.update({name: f"attach://{name}" for name in request.files})
    return given


def plain(body: dict[str, Any]) -> Params:
    """Turn the values of a JSON object into text; null is the same as missing. Raises ApiError for half a character."""
    params = Params({name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items() if value is not None})
    try:
        "".join(params.values()).encode()
    except UnicodeEncodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    return params
