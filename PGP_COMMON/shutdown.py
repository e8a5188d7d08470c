"""This is the shutdown: SIGTERM lets a process end the phases that it has begun, and begin no others."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_near = threading.Event()


def is_near() -> bool:
    """Whether this process was told to end: nothing new is claimed, and what waits at a recovery point goes to somebody else."""
    return _near.is_set()


def announce() -> None:
    """Tell this process that it ends soon."""
    _near.set()


def post_worker_init(_worker: Any) -> None:
    """Listen to SIGTERM beside gunicorn (its name for this hook): it stops taking requests, and lets those that run end.

    Nothing relies on it: a kill at any point is the tested case (money.md 13).
    """
    before = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        announce()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, end)
