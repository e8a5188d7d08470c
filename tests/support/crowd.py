"""Many threads at once, whose failures are the test's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Crowd:
    """Threads that work until they are done; `over` is set when nobody needs to go on."""

    def __init__(self) -> None:
        """Nobody works yet."""
        self.over = threading.Event()
        self.faults: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[..., object], *arguments: Any) -> threading.Thread:
        """Let one more thread work."""

        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:  # noqa: BLE001 - shown by the test
                self.faults.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        return thread

    def finish(self) -> None:
        """Tell everybody to stop, and wait."""
        self.over.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def a_crowd() -> Iterator[Crowd]:
    """Threads that have all ended when the block has; fails the test with what failed in any of them."""
    crowd = Crowd()
    try:
        yield crowd
    finally:
        crowd.finish()
    if crowd.faults:
        raise crowd.faults[0]


def at_once(*works: Callable[[], Any], timeout_s: float = 60) -> list[Any]:
    """Let everybody begin at the same moment; gives back what each gave, in order, and fails the test with what failed in any of them."""
    gate = threading.Barrier(len(works))
    given: list[Any] = [None] * len(works)

    def run(number: int) -> None:
        gate.wait(timeout_s)
        given[number] = works[number]()

    with a_crowd() as crowd:
        for number in range(len(works)):
            crowd.start(run, number)
    return given
