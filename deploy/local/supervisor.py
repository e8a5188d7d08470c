"""This is the supervisor: starts a fleet's programs in order, keeps them running, and ends them all when it is told to."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.local import book, ending, files, processes
from deploy.local.book import Book, Entry
from deploy.local.files import StateDir
from deploy.local.processes import Identity, Program

log = logging.getLogger("supervisor")
# How often one looks while somebody waits for the start, and afterwards.
TICK_S, CALM_TICK_S = 0.1, 0.5
# A program that keeps dying is started again after 0.5, 1, 2, ... 30 s; a minute of life clears its record.
FIRST_WAIT_S, LONGEST_WAIT_S, STEADY_S = 0.5, 30.0, 60.0
# During the start somebody waits: after this many deaths, or this long without being ready, the start has failed.
START_DEATHS, START_S = 3, 120.0
TEND_S = 10.0
LOG_LIMIT = 20_000_000


@dataclass(frozen=True)
class Stage:
    """Programs that may start together, at most `at_once` not yet ready at a time; the next stage begins when all are ready."""

    name: str
    programs: Sequence[Program]
    at_once: int = 8


@dataclass(frozen=True)
class Plan:
    """A fleet: its stages in order, and the addresses that are no program's own."""

    stages: Sequence[Stage]
    places: Mapping[str, str]


Planner = Callable[[StateDir, Mapping[str, str]], Plan]


class StartError(RuntimeError):
    """A program did not come up."""


class Keeper:
    """One program under the supervisor's eyes."""

    def __init__(self, program: Program, state: StateDir) -> None:
        """Take the program; it is not started yet."""
        self.program = program
        self.state = state
        self.log = state.logs / f"{program.name}.log"
        self.entry = Entry(program.name, program.kind, program.url, stop_signal=program.stop_signal, grace_s=program.grace_s, card=card_of(program))
        self.child: subprocess.Popen[bytes] | None = None
        self.since = self.next_start = self.next_tend = 0.0
        self.deaths = 0

    def adopt(self, old: Entry | None) -> None:
        """Go on with the process of an earlier supervisor if it runs and is what we would start; otherwise end it."""
        if old is None or old.identity is None or not old.identity.runs:
            return
        if old.card != self.entry.card:
            ending.end_together([old])
            return
        log.info("%s runs already, pid %d", old.name, old.pid)
        self.entry = replace(self.entry, pid=old.pid, started=old.started, state=book.STARTING, restarts=old.restarts, ready_s=old.ready_s)
        self.since = time.monotonic()

    def start(self) -> None:
        """Start it; what goes wrong counts as a death."""
        self.since = time.monotonic()
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        try:
            self.child = processes.spawn(self.program, self.log, mark=self.state.mark())
            who = processes.identify(self.child.pid)
        except Exception:
            log.exception("%s could not be started", self.program.name)
            self.died()
            return
        self.entry = replace(self.entry, pid=who.pid, started=who.started, state=book.STARTING)

    @property
    def status(self) -> int | None:
        """None while it runs, else its exit status (1 for an adopted one, whose status its own parent got)."""
        if self.child is not None:
            return self.child.poll()
        identity = self.entry.identity
        return None if identity is not None and identity.runs else 1

    def look(self) -> None:
        """See how it is, and start it again when it is time."""
        if self.entry.state in {book.WAITING, book.DOWN}:
            if time.monotonic() >= self.next_start:
                self.start()
        elif self.entry.state != book.DONE:
            status = self.status
            if status is not None:
                self.ended(status)
            elif self.entry.state == book.STARTING and not self.program.is_job and self.program.is_ready():
                took_s = round(time.monotonic() - self.since, 2) if self.child else self.entry.ready_s
                self.entry = replace(self.entry, state=book.READY, ready_s=took_s)
                log.info("%s is ready after %.1f s", self.program.name, self.entry.ready_s)

    def tend(self) -> None:
        """Do what the program wants done regularly while it runs."""
        if self.entry.state == book.READY and time.monotonic() >= self.next_tend:
            self.next_tend = time.monotonic() + TEND_S
            self.program.tend()

    def ended(self, status: int) -> None:
        """Take note of an end: a job that ended well is done, anything else has died."""
        if self.program.is_job and status == 0:
            self.entry = replace(self.entry, state=book.DONE, ready_s=round(time.monotonic() - self.since, 2))
            return
        log.warning("%s (pid %d) ended with status %d", self.program.name, self.entry.pid, status)
        # Its workers may outlive it and hold its port.
        processes.finish(processes.left_by(self.entry.pid, self.state.mark()))
        self.died()

    def died(self) -> None:
        """Plan the next start, later after each death."""
        if time.monotonic() - self.since > STEADY_S:
            self.deaths = 0
        self.child = None
        self.next_start = time.monotonic() + min(FIRST_WAIT_S * 2**self.deaths, LONGEST_WAIT_S)
        self.deaths += 1
        self.entry = replace(self.entry, state=book.DOWN, restarts=self.entry.restarts + 1)

    def last_words(self) -> str:
        """The end of its log, for the sentence that says why a start failed."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-8:])


def card_of(program: Program) -> str:
    """A digest of what a program is started with."""
    return hashlib.sha256(json.dumps([list(program.argv), dict(program.env), str(program.cwd)]).encode()).hexdigest()[:16]


class Supervisor:
    """Runs one plan in one state directory until it is told to stop."""

    def __init__(self, state: StateDir, plan: Plan, *, parent: Identity | None = None) -> None:
        """Take the plan; with a parent, everything ends when that process is gone."""
        self.state, self.plan, self.parent = state, plan, parent
        self.keepers: list[Keeper] = []
        self.stop_asked = False
        self.old = book.read(state.fleet)
        self.book = Book(phase="starting", supervisor=processes.identify(os.getpid()), began=time.time(), places=plan.places)
        self.pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe")

    def run(self) -> int:
        """Start everything, keep it running, end it; the exit status is 1 if it never came up."""
        signal.signal(signal.SIGTERM, self._ask_stop)
        signal.signal(signal.SIGINT, self._ask_stop)
        signal.signal(signal.SIGHUP, self._repair)
        # What an earlier supervisor left stays in the book until it is adopted or ended, so that nothing is ever lost from it.
        self._write(replace(self.book, entries=tuple(replace(entry, state=book.WAITING) for entry in self.old.entries)))
        failed = self._live()
        self._write(replace(self.book, phase="stopping"))
        ending.end_all(self.state, self.book)
        self._write(Book(phase="failed" if failed else "down", error=failed))
        return 1 if failed else 0

    def _live(self) -> str:
        """Everything between the first start and the order to stop; gives back why the start failed, or nothing."""
        try:
            for stage in self.plan.stages:
                self._start(stage)
        except Exception as error:
            log.exception("the fleet did not start")
            return str(error)
        if not self.stop_asked:
            self._write(replace(self.book, phase="ready", ready_s=round(time.time() - self.book.began, 2)))
            log.info("the fleet is ready after %.1f s", self.book.ready_s)
        while not self.stop_asked:
            self._tick(self.keepers, CALM_TICK_S)
        return ""

    def _start(self, stage: Stage) -> None:
        """Start a stage and wait until each of its programs is ready. Raises StartError."""
        if self.stop_asked:
            return
        keepers = [Keeper(program, self.state) for program in stage.programs]
        self.keepers += keepers
        for keeper in keepers:
            keeper.adopt(self.old.entry(keeper.program.name))
        deadline = time.monotonic() + START_S
        while not self.stop_asked and (waiting := [keeper for keeper in keepers if keeper.entry.state not in {book.READY, book.DONE}]):
            for keeper in waiting:
                if keeper.deaths >= START_DEATHS or time.monotonic() > deadline:
                    raise StartError(f"{keeper.program.name} did not start:\n{keeper.last_words()}")
            busy = [keeper for keeper in waiting if keeper.entry.state == book.STARTING]
            free = [keeper for keeper in waiting if keeper.entry.state != book.STARTING][: max(0, stage.at_once - len(busy))]
            others = [keeper for keeper in self.keepers if keeper not in waiting]
            self._tick([*others, *busy, *free])

    def _tick(self, keepers: Sequence[Keeper], pause_s: float = TICK_S) -> None:
        """Look at these programs once, together, and write down what changed."""
        if self.parent is not None and not self.parent.runs:
            self.stop_asked = True
            return
        list(self.pool.map(Keeper.look, keepers))
        changed = self.book
        for keeper in self.keepers:
            changed = changed.with_entry(keeper.entry)
        if changed != self.book:
            self._write(changed)
        for keeper in keepers:
            keeper.tend()
        time.sleep(pause_s)

    def _write(self, changed: Book) -> None:
        self.book = changed
        book.write(self.state.fleet, changed)

    def _ask_stop(self, *_: object) -> None:
        self.stop_asked = True

    def _repair(self, *_: object) -> None:
        """Try at once what waits for its next start."""
        for keeper in self.keepers:
            keeper.next_start = 0.0
            keeper.deaths = 0


def parse_identity(text: str) -> Identity:
    """Read `pid:start time`."""
    pid, _, started = text.partition(":")
    return Identity(int(pid), float(started))


def planner(text: str) -> Planner:
    """Find `module:function`, which makes the plan of the fleet in a state directory."""
    module, _, name = text.partition(":")
    found: Planner = getattr(importlib.import_module(module), name)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervise until SIGTERM. Exit status 3: another supervisor has this state directory; 1: the fleet did not start."""
    parser = argparse.ArgumentParser(prog="supervisor", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--plan", default="deploy.local.fleet:plan", help="module:function that makes the plan")
    parser.add_argument("--parent", type=parse_identity, help="pid:start of a process with whose end everything ends")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="handed to the plan")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    state = StateDir.at(given.state_dir)
    with files.locked(state.root / "supervisor.lock", wait=False) as ours:
        if not ours:
            return 3
        options = dict(option.split("=", 1) for option in given.option)
        ending.clear_leftovers(state, book.read(state.fleet))
        try:
            plan = planner(given.plan)(state, options)
        except Exception as error:
            log.exception("there is no plan")
            book.write(state.fleet, replace(book.read(state.fleet), phase="failed", error=str(error), supervisor=None))
            return 1
        return Supervisor(state, plan, parent=given.parent).run()


if __name__ == "__main__":
    sys.exit(main())
