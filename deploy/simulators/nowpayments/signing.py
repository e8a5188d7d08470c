"""Signs an IPN exactly as the vendor's Node.js sample does (contracts: section 1.8)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from deploy.simulators.javascript import stringify

# The greatest array index of JavaScript is 2^32 - 2; keys up to it come first in an object, in numeric order.
INDEX_LIMIT = 2**32 - 1


def sort_object(value: Mapping[str, Any] | list[Any]) -> dict[str, Any]:
    """Port of the sample's sortObject: keys sorted at every level, arrays turned into objects.

    A key "__proto__" is lost, because assigning to it in JavaScript makes no property.
    """
    pairs = {str(index): item for index, item in enumerate(value)} if isinstance(value, list) else dict(value)
    pairs.pop("__proto__", None)
    return {key: sort_object(item) if isinstance(item, Mapping | list) else item for key, item in sorted(pairs.items(), key=_place)}


def _place(pair: tuple[str, Any]) -> tuple[int, int, bytes]:
    key = pair[0]
    if key.isascii() and key.isdigit() and str(int(key)) == key and int(key) < INDEX_LIMIT:
        return 0, int(key), b""
    return 1, 0, key.encode("utf-16-be", "surrogatepass")


def canonical(body: Mapping[str, Any]) -> bytes:
    """Give the bytes that are signed, which are also the bytes that the vendor sends."""
    return stringify(sort_object(body)).encode()


def sign(message: bytes, secret: str) -> str:
    """Give the header x-nowpayments-sig: HMAC-SHA512 in lower-case hex."""
    return hmac.new(secret.encode(), message, hashlib.sha512).hexdigest()
