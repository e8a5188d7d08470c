"""JSON as Node.js writes it: both payment vendors answer from JavaScript, and NOWPayments signs what JSON.stringify makes of a body."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

from flask.json.provider import JSONProvider

# ECMA-262, Number::toString: plain digits up to 10^21, an exponent below 10^-6.
PLAIN_DIGITS = 21
LEADING_ZEROS = 6

_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(text: str | bytes) -> Any:
    """Read JSON without losing a digit: numbers are int or Decimal."""
    return json.loads(text, parse_float=Decimal)


def number(value: float | Decimal) -> str:
    """Write a number as JSON.stringify does; what a double cannot hold becomes null.

    JavaScript has doubles only, so the shortest text that reads back as the same double is by definition what Node writes.
    """
    try:
        double = float(value)
    except OverflowError:
        return "null"
    if not math.isfinite(double):
        return "null"
    if double == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(double)).normalize().as_tuple()
    return ("-" if sign else "") + _layout("".join(map(str, digits)), int(exponent))


def _layout(digits: str, exponent: int) -> str:
    point = len(digits) + exponent
    if len(digits) <= point <= PLAIN_DIGITS:
        return digits + "0" * exponent
    if 0 < point <= PLAIN_DIGITS:
        return f"{digits[:point]}.{digits[point:]}"
    if -LEADING_ZEROS < point <= 0:
        return "0." + "0" * -point + digits
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def string(value: str) -> str:
    """Write a string as JSON.stringify does: everything raw but quotes, backslashes, control signs and lone surrogates."""
    paired = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if _SURROGATE.search(value) else value
    return _SURROGATE.sub(lambda lone: f"\\u{ord(lone[0]):04x}", encode_basestring(paired))


def stringify(value: Any) -> str:
    """Write a value as JSON.stringify does, keeping a mapping's order as it is."""
    if isinstance(value, str):
        return string(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float | Decimal):
        return number(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{string(str(key))}:{stringify(item)}" for key, item in value.items()) + "}"
    return "[" + ",".join(map(stringify, value)) + "]"


class NodeJson(JSONProvider):
    """Flask's JSON with numbers that stay exact on the way in and are JavaScript's on the way out."""

    def dumps(self, obj: Any, **_: Any) -> str:
        """Write as Node.js would."""
        return stringify(obj)

    def loads(self, s: str | bytes, **_: Any) -> Any:
        """Read numbers as int or Decimal."""
        return loads(s)
