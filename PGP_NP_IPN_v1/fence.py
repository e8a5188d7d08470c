"""Who may hand in a notice: whoever has signed it with the IPN secret and, if that fence is up, calls from a known range."""

from __future__ import annotations

import functools
import ipaddress
import threading
import time
from typing import TYPE_CHECKING, Final

from flask import request

from PGP_COMMON import doors, log
from PGP_COMMON.errors import Forbidden, Misconfigured, Unauthenticated
from PGP_NP_IPN_v1 import canonical

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

Range = ipaddress.IPv4Network | ipaddress.IPv6Network

logger = log.get(__name__)
SIGNATURE: Final = "x-nowpayments-sig"
# A flood of forged notices must not become a flood of lines.
LINE_EVERY_S: Final = 60.0


class Refusals:
    """How many notices were refused since the process began; nothing else of them is kept."""

    def __init__(self) -> None:
        """Begin with none."""
        self.count = 0
        self._lock = threading.Lock()
        self._next_line = 0.0

    def add(self, why: str) -> None:
        """Count one, and say so at most once a minute."""
        with self._lock:
            self.count += 1
            count, due = self.count, time.monotonic() >= self._next_line
            if due:
                self._next_line = time.monotonic() + LINE_EVERY_S
        if due:
            logger.warning("notices are refused", why=why, since_start=count)


refusals = Refusals()


@functools.cache
def ranges(text: str) -> tuple[Range, ...]:
    """The ranges of ALLOWED_IPS; none means that everybody may call. Raises Misconfigured."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Misconfigured("ALLOWED_IPS: write ranges such as 51.89.194.21/32, comma between") from error


def prove(runtime: Runtime) -> None:
    """Raises Unauthenticated for a bad signature, Forbidden for a caller outside ALLOWED_IPS.

    The signature decides whatever the content type says: nothing that the vendor signed is dropped for its form.
    """
    allowed = ranges(runtime.config.text("ALLOWED_IPS"))
    if allowed:
        caller = ipaddress.ip_address(doors.caller_address(runtime))
        if not any(caller in known for known in allowed):
            refusals.add("address")
            raise Forbidden("this address may not send notices")
    secrets = runtime.config.secret("NOWPAYMENTS_IPN_SECRET").split(",")
    if not canonical.verify(request.get_data(cache=True), request.headers.get(SIGNATURE), secrets):
        refusals.add("signature")
        raise Unauthenticated("the signature does not fit")
