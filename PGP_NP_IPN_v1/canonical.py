"""Checks that a notice was signed by NOWPayments: over the bytes as they came, or over the form that JavaScript gives them."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

# money.md 14 and contracts 1.7: a notice has under 1 KiB; nothing longer is worth the work.
MAX_BYTES: Final = 64 * 1024
# A notice is two objects deep. So few opening brackets cannot nest deeply enough to trouble the parser.
MAX_BRACKETS: Final = 200
SIGNATURE: Final = re.compile(r"[0-9a-fA-F]{128}", re.ASCII)
# ECMA-262, "array index": such keys come first in an object, in numeric order.
INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
LARGEST_INDEX: Final = 2**32 - 2
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Literal(str):
    """A number as its sender wrote it."""

    __slots__ = ()


def verify(raw: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Whether one of the secrets signed this body. Never raises, whatever the body and header are.

    The signature is HMAC-SHA512 over compact JSON with sorted keys. It is compared with the bytes as they came, then with the
    body written anew: numbers keep the characters that their sender gave them, so that a body changed in one literal does not
    verify; arrays as lists, then as objects, which is what the vendor's own sample makes of them (contracts: 1.8).
    """
    keys = [secret.strip().encode(errors="surrogatepass") for secret in secrets if secret.strip()]
    if not keys or header is None or not SIGNATURE.fullmatch(header) or len(raw) > MAX_BYTES:
        return False
    wanted = header.lower().encode()
    return any(hmac.compare_digest(_sign(form, key), wanted) for form in _forms(raw) for key in keys)


def _sign(message: bytes, key: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha512).hexdigest().encode()


def _forms(raw: bytes) -> Iterator[bytes]:
    """Every text that may have been signed for this body, the likeliest first."""
    yield raw
    if raw.count(b"[") + raw.count(b"{") > MAX_BRACKETS:
        return
    try:
        body = json.loads(raw.decode(), parse_int=Literal, parse_float=Literal, parse_constant=_no_number, object_pairs_hook=_object)
        if not isinstance(body, dict):
            return
        for arrays_as_objects in (False, True):
            yield _write(body, arrays_as_objects=arrays_as_objects).encode()
    except ValueError:
        return


def _no_number(literal: str) -> Any:
    raise ValueError(f"{literal} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: two readers could take different values from it."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _write(value: Any, *, arrays_as_objects: bool) -> str:
    """Write a value as JSON.stringify does, with keys sorted at every level."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list) and arrays_as_objects:
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: _place(item[0]))
        pairs = (f"{_string(key)}:{_write(item, arrays_as_objects=arrays_as_objects)}" for key, item in items)
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_write(item, arrays_as_objects=arrays_as_objects) for item in value) + "]"
    return json.dumps(value)


def _place(key: str) -> tuple[int, int, bytes]:
    """Where JavaScript puts a key: array indices first and by size, the rest by UTF-16 code unit."""
    if INDEX.fullmatch(key) and int(key) <= LARGEST_INDEX:
        return 0, int(key), b""
    return 1, 0, key.encode("utf-16-be", "surrogatepass")


def _string(value: str) -> str:
    """Write a string as JSON.stringify does: nothing escaped but quotes, backslashes, control characters and lone surrogates."""
    return LONE_SURROGATE.sub(lambda lone: f"\\u{ord(lone[0]):04x}", json.dumps(value, ensure_ascii=False))
