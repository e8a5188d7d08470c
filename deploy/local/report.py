"""What a running fleet looks like from outside: addresses, readiness, memory."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil

from deploy.local import book, probes
from deploy.local.book import Book, Entry
from deploy.local.files import StateDir


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process tree in bytes: counted whole (RSS), and with shared pages divided among those who share them (PSS)."""

    rss: int
    pss: int


def memory_of(entry: Entry) -> Memory:
    """What a program and everything it started takes; zero when it does not run."""
    leader = entry.identity.process() if entry.identity else None
    rss = pss = 0
    for process in family_of(leader) if leader is not None else ():
        with contextlib.suppress(psutil.Error):
            full = process.memory_full_info()
            rss += full.rss
            pss += getattr(full, "pss", full.rss)
    return Memory(rss, pss)


def family_of(leader: psutil.Process) -> list[psutil.Process]:
    """A process and all its descendants."""
    with contextlib.suppress(psutil.Error):
        return [leader, *leader.children(recursive=True)]
    return [leader]


def ready_now(entries: Sequence[Entry]) -> dict[str, bool]:
    """Ask every service whether it is ready, all at once."""
    with ThreadPoolExecutor(max_workers=max(1, len(entries))) as pool:
        answers = pool.map(lambda entry: bool(entry.pid) and probes.answers(f"{entry.url}/readyz"), entries)
        return {entry.name: answer for entry, answer in zip(entries, answers, strict=True)}


def is_ready(now: Book) -> bool:
    """Whether the whole fleet is up by its book."""
    return now.phase == "ready" and now.supervised and all(entry.state in {book.READY, book.DONE} for entry in now.entries)


def as_json(state: StateDir, now: Book, *, memory: bool = False) -> dict[str, Any]:
    """The stable description of a fleet (`pgp status --json`)."""
    services = now.of_kind("service")
    ready = ready_now(services)
    described = []
    for entry in services:
        line: dict[str, Any] = {"name": entry.name, "url": entry.url, "pid": entry.pid, "ready": ready[entry.name]}
        if memory:
            used = memory_of(entry)
            line |= {"rss_bytes": used.rss, "pss_bytes": used.pss}
        described.append(line)
    return {
        "services": described,
        **{name: now.places.get(name, "") for name in ("database_url", "redis_url", "rpc_url", "tasks")},
        "simulators": {entry.name: entry.url for entry in now.of_kind("simulator")},
        "secrets_file": str(state.secrets),
    }
