"""This is the failpoint: a named place where a test may stop the process; it does nothing unless armed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Run what is armed under this name, if anything; a test arms it to crash, to wait or to count."""
    action = _armed.get(name)
    if action is not None:
        action()


def arm(actions: Mapping[str, Callable[[], None]]) -> None:
    """Arm failpoints by name, beside those already armed. Only test harnesses call this."""
    _armed.update(actions)


def disarm() -> None:
    """Let every failpoint do nothing again."""
    _armed.clear()
