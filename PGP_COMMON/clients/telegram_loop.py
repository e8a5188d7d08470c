"""The one event loop that a process keeps for Telegram, so that its connections are reused (product.md 7.13)."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# httpcore imports this package, if it is there, several times a call; when it is not, Python looks for it on the disk each time.
if importlib.util.find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]

_lock = threading.Lock()
_loop: tuple[int, asyncio.AbstractEventLoop] | None = None


def run(work: Coroutine[Any, Any, T], *, timeout_s: float) -> T:
    """Run a coroutine on the loop and wait for its result; raises TimeoutError, and cancels it, after so many seconds."""
    future = asyncio.run_coroutine_threadsafe(work, _running())
    try:
        return future.result(timeout_s)
    except TimeoutError:
        future.cancel()
        raise


def _running() -> asyncio.AbstractEventLoop:
    """The process's loop, started when first needed; a forked process starts its own."""
    global _loop  # noqa: PLW0603 - one loop a process is the point
    with _lock:
        if _loop is None or _loop[0] != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="telegram", daemon=True).start()
            _loop = (os.getpid(), loop)
        return _loop[1]
