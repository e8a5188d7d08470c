"""Fetches updates where Telegram cannot call us: one machine, one thread, the same door behind it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from PGP_COMMON import log
from PGP_COMMON.engine import bury
from PGP_COMMON.errors import GiveUp, PgpError
from PGP_SERVER_v1 import updates

if TYPE_CHECKING:
    from PGP_COMMON.clients.telegram import Telegram
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
    telegram = runtime.clients.speaker.telegram
    for update in telegram.get_updates(offset=offset, wait_s=wait_s, allowed_updates=updates.KINDS):
        query_id = _take(runtime, update.update_id, update.to_dict())
        offset = update.update_id + 1
        if query_id:
            _stop_spinner(telegram, query_id)
    return offset


def _take(runtime: Runtime, number: int, body: dict[str, Any]) -> str:
    """Take one update, as the door does; one that makes no sense is kept for a person, so that it does not come for ever. Gives back a pressed button's id."""
    from PGP_SERVER_v1.app import receive  # noqa: PLC0415 - the app starts this thread

    try:
        event = receive(runtime, body)
    except GiveUp as error:
        with runtime.db.reading() as tx:
            bury(tx, source=f"{runtime.service.name} updates", subject=str(number), reason=error.reason, detail={"sentence": str(error)})
        return ""
    return event.query_id if isinstance(event, updates.Pressed) else ""


def _stop_spinner(telegram: Telegram, query_id: str) -> None:
    """Answer a pressed button; if that does not work, it spins a little longer."""
    try:
        telegram.answer_callback(query_id)
    except PgpError as error:
        logger.warning("a pressed button was not answered", error=str(error))
