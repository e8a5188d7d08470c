"""This is the one outbound call: time and size limits, exact numbers, and what each failure means for what happens next."""

from __future__ import annotations

import enum
import functools
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any, Final, ParamSpec, TypeVar

import httpx

from PGP_COMMON import log
from PGP_COMMON.errors import AnswerLost, Lost, Misconfigured, Refused, Throttled, TryAgain, VendorDown
from PGP_COMMON.failpoints import failpoint
from PGP_COMMON.money import plain

P = ParamSpec("P")
R = TypeVar("R")

LOG = log.get(__name__)

# money.md 14: every outbound call is bounded in time and in size.
CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 20.0
MAX_BYTES: Final = 1024 * 1024

# A read that failed fast (no connection, a reset, a 5xx) is repeated in this process after these pauses. One that timed out
# is not: the step's time is spent, and the queue is the retry.
READ_PAUSES_S: Final = (0.1, 0.4)

# What a proxy in front of a vendor says when it forwarded the request and got nothing usable back: the vendor may have acted.
# 520 and 524 are Cloudflare's, which stands in front of both payment vendors.
FORWARDED_AND_LOST: Final = frozenset({502, 504, 520, 524})
COME_BACK: Final = frozenset({408, 425})

# A vendor may not keep us away for longer than this, whatever its Retry-After says.
LONGEST_WAIT_S: Final = 3600

# These libraries write whole addresses at INFO and DEBUG, and some addresses carry keys (an RPC's path, a bot's token).
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)
# This one writes what it could not read, whole; what it means is raised all the same.
logging.getLogger("telegram").setLevel(logging.CRITICAL)


class OnLost(enum.Enum):
    """What follows when a request was sent and no answer came."""

    REPEAT = "repeat"
    SAME_BYTES = "send the same bytes again"
    LOOK_UP_THEN_REPEAT = "look it up, then repeat"
    RESEND_LIMITED = "at most two more times"


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that we ask of a vendor, and what follows a lost answer."""

    vendor: str
    method: str
    on_lost: OnLost
    reason: str


# Every declared effect by vendor and method; the table in the documents is rendered from it.
EFFECTS: dict[tuple[str, str], Effect] = {}

# How often this process asked which vendor for what, retries included.
CALLS: Counter[tuple[str, str]] = Counter()
_CALLS_LOCK = threading.Lock()


def effect(on_lost: OnLost, *, reason: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare a client method as an effect of the vendor that its module is named after; calls are counted.

    A Lost error that leaves the method carries the declaration as `data["on_lost"]`.
    """

    def declare(method: Callable[P, R]) -> Callable[P, R]:
        declared = Effect(method.__module__.rpartition(".")[2], method.__name__, on_lost, reason)
        key = (declared.vendor, declared.method)
        EFFECTS[key] = declared

        @functools.wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with _CALLS_LOCK:
                CALLS[key] += 1
            try:
                return method(*args, **kwargs)
            except Lost as error:
                error.data.setdefault("on_lost", on_lost)
                raise

        return call

    return declare


def read(method: Callable[P, R]) -> Callable[P, R]:
    """Declare a client method as a read: harmless to repeat, and repeated here at most twice when it failed fast."""
    once = effect(OnLost.REPEAT, reason="a read changes nothing")(method)

    @functools.wraps(method)
    def patiently(*args: P.args, **kwargs: P.kwargs) -> R:
        for pause_s in READ_PAUSES_S:
            try:
                return once(*args, **kwargs)
            except (VendorDown, Lost) as error:
                if not error.data.get("fast"):
                    raise
                time.sleep(pause_s)
        return once(*args, **kwargs)

    return patiently


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor answered: anything but trouble. Its refusals are for the vendor's own client to read."""

    vendor: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the vendor says that it did what was asked."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own classes

    def json(self) -> Any:
        """Read the body with exact numbers (int or Decimal); raises AnswerLost if it cannot be read: it may have happened."""
        try:
            return parsed(self.body)
        except (ValueError, RecursionError) as error:
            raise AnswerLost("an unreadable answer", vendor=self.vendor, status=self.status) from error

    def problem(self) -> dict[str, Any]:
        """Read the body of a refusal; whatever is no JSON object is an empty one."""
        try:
            body = parsed(self.body)
        except (ValueError, RecursionError):
            return {}
        return body if isinstance(body, dict) else {}


def parsed(body: bytes | str) -> Any:
    """Read JSON with exact numbers: integers as int, the rest as Decimal; raises ValueError, also for NaN and Infinity."""
    return json.loads(body, parse_float=Decimal, parse_constant=_no_number)


def _no_number(literal: str) -> Any:
    raise ValueError(f"{literal} is not JSON")


def dumps(value: Any) -> str:
    """Write JSON with decimals as exact number literals; raises TypeError for a float, which no amount may ever be."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(key)}:{dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, float):
        raise TypeError("a float has no exact literal")
    return json.dumps(value)


def redacted(path: str, params: Mapping[str, Any] | None = None) -> str:
    """Write a request's target for a log line: the names of its parameters, never their values."""
    bare = path.partition("?")[0]
    return f"{bare}?{'&'.join(params)}" if params else bare


@functools.cache
def tls() -> SSLContext:
    """The process's one TLS context: each would cost 1 MiB."""
    return httpx.create_ssl_context(trust_env=False)


class Http:
    """One vendor's API over one pool of reused connections; safe for threads. Nothing is retried here."""

    def __init__(
        self,
        vendor: str,
        base_url: str,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        max_bytes: int = MAX_BYTES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Take the address in front of every path, which may carry a key and is never shown."""
        self.vendor = vendor
        self._base_url = base_url.rstrip("/")
        self._max_bytes = max_bytes
        self._longest_s = connect_timeout_s + read_timeout_s
        self._client = httpx.Client(
            timeout=httpx.Timeout(read_timeout_s, connect=connect_timeout_s, pool=connect_timeout_s),
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
            verify=tls(),
            transport=transport,
            # Compressed answers could unpack to more than the limit.
            headers={"Accept-Encoding": "identity", "User-Agent": "PayGatePrime/1"},
        )

    def __repr__(self) -> str:
        return f"Http({self.vendor!r})"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
    ) -> Answer:
        """Ask once. Headers may carry secrets: none is ever logged. `max_bytes` is for an answer known to be long.

        Raises VendorDown when nothing was sent or the vendor says it is in trouble, Throttled when it asks for fewer
        requests, AnswerLost when the request was sent and no answer came, Misconfigured when the address or
        a header cannot be sent.
        """
        started = time.monotonic()
        failpoint(f"http.{self.vendor}.sent")
        try:
            answer = self._exchange(self._request(method, path, params, body, headers), started, max_bytes or self._max_bytes)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            fast = isinstance(error, httpx.ConnectError)
            raise VendorDown("no connection", vendor=self.vendor, fast=fast) from error
        except (httpx.LocalProtocolError, httpx.UnsupportedProtocol, UnicodeEncodeError):
            # The library's own sentence repeats the header, and with it the key.
            raise Misconfigured("the address or a header for the vendor cannot be sent", vendor=self.vendor) from None
        except httpx.TransportError as error:
            fast = not isinstance(error, httpx.TimeoutException)
            raise AnswerLost(vendor=self.vendor, fast=fast) from error
        failpoint(f"http.{self.vendor}.answered")
        spent_ms = round((time.monotonic() - started) * 1000)
        LOG.debug("vendor answered", vendor=self.vendor, asked=f"{method} {redacted(path, params)}", status=answer.status, ms=spent_ms)
        _raise_for_trouble(answer, changes=method != "GET")
        return answer

    def _request(self, method: str, path: str, params: Mapping[str, str] | None, body: Any, headers: Mapping[str, str] | None) -> httpx.Request:
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = None if body is None else dumps(body).encode()
        return self._client.build_request(method, self._base_url + path, params=params, content=content, headers=sent)

    def _exchange(self, request: httpx.Request, started: float, max_bytes: int) -> Answer:
        """Send and read at most so many bytes for at most so long: a time-out of the library bounds one read only."""
        response = self._client.send(request, stream=True)
        try:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise AnswerLost("an answer in an encoding that was not asked for", vendor=self.vendor, status=response.status_code)
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > max_bytes:
                    raise AnswerLost("an answer too long to read", vendor=self.vendor, status=response.status_code)
                if time.monotonic() - started > self._longest_s:
                    raise AnswerLost("an answer too slow to read", vendor=self.vendor, status=response.status_code)
        finally:
            response.close()
        return Answer(self.vendor, response.status_code, response.headers, bytes(body))


def _raise_for_trouble(answer: Answer, *, changes: bool) -> None:
    """Turn the statuses that say nothing about the request itself into their errors."""
    wait_s = _retry_after_s(answer.headers)
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        raise Throttled(vendor=answer.vendor, retry_after_s=wait_s)
    if changes and answer.status in FORWARDED_AND_LOST:
        raise AnswerLost(vendor=answer.vendor, status=answer.status, fast=True)
    if answer.status >= httpx.codes.INTERNAL_SERVER_ERROR or answer.status in COME_BACK:
        raise VendorDown(vendor=answer.vendor, status=answer.status, retry_after_s=wait_s, fast=wait_s is None)


def _retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Read Retry-After, seconds or a date (RFC 9110 10.2.3); None when absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = int(text[:9])
    else:
        try:
            seconds = round(parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    return max(1, min(seconds, LONGEST_WAIT_S))


def was_not_done(error: TryAgain) -> bool:
    """Whether it is certain that the vendor did nothing: it was not reached, asks for fewer requests, or refuses our key.

    A vendor that breaks (500) or says it is busy (503) may have done what was asked before it did so.
    """
    return "status" not in error.data or error.data.get("code") == "key_refused"


def refusal(answer: Answer, *, code: str | None = None, **data: Any) -> Refused | VendorDown:
    """The error for a vendor's refusal. A refused key is not final: the operator corrects it, and the work waits for that."""
    if answer.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return VendorDown("the vendor refuses our key", vendor=answer.vendor, status=answer.status, code="key_refused", vendor_code=code)
    return Refused(vendor=answer.vendor, status=answer.status, code=code or f"http_{answer.status}", **data)
