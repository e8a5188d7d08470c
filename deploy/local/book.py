"""This is the fleet's book: what runs, under which pid, at which address; written whole after every change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from deploy.local import files
from deploy.local.processes import Identity

# A program's life in the book.
WAITING, STARTING, READY, DOWN, DONE = "waiting", "starting", "ready", "down", "done"


@dataclass(frozen=True)
class Entry:
    """One program: who it is now and how it has been."""

    name: str
    kind: str
    url: str = ""
    state: str = WAITING
    pid: int = 0
    started: float = 0.0
    stop_signal: int = 15
    grace_s: float = 10.0
    # A digest of its command and environment: after a change it is started anew instead of being kept.
    card: str = ""
    restarts: int = 0
    ready_s: float = 0.0

    @property
    def identity(self) -> Identity | None:
        """The process, if it was ever started."""
        return Identity(self.pid, self.started) if self.pid else None


@dataclass(frozen=True)
class Book:
    """Everything that is known about one fleet."""

    phase: str = "down"
    error: str = ""
    supervisor: Identity | None = None
    began: float = 0.0
    ready_s: float = 0.0
    # Addresses that are no program's own: database_url, redis_url, rpc_url, tasks.
    places: Mapping[str, str] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()

    @property
    def supervised(self) -> bool:
        """Whether somebody keeps this fleet running."""
        return self.supervisor is not None and self.supervisor.runs

    def running(self) -> frozenset[str]:
        """The names of the programs whose process lives."""
        return frozenset(entry.name for entry in self.entries if entry.identity is not None and entry.identity.runs)

    def of_kind(self, kind: str) -> tuple[Entry, ...]:
        """The programs of one kind, in the order of their start."""
        return tuple(entry for entry in self.entries if entry.kind == kind)

    def entry(self, name: str) -> Entry | None:
        """One program by name."""
        return next((entry for entry in self.entries if entry.name == name), None)

    def with_entry(self, entry: Entry) -> Book:
        """The book with one program's line replaced, or added at the end."""
        if self.entry(entry.name) is None:
            return replace(self, entries=(*self.entries, entry))
        return replace(self, entries=tuple(entry if old.name == entry.name else old for old in self.entries))


def read(file: Path) -> Book:
    """Read the book; an absent or illegible one is that of a fleet that is down."""
    found = files.read_json(file)
    try:
        return _parse(found) if isinstance(found, dict) else Book()
    except (KeyError, TypeError):
        return Book()


def _parse(found: dict[str, Any]) -> Book:
    entries = tuple(Entry(**entry) for entry in found.pop("entries"))
    supervisor = found.pop("supervisor")
    return Book(**found, entries=entries, supervisor=Identity(**supervisor) if supervisor else None)


def write(file: Path, book: Book) -> None:
    """Replace the book (it holds the database's password: for the owner's eyes only)."""
    files.write_atomically(file, json.dumps(asdict(book), indent=1))
