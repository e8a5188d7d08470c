"""This is the signature: how a task, a schedule call and a success page show that they are ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from PGP_COMMON.errors import BadInput, Misconfigured, Unauthenticated

HEADER = "PGP-Sig"
_HEADER = re.compile(r"v1=([A-Za-z0-9_-]{1,32}):([0-9a-f]{64})")
_KEYS = re.compile(r"[A-Za-z0-9_-]{1,32}:[0-9a-f]{64}(,[A-Za-z0-9_-]{1,32}:[0-9a-f]{64})?")


@dataclass(frozen=True)
class Key:
    """One signing key with its id."""

    kid: str
    secret: bytes

    def __repr__(self) -> str:
        """Never the key."""
        return f"Key({self.kid}, ***)"


def parse_keys(text: str) -> tuple[Key, ...]:
    """Read `kid:hex[,kid:hex]`: the first signs, both verify (rotation); raises Misconfigured."""
    if not _KEYS.fullmatch(text.strip()):
        raise Misconfigured("a signing key is written kid:64 hexadecimal characters, two of them joined by a comma")
    return tuple(Key(kid, bytes.fromhex(value)) for kid, value in (part.split(":") for part in text.strip().split(",")))


class BaseTokenManager:
    """Signs with the first of an edge's keys and checks against all of them. A subclass names its edge's keys, never mechanism."""

    def __init__(self, keys: Callable[[], str]) -> None:
        """Take the accessor of the setting, so that a rotated key takes effect without a restart."""
        self._keys = keys

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys as they are now."""
        return parse_keys(self._keys())

    def held(self) -> BaseTokenManager:
        """The same keys as they are now, for good: whoever signs with them inside a transaction asks nobody for them."""
        text = self._keys()
        return BaseTokenManager(lambda: text)

    @staticmethod
    def _digest(key: Key, audience: str, subject: str, body: bytes) -> str:
        text = f"v1\n{key.kid}\n{audience}\n{subject}\n{hashlib.sha256(body).hexdigest()}"
        return hmac.new(key.secret, text.encode(), hashlib.sha256).hexdigest()

    def sign(self, audience: str, subject: str, body: bytes) -> str:
        """The header's value for a message to `audience` (a service's name) about `subject` (step/subject)."""
        key = self.keys[0]
        return f"v1={key.kid}:{self._digest(key, audience, subject, body)}"

    def check(self, header: str | None, *, audience: str, subject: str, body: bytes) -> None:
        """Raises Unauthenticated unless one of the keys signed exactly this."""
        found = _HEADER.fullmatch(header or "")
        if not found:
            raise Unauthenticated("no signature, or not one of ours")
        kid, digest = found.groups()
        for key in self.keys:
            if key.kid == kid and hmac.compare_digest(self._digest(key, audience, subject, body), digest):
                return
        raise Unauthenticated("the signature does not fit")

    def seal(self, purpose: str, value: str, *, lifetime_s: int) -> str:
        """A token for people's hands: says `value`, is valid for so many seconds, and only for `purpose`."""
        body = json.dumps({"v": value, "x": int(time.time()) + lifetime_s}, separators=(",", ":")).encode()
        key = self.keys[0]
        mark = bytes.fromhex(self._digest(key, purpose, key.kid, body))[:16]
        return f"{key.kid}.{_b64(body)}.{_b64(mark)}"

    def open(self, purpose: str, token: str) -> str:
        """What a token says; raises BadInput when it is forged, of another purpose, or over."""
        parts = token.split(".")
        if len(parts) != 3 or len(token) > 1000:  # noqa: PLR2004 - key id, body, mark
            raise BadInput("this link is not one of ours")
        kid, body_text, mark_text = parts
        body, mark = _unb64(body_text), _unb64(mark_text)
        for key in self.keys:
            expected = bytes.fromhex(self._digest(key, purpose, key.kid, body))[:16]
            if key.kid == kid and hmac.compare_digest(expected, mark):
                said = json.loads(body)
                if said["x"] < time.time():
                    raise BadInput("this link is no longer valid")
                return str(said["v"])
        raise BadInput("this link is not one of ours")


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    """Decode only the one canonical spelling: another would be a second token that says the same."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise BadInput("this link is not one of ours") from error
    if _b64(data) != text:
        raise BadInput("this link is not one of ours")
    return data
