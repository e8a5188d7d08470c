"""What the fleet writes down is whole, and its ports are its own."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from deploy.local import anvil_node, book, files, processes
from deploy.local.book import Book, Entry
from deploy.local.ports import Ports, is_free
from deploy.local.processes import Identity


def test_a_file_is_replaced_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    file = tmp_path / "file"
    files.write_atomically(file, "one")
    files.write_atomically(file, "two")
    assert file.read_text() == "two"
    assert list(tmp_path.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_illegible_file_reads_as_none(tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"a": ')
    assert files.read_json(tmp_path / "half.json") is None
    assert files.read_json(tmp_path / "absent.json") is None


@pytest.mark.parametrize("value", ["plain", "with space", "-----BEGIN KEY-----\\nabc\\n", "a=b=c", "x;y|z", "*", ""])
def test_a_value_comes_back_as_it_was_written(tmp_path: Path, value: str) -> None:
    files.write_env(tmp_path / "env", {"NAME": value}, heading="heading")
    assert files.read_env(tmp_path / "env") == {"NAME": value}


def test_a_lock_that_somebody_holds_is_not_waited_for_unless_asked(tmp_path: Path) -> None:
    with files.locked(tmp_path / "lock") as ours:
        assert ours
        with files.locked(tmp_path / "lock", wait=False) as theirs:
            assert not theirs
    with files.locked(tmp_path / "lock", wait=False) as later:
        assert later


def test_a_port_is_remembered_while_it_is_free(tmp_path: Path) -> None:
    port = Ports(tmp_path / "ports.json").pick("one")
    assert is_free(port)
    assert Ports(tmp_path / "ports.json").pick("one") == port


def test_a_port_that_somebody_took_is_replaced_unless_the_program_itself_holds_it(tmp_path: Path) -> None:
    port = Ports(tmp_path / "ports.json").pick("one")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert Ports(tmp_path / "ports.json", held={"one"}).pick("one") == port
        assert Ports(tmp_path / "ports.json").pick("one") != port


def test_programs_of_one_fleet_have_different_ports(tmp_path: Path) -> None:
    picked = Ports(tmp_path / "ports.json")
    assert len({picked.pick(f"program{n}") for n in range(50)}) == 50


def test_the_book_comes_back_as_it_was_written(tmp_path: Path) -> None:
    entry = Entry("one", "service", url="http://127.0.0.1:1", pid=7, started=1.5, state=book.READY, restarts=2)
    written = Book(phase="ready", supervisor=Identity(5, 2.5), began=3.0, ready_s=4.0, places={"tasks": "x"}, entries=(entry,))
    book.write(tmp_path / "fleet.json", written)
    assert book.read(tmp_path / "fleet.json") == written


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"entries": [{"surprise": 1}], "supervisor": null}'])
def test_a_broken_book_is_that_of_a_fleet_that_is_down(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.json").write_text(text)
    assert book.read(tmp_path / "fleet.json") == Book()


def test_a_process_is_known_by_pid_and_start_not_by_pid_alone() -> None:
    us = processes.identify(os.getpid())
    assert us.runs
    assert not Identity(us.pid, us.started - 100).runs


def test_the_chain_starts_from_its_last_whole_state_when_the_newest_is_half_written(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"block": 1}')
    anvil_node.keep_copy(state)
    state.write_text('{"block": 2, "accounts": {"0x')
    anvil_node.keep_copy(state)
    anvil_node.choose_state(state)
    assert state.read_text() == '{"block": 1}'
    anvil_node.choose_state(state)
    assert state.read_text() == '{"block": 1}'


def test_a_broken_state_without_a_copy_is_laid_aside(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("{")
    anvil_node.choose_state(state)
    assert not state.exists()
    assert (tmp_path / "state.broken.json").read_text() == "{"
