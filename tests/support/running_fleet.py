"""The real fleet for the tests of one worker: every program of it, over sockets, as an operator has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from deploy.local import anvil_node, book, files, processes, report, switch
from deploy.local.demo import acts, people
from deploy.local.demo.people import Buyer, Owner
from deploy.local.demo.world import World
from deploy.local.files import StateDir
from deploy.simulators.nowpayments import signing
from PGP_COMMON.cli.operator import settings
from PGP_COMMON.database import BaseDatabaseManager, make_engine

T = TypeVar("T")
UP_S = 200
DEMO_S = 420


@dataclass
class Fleet:
    """One running fleet."""

    state: StateDir

    def pgp(self, *words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a verb of the operator's command on this fleet."""
        argv = [sys.executable, "-m", "PGP_COMMON.cli", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=files.CHECKOUT, env=self._environment(), timeout=timeout_s)

    def start(self, *words: str) -> Program:
        """Start a verb that takes a while, and read what it says as it goes on."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # So does a shell's script start what it does not wait for, and the verb would inherit it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        argv = [sys.executable, "-m", "PGP_COMMON.cli", *words]
        return Program(subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=files.CHECKOUT, env=self._environment()))

    def _environment(self) -> dict[str, str]:
        return {**switch.inherited(), "PGP_STATE_DIR": str(self.state.root)}

    def sound(self, *words: str, timeout_s: float = 60) -> str:
        """Run a verb that must end well, and give what it said."""
        ended = self.pgp(*words, timeout_s=timeout_s)
        assert ended.returncode == 0, f"pgp {' '.join(words)}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def status(self) -> dict[str, Any]:
        """What `pgp status --json` says."""
        found: dict[str, Any] = json.loads(self.pgp("status", "--json").stdout)
        return found

    def pids(self) -> dict[str, int]:
        """Every program's process."""
        return {entry.name: entry.pid for entry in book.read(self.state.fleet).entries if entry.kind != "job"}

    def kill(self, name: str) -> int:
        """Take a program away without a word; its supervisor starts it again. Gives the old pid."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        if name == "postgres":
            self.db.engine.dispose()
        return pid

    def is_back(self, name: str, *, not_pid: int) -> bool:
        """Whether a program that was killed is ready again."""
        entry = book.read(self.state.fleet).entry(name)
        return entry is not None and entry.state == book.READY and entry.pid != not_pid

    @property
    def known(self) -> dict[str, str]:
        """The fleet's settings as they are now."""
        return settings(self.state.root)

    @cached_property
    def world(self) -> World:
        """The doors of the outside world."""
        return World.of(report.as_json(self.state, book.read(self.state.fleet)), self.known, patience_s=120)

    @cached_property
    def db(self) -> BaseDatabaseManager:
        """The fleet's database under the tests' name."""
        return BaseDatabaseManager(make_engine(self.known["DATABASE_URL"], application="tests"))

    def value(self, sql: str, **values: Any) -> Any:
        """One value of the fleet's books."""
        with self.db.reading() as tx:
            return tx.value(sql, **values)

    def write_secrets(self, **values: str) -> None:
        """Change secrets as an operator does: in the file, while everything runs."""
        files.write_env(self.state.secrets, {**files.read_env(self.state.secrets), **values}, heading="changed by a test")

    def shop(self, name: str = "Olga", asset: str = "eth") -> Owner:
        """A new owner with a channel to sell."""
        owner = people.owner(name, asset)
        acts.found_channel(self.world, owner)
        return owner

    def ordered(self, owner: Owner, name: str = "Reader") -> Buyer:
        """A new buyer with a payment link."""
        buyer = people.buyer(name, owner)
        acts.order(self.world, buyer)
        return buyer

    def sold(self, owner: Owner, name: str = "Reader") -> Buyer:
        """A new buyer who has paid and is in the channel."""
        buyer = self.ordered(owner, name)
        acts.pay(self.world, buyer)
        acts.enter(self.world, buyer)
        return buyer


class Program:
    """A program that goes on while a test does something else."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Read what it says from now on."""
        self.process = process
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        # Letter by letter: an act is told before its line is at an end.
        while letter := self.process.stdout.read(1):
            self.said += letter

    def until_said(self, words: str, *, timeout_s: float = 120) -> None:
        """Wait until it has said something; fails the test when it ends before or never says it."""
        wait_until(lambda: words in self.said or self.process.poll() is not None, timeout_s=timeout_s)
        assert words in self.said, self.said

    def ended(self, *, timeout_s: float = DEMO_S) -> int:
        """Wait for its end and give its exit status."""
        status = self.process.wait(timeout_s)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


def wait_until(claim: Callable[[], T], *, timeout_s: float = 30, what: str = "it") -> T:
    """Look until something is so and give it; fails the test when it never is."""
    deadline = time.monotonic() + timeout_s
    while not (found := claim()):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:.0f} s"
        time.sleep(0.1)
    return found


def is_possible() -> bool:
    """Whether a fleet can run here at all."""
    try:
        return anvil_node.binary().exists()
    except FileNotFoundError:
        return False


@contextmanager
def running_fleet(root: Path) -> Iterator[Fleet]:
    """Start a fleet in a directory of its own, and leave no process of it."""
    if not is_possible():
        pytest.skip("Anvil is not installed: run `make setup`")
    fleet = Fleet(StateDir.at(root))
    try:
        fleet.sound("up", "--detach", timeout_s=UP_S)
        yield fleet
        if "db" in fleet.__dict__:
            fleet.db.engine.dispose()
        fleet.sound("down")
        assert processes.marked(fleet.state.mark()) == []
    finally:
        switch.down(fleet.state)


def intercepted(fleet: Fleet, buyer: Buyer, statuses: list[str]) -> list[bytes]:
    """Let a buyer pay, and take the vendor's notices out of the mail: their bodies, in the order in which they were written."""
    # A fault that answers for us: the vendor holds them for delivered.
    fleet.world.control("nowpayments", "faults", {"operation": "ipn", "mode": "status", "value": 200, "times": len(statuses)})
    paid = fleet.world.control("nowpayments", f"invoices/{buyer.invoice_id}/pay", {"pay_currency": "eth", "statuses": statuses})
    buyer.payment_id = str(paid["payment_id"])

    def taken() -> list[bytes]:
        written = [row for row in fleet.world.control("nowpayments", "books/ipns") if str(row["payment_id"]) == buyer.payment_id]
        done = all(row["state"] == "delivered" for row in written)
        return [row["body"].encode() for row in written] if done and len(written) == len(statuses) else []

    return wait_until(taken, what="the interception")


def deliver(fleet: Fleet, body: bytes, secret: str) -> int:
    """Hand in a notice as the vendor would, signed with this secret; gives the answer's status."""
    headers = {"x-nowpayments-sig": signing.sign(body, secret), "Content-Type": "application/json"}
    return httpx.post(fleet.world.services["pgp-np-ipn-v1"] + "/", content=body, headers=headers, timeout=10, trust_env=False).status_code
