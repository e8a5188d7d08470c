"""The fleet under the benchmark: a temporary one with Telegram's pacing raised, or one that runs already."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import psutil

from deploy.local import book, files, report
from deploy.local.book import Entry
from deploy.local.demo.world import World
from deploy.local.files import StateDir
from PGP_COMMON import cli
from PGP_COMMON.cli.operator import database
from PGP_COMMON.database import BaseDatabaseManager

# Telegram's own limits (25 messages a second) are slower than the fleet. The vendor's payout is looked for one interval after
# a payment; nothing is paid out here, so that nobody is asked again and again.
SETTINGS: Final = {
    "TELEGRAM_PER_SECOND": "1000",
    "TELEGRAM_PER_CHAT_PER_SECOND": "1000",
    "TELEGRAM_PER_GROUP_PER_MINUTE": "60000",
    "PAYOUT_HASH_POLL_S": "3600",
}
# The programs that answer and carry; jobs have ended, and the supervisor only watches.
PROGRAMS: Final = frozenset({"infrastructure", "simulator", "emulator", "service", "scheduler"})


@dataclass(frozen=True)
class Fleet:
    """A running fleet, and where its books, settings and processes are."""

    state: StateDir

    @cached_property
    def known(self) -> dict[str, str]:
        """Its settings and secrets."""
        return {**files.read_env(self.state.environment), **files.read_env(self.state.secrets)}

    @cached_property
    def db(self) -> BaseDatabaseManager:
        """Its database."""
        return database(self.known)

    @cached_property
    def world(self) -> World:
        """The doors of the outside world."""
        return World.of(report.as_json(self.state, book.read(self.state.fleet)), self.known)

    @property
    def programs(self) -> tuple[Entry, ...]:
        """What runs."""
        return tuple(entry for entry in book.read(self.state.fleet).entries if entry.kind in PROGRAMS)

    def cpu_s(self) -> dict[str, float]:
        """Seconds of processor time that each program, and this one, has used."""
        used: dict[str, float] = {"load": _cpu_s(psutil.Process())}
        for entry in self.programs:
            leader = entry.identity.process() if entry.identity else None
            for process in report.family_of(leader) if leader else ():
                with suppress(psutil.Error):
                    used[entry.name] = used.get(entry.name, 0.0) + _cpu_s(process)
        return used

    def calls(self) -> Counter[str]:
        """How often each vendor was asked for what."""
        found: Counter[str] = Counter()
        for name, url in self.world.simulators.items():
            answer: dict[str, Any] = self.world.http.get(f"{url}/_control/calls").json()
            found.update({f"{name} {operation}": count for operation, count in answer.items()})
        return found


def _cpu_s(process: psutil.Process) -> float:
    """Processor time of a process that runs; children count for themselves."""
    times = process.cpu_times()
    return float(times.user + times.system)


@dataclass(frozen=True)
class Start:
    """How long `pgp up` took until everything was ready, in seconds."""

    first_s: float | None = None
    again_s: float | None = None


@contextmanager
def temporary() -> Iterator[tuple[Fleet, Start]]:
    """A fleet in a directory of its own, started once in an empty one and once more as tomorrow; ended and removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="pgp-bench-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        # PostgreSQL's user goes through it.
        place.chmod(0o755)
        files.write_env(place / "settings.env", SETTINGS, heading="What the benchmark wants otherwise.")
        try:
            first_s = _pgp("up", place, "--detach")
            _pgp("down", place)
            yield Fleet(StateDir.at(place)), Start(first_s, _pgp("up", place, "--detach"))
        finally:
            _pgp("down", place)


def given(place: Path) -> Fleet:
    """A fleet that runs. Raises SystemExit with a sentence if it does not."""
    fleet = Fleet(StateDir.at(place))
    if not report.is_ready(book.read(fleet.state.fleet)):
        raise SystemExit("the fleet in this directory does not run: `pgp up --detach` first")
    if slow := [name for name in SETTINGS if int(fleet.known.get(name) or 0) < int(SETTINGS[name])]:
        print(f"measured with this fleet's own {', '.join(slow)}: write what bench/fleet.py has into settings.env to lift that", file=sys.stderr)
    return fleet


def _pgp(verb: str, place: Path, *flags: str) -> float:
    """Run a verb and give how many seconds it took. Raises SystemExit with what it said when it fails."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", cli.__name__, verb, *flags, "--state-dir", str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"`pgp {verb}` failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return round(time.perf_counter() - begun, 1)
