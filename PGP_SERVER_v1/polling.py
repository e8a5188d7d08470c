"""Fetches updates where Telegram cannot call us: one machine, one thread, the same door behind it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from PGP_COMMON import log
from PGP_COMMON.errors import PgpError
from PGP_SERVER_v1 import updates

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

logger = log.get(__name__)
WAIT_S = 25
REST_S = 3


def start(runtime: Runtime) -> threading.Thread:
    """Begin to fetch, in a thread that ends with the process."""
    thread = threading.Thread(target=_run, args=(runtime,), name="updates", daemon=True)
    thread.start()
    return thread


def _run(runtime: Runtime) -> None:
    offset: int | None = None
    while True:
        try:
            offset = fetch(runtime, offset)
        except PgpError as error:
            logger.warning("updates could not be fetched; once more in a moment", error=str(error))
            time.sleep(REST_S)


def fetch(runtime: Runtime, offset: int | None, *, wait_s: int = WAIT_S) -> int | None:
    """Take what is there, and give back the offset that lets Telegram forget it."""
    from PGP_SERVER_v1.app import receive  # noqa: PLC0415 - the app starts this thread

    found = runtime.clients.speaker.telegram.get_updates(offset=offset, wait_s=wait_s, allowed_updates=updates.KINDS)
    for update in found:
        receive(runtime, update.to_dict())
        offset = update.update_id + 1
    return offset
