"""The supervisor keeps a fleet running and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local import book, files, probes, processes, switch
from deploy.local.book import Book
from deploy.local.files import StateDir

pytestmark = pytest.mark.fleet
TINY = "tests.support.tiny_fleet:plan"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    found = StateDir.at(tmp_path / "state")
    yield found
    switch.down(found)


def up(state: StateDir, **options: str) -> Book:
    return switch.up(state, plan=TINY, options=options)


def pids(now: Book) -> dict[str, int]:
    return {entry.name: entry.pid for entry in now.entries if entry.kind != "job"}


def processes_of(state: StateDir) -> list[psutil.Process]:
    return processes.marked(state.mark())


def until_ready(state: StateDir, name: str, *, not_pid: int) -> None:
    def is_back() -> bool:
        entry = book.read(state.fleet).entry(name)
        return entry is not None and entry.state == book.READY and entry.pid != not_pid

    assert processes.wait_until(is_back, 15)


def test_up_starts_everything_and_down_leaves_no_process(state: StateDir) -> None:
    now = up(state)
    assert now.phase == "ready"
    assert [entry.name for entry in now.entries] == ["one", "job", "two", "three"]
    assert all(probes.answers(entry.url) for entry in now.entries if entry.url)
    assert (state.root / "jobs").read_text() == "x"
    # The supervisor, three programs and their forked workers.
    assert switch.down(state) == 7
    assert processes_of(state) == []
    assert book.read(state.fleet).phase == "down"


def test_a_second_up_changes_nothing(state: StateDir) -> None:
    first = up(state)
    assert pids(up(state)) == pids(first)
    assert (state.root / "jobs").read_text() == "x"


def test_a_second_down_is_harmless(state: StateDir) -> None:
    up(state)
    assert switch.down(state) == 7
    assert switch.down(state) == 0


def test_a_crashed_program_is_started_again_and_its_workers_do_not_stay(state: StateDir) -> None:
    entry = up(state).entry("two")
    assert entry is not None
    workers = psutil.Process(entry.pid).children()
    os.kill(entry.pid, signal.SIGKILL)
    until_ready(state, "two", not_pid=entry.pid)
    assert probes.answers(entry.url)
    assert processes.wait_gone(workers, 1) == []


def test_a_killed_supervisor_leaves_programs_that_down_finds(state: StateDir) -> None:
    now = up(state)
    assert now.supervisor is not None
    os.kill(now.supervisor.pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not book.read(state.fleet).supervised, 5)
    assert len(processes_of(state)) == 6
    switch.down(state)
    assert processes_of(state) == []


def test_down_finds_what_is_in_no_book(state: StateDir) -> None:
    now = up(state)
    assert now.supervisor is not None
    os.kill(now.supervisor.pid, signal.SIGKILL)
    processes.wait_until(lambda: not book.read(state.fleet).supervised, 5)
    state.fleet.unlink()
    switch.down(state)
    assert processes_of(state) == []


def test_an_up_after_a_killed_supervisor_keeps_what_runs_and_repairs_what_does_not(state: StateDir) -> None:
    first = up(state)
    assert first.supervisor is not None
    os.kill(first.supervisor.pid, signal.SIGKILL)
    os.kill(pids(first)["two"], signal.SIGKILL)
    processes.wait_until(lambda: not book.read(state.fleet).supervised, 5)
    second = pids(up(state))
    assert {name for name, pid in second.items() if pid != pids(first)[name]} == {"two"}
    # An adopted program is restarted like any other.
    os.kill(second["three"], signal.SIGKILL)
    until_ready(state, "three", not_pid=second["three"])


def test_down_does_not_touch_a_pid_that_belongs_to_somebody_else(state: StateDir) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        entry = book.Entry("old", "service", pid=stranger.pid, started=time.time() - 10_000)
        book.write(state.fleet, Book(phase="ready", entries=(entry,)))
        switch.down(state)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_two_fleets_run_side_by_side_and_end_separately(state: StateDir, tmp_path: Path) -> None:
    other = StateDir.at(tmp_path / "other")
    try:
        ours, theirs = up(state), up(other)
        assert not {entry.url for entry in ours.entries if entry.url} & {entry.url for entry in theirs.entries if entry.url}
        switch.down(state)
        assert all(probes.answers(entry.url) for entry in theirs.entries if entry.url)
    finally:
        switch.down(other)


def test_a_fleet_keeps_its_addresses_over_a_restart(state: StateDir) -> None:
    first = {entry.name: entry.url for entry in up(state).entries}
    switch.down(state)
    assert {entry.name: entry.url for entry in up(state).entries} == first


def test_a_program_that_does_not_start_is_named_with_its_last_words(state: StateDir) -> None:
    with pytest.raises(switch.UpError, match="broken did not start:\nno use"):
        up(state, broken="yes")
    assert processes.wait_until(lambda: not processes_of(state), 10)


def test_a_bound_fleet_ends_with_the_process_that_started_it(state: StateDir) -> None:
    code = (
        "import sys, time, pathlib; from deploy.local import switch, files;"
        f"switch.up(files.StateDir.at(pathlib.Path(sys.argv[1])), plan='{TINY}', bound=True); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(state.root)], stdout=subprocess.PIPE, cwd=files.CHECKOUT) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        starter.kill()
    assert processes.wait_until(lambda: not processes_of(state), 15)


def foreground(state: StateDir) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "PGP_COMMON.cli", "up", "--state-dir", str(state.root), "--plan", TINY]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=files.CHECKOUT, start_new_session=True)


def read_until(program: subprocess.Popen[str], words: str) -> str:
    assert program.stdout is not None
    text = ""
    for line in program.stdout:
        text += line
        if words in line:
            break
    return text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_fleet_in_the_foreground_shows_its_table_and_ends_with_a_signal(state: StateDir, number: signal.Signals) -> None:
    with foreground(state) as program:
        shown = read_until(program, "Ctrl-C ends the fleet.")
        assert "three" in shown
        assert book.read(state.fleet).entry("two").url in shown  # type: ignore[union-attr]
        program.send_signal(number)
        assert program.wait(20) == 0
    assert processes_of(state) == []


def test_an_up_in_the_foreground_beside_a_running_fleet_shows_the_table_and_leaves_it_running(state: StateDir) -> None:
    running = pids(up(state))
    with foreground(state) as program:
        assert "three" in read_until(program, "together")
        assert program.wait(20) == 0
    assert pids(book.read(state.fleet)) == running
    assert all(psutil.pid_exists(pid) for pid in running.values())


def test_down_from_elsewhere_ends_a_fleet_in_the_foreground(state: StateDir) -> None:
    with foreground(state) as program:
        read_until(program, "Ctrl-C ends the fleet.")
        switch.down(state)
        assert program.wait(20) == 0
    assert processes_of(state) == []


def test_two_ups_at_the_same_time_make_one_fleet(state: StateDir) -> None:
    code = f"import sys, pathlib; from deploy.local import switch, files; switch.up(files.StateDir.at(pathlib.Path(sys.argv[1])), plan='{TINY}')"
    starters = [subprocess.Popen([sys.executable, "-c", code, str(state.root)], cwd=files.CHECKOUT) for _ in range(2)]
    assert [starter.wait(60) for starter in starters] == [0, 0]
    assert len(processes_of(state)) == 7
