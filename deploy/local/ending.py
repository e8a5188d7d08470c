"""How a fleet ends: in the reverse order of its start, by the book first and by its mark afterwards, until no process is left."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterable

from deploy.local import processes
from deploy.local.book import Book, Entry
from deploy.local.files import StateDir


def end_together(entries: Iterable[Entry]) -> None:
    """Ask these programs to end and wait; the impatient rest is killed. A pid that is somebody else's by now is left alone."""
    chosen = list(entries)
    for number, group in itertools.groupby(sorted(chosen, key=lambda entry: entry.stop_signal), key=lambda entry: entry.stop_signal):
        members = list(group)
        who = [entry.identity for entry in members if entry.identity is not None]
        processes.end(who, stop_signal=signal.Signals(number), grace_s=max(entry.grace_s for entry in members))


def end_all(state: StateDir, book: Book) -> None:
    """End everything in the book, kind by kind from the last to the first, then whatever carries the fleet's mark without being in it."""
    for _, entries in itertools.groupby(reversed(book.entries), key=lambda entry: entry.kind):
        end_together(entries)
    strays = processes.marked(state.mark())
    for process in strays:
        processes.send(process, signal.SIGTERM)
    processes.finish(processes.wait_gone(strays, 5.0))


def clear_leftovers(state: StateDir, book: Book) -> None:
    """End what programs left that died while nobody watched: their workers may still hold their ports."""
    running = book.running()
    for entry in book.entries:
        if entry.pid and entry.name not in running:
            processes.finish(processes.left_by(entry.pid, state.mark()))
