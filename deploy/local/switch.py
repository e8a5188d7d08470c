"""This is the switch: turns a fleet on and off from outside, whatever state it was left in."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import psutil

from deploy.local import book, ending, files, processes
from deploy.local.book import Book
from deploy.local.files import StateDir
from deploy.local.processes import Program
from PGP_COMMON.config import environment

log = logging.getLogger(__name__)
PLAN = "deploy.local.fleet:plan"
MODULE = "deploy.local.supervisor"
# A supervisor ends its programs within their grace; one that does not is killed and its programs are ended from here.
STOP_S = 60.0
# Fifteen services on a busy machine; a supervisor gives up on a program before this.
UP_S = 300.0
# What a fleet inherits from whoever starts it. Anything else (a proxy, somebody's credentials) stays outside.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


class UpError(RuntimeError):
    """The fleet did not come up."""


def inherited() -> dict[str, str]:
    """The part of our environment that programs of the fleet get."""
    return {name: value for name, value in environment().items() if name in INHERITED}


def up(
    state: StateDir,
    *,
    plan: str = PLAN,
    options: Mapping[str, str] | None = None,
    bound: bool = False,
    on_change: Callable[[Book], None] = lambda _: None,
) -> Book:
    """Have the fleet running and ready: start it, or have the supervisor of the one that runs repair what died.

    With `bound` a fleet that is started ends with the calling process. `on_change` is told of progress. Raises UpError.
    """
    known = book.read(state.fleet)
    child = None
    if known.supervisor is not None and known.supervised and known.phase in {"starting", "ready"}:
        os.kill(known.supervisor.pid, signal.SIGHUP)
        # One look of the supervisor later the book tells what died.
        time.sleep(1.0)
    else:
        child = start_supervisor(state, plan=plan, options=options or {}, bound=bound)
    return wait_ready(state, child, on_change)


def start_supervisor(state: StateDir, *, plan: str, options: Mapping[str, str], bound: bool) -> subprocess.Popen[bytes]:
    """Start the one process that starts the rest, once an earlier one is gone. Raises UpError if that one stays."""
    if not processes.wait_until(lambda: not book.read(state.fleet).supervised, STOP_S):
        raise UpError("the fleet is still being stopped")
    argv = [sys.executable, "-m", MODULE, "--state-dir", str(state.root), "--plan", plan]
    argv += [word for name, value in options.items() for word in ("--option", f"{name}={value}")]
    if bound:
        us = processes.identify(os.getpid())
        argv += ["--parent", f"{us.pid}:{us.started}"]
    # What an earlier start said is no answer to this one.
    book.write(state.fleet, replace(book.read(state.fleet), phase="starting", error=""))
    program = Program(name="supervisor", kind="supervisor", argv=argv, env=inherited(), cwd=files.CHECKOUT)
    return processes.spawn(program, state.logs / "supervisor.log", mark=state.mark())


def wait_ready(state: StateDir, child: subprocess.Popen[bytes] | None, on_change: Callable[[Book], None]) -> Book:
    """Wait until the book says that every program is ready. Raises UpError."""
    deadline, seen = time.monotonic() + UP_S, Book()
    while time.monotonic() < deadline:
        now = book.read(state.fleet)
        if now != seen:
            on_change(now)
            seen = now
        if now.phase == "failed":
            raise UpError(now.error)
        if now.phase == "ready" and all(entry.state in {book.READY, book.DONE} for entry in now.entries):
            return now
        # Somebody else's supervisor may have been quicker than ours: then ours has ended, and his is in the book.
        if (child is None or child.poll() is not None) and not now.supervised:
            raise UpError(f"the supervisor has ended; its last words are in {state.logs / 'supervisor.log'}")
        time.sleep(0.1)
    late = ", ".join(entry.name for entry in seen.entries if entry.state not in {book.READY, book.DONE})
    raise UpError(f"not ready after {UP_S:.0f} s: {late or 'the supervisor'}")


def supervisors(state: StateDir) -> list[psutil.Process]:
    """Every supervisor of this fleet, whether or not it is in the book yet."""
    found = []
    for process in processes.marked(state.mark()):
        try:
            if MODULE in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def down(state: StateDir) -> int:
    """End the fleet, its supervisor first, and leave no process of it; gives back how many there were. Harmless when it is down."""
    before = len(processes.marked(state.mark()))
    leading = supervisors(state)
    for process in leading:
        processes.send(process, signal.SIGTERM)
    processes.finish(processes.wait_gone(leading, STOP_S))
    with files.locked(state.root / "supervisor.lock"):
        ending.end_all(state, book.read(state.fleet))
        book.write(state.fleet, Book())
    return before
