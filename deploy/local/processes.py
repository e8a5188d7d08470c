"""This is the process: how a program is started in a group of its own, known again later, and ended without leaving anything behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

# Carried in the environment of everything a fleet starts: what the book missed (a kill between start and record) is found by it.
MARK = "PGP_FLEET_MARK"
# psutil's boot time may move by a clock correction; two processes with one pid are minutes apart, not seconds.
SAME_START_S = 2.0


@dataclass(frozen=True)
class Identity:
    """One process, not only its number: pids are used again, a pid with its start time is not."""

    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """Find the process if it still runs; None if it has ended, is a zombie, or the pid is somebody else's now."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) < SAME_START_S and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    @property
    def runs(self) -> bool:
        """Whether this very process still runs."""
        return self.process() is not None


def identify(pid: int) -> Identity:
    """Take down who has this pid now. Raises psutil.NoSuchProcess."""
    return Identity(pid, psutil.Process(pid).create_time())


def always() -> bool:
    """Be ready as soon as the program runs."""
    return True


def nothing() -> None:
    """Need nothing."""


@dataclass(frozen=True)
class Program:
    """One program of the fleet: how it is started, how one sees that it is ready, how it is asked to end."""

    name: str
    kind: str
    argv: Sequence[str]
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path("/")
    # Runs before each start; what it raises counts as a failed start.
    prepare: Callable[[], None] = nothing
    is_ready: Callable[[], bool] = always
    # Called every few seconds while it runs.
    tend: Callable[[], None] = nothing
    # A job runs to its end once, with exit status 0; nothing restarts it.
    is_job: bool = False
    # PostgreSQL's fast shutdown is SIGINT, everybody else's is SIGTERM.
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0


def spawn(program: Program, log: Path, *, mark: str) -> subprocess.Popen[bytes]:
    """Start a program in its own session, its output appended to `log`. Raises OSError if it cannot be executed."""
    program.prepare()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            list(program.argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=program.cwd,
            env={**program.env, MARK: mark},
            start_new_session=True,
        )


def group_of(leader: int) -> list[psutil.Process]:
    """Every live process of the group that `leader` opened; only itself if it opened none."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == leader or os.getpgid(process.pid) == leader:
                found.append(process)
    return found


def marked(mark: str) -> list[psutil.Process]:
    """Every live process that carries this fleet's mark, save the one that asks."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
    return found


def left_by(leader: int, mark: str) -> list[psutil.Process]:
    """What a crashed program left running: marked processes of the group that it led."""
    left = []
    for process in marked(mark):
        with contextlib.suppress(OSError):
            if os.getpgid(process.pid) == leader:
                left.append(process)
    return left


def lives(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie has ended, and a pid that changed hands is not it."""
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def send(process: psutil.Process, number: signal.Signals) -> None:
    """Signal a process that may have ended meanwhile (psutil refuses a pid that changed hands)."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all have ended; the ones that have not after `timeout_s` seconds are given back. Zombies have ended."""
    waiting = list(processes)
    deadline = time.monotonic() + timeout_s
    while waiting := [process for process in waiting if lives(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return waiting


def finish(processes: Iterable[psutil.Process]) -> None:
    """Kill what still runs and wait until it is gone."""
    alive = wait_gone(processes, 0)
    for process in alive:
        send(process, signal.SIGKILL)
    wait_gone(alive, 5.0)


def end(who: Iterable[Identity], *, stop_signal: signal.Signals = signal.SIGTERM, grace_s: float = 10.0) -> None:
    """Ask programs to end; after `grace_s` seconds kill them and whatever is left of their groups. Harmless on those that have ended."""
    leaders = [process for process in (identity.process() for identity in who) if process is not None]
    members = {member.pid: member for leader in leaders for member in group_of(leader.pid)}
    for leader in leaders:
        send(leader, stop_signal)
    wait_gone(leaders, grace_s)
    finish(members.values())


def wait_until(claim: Callable[[], bool], timeout_s: float, *, every_s: float = 0.05) -> bool:
    """Ask until the claim holds (True) or `timeout_s` seconds have passed (False)."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True
