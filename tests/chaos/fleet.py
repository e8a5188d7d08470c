"""The fleet that a storm goes over: how it is started, what of it can be reached, and how its programs are taken away."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import psutil

from deploy.local import anvil, book, files, report, secrets, switch
from deploy.local import fleet as local
from deploy.local.demo.world import World
from deploy.local.files import StateDir
from deploy.local.ports import HOST
from deploy.local.processes import Program
from deploy.local.supervisor import Plan
from PGP_COMMON.cli import operator
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from tests.chaos.plan import ORDER_LIFETIME_S

# Two epochs of four blocks: a block is final eight behind the head, so that re-organisations have room (troubles.DEEPEST).
EPOCH_SLOTS: Final = 4
FINAL_BEHIND: Final = 2 * EPOCH_SLOTS
FRONT_NODE: Final = "frontnode"
# How many seconds pass between two calls of a schedule. Everything that heals by itself heals by these, and nobody has hours here.
EVERY_S: Final = {
    "sweep": 5,
    "expire-subscriptions": 10,
    "remind": 30,
    "members-reconcile": 20,
    "payments-reconcile": 15,
    "payments-list": 60,
    "wallet-reconcile": 20,
    "books-check": 15,
    "books-audit": 60,
    "process": 5,
    "check-threshold": 6,
    "execute": 60,
}
SETTINGS: Final = {
    # A call of the sweep every five seconds makes no sense if it leaves everybody alone for a minute.
    "WAKE_GRACE_S": "10",
    # Sixteen transfers under way, each looked at every second, are more than two cores do beside everything else.
    "CHAIN_POLL_S": "2",
    "ORDER_LIFETIME_S": str(ORDER_LIFETIME_S),
    # Telegram's own limits are slower than a thousand buyers in a quarter of an hour.
    "TELEGRAM_PER_SECOND": "1000",
    "TELEGRAM_PER_CHAT_PER_SECOND": "100",
    "TELEGRAM_PER_GROUP_PER_MINUTE": "60000",
    # A day's transfers are sent in minutes.
    "DAILY_TRANSFER_LIMIT": "100000",
    "DAILY_LIMIT_ETH": "100000",
    "DAILY_LIMIT_USDT": "100000000",
}


class StormFleet(local.Fleet):
    """The local fleet with two nodes that both misbehave, and a chain that takes longer to be sure."""

    def chain_node(self) -> Program:
        """A chain whose blocks are final later, so that there is something to re-organise."""
        return anvil.program(self.state.root / "anvil", self.port_of("anvil"), epoch_slots=EPOCH_SLOTS)

    @cached_property
    def simulators(self) -> dict[str, str]:
        """The vendors, and the node in front of the chain."""
        return {**super().simulators, FRONT_NODE: f"http://{HOST}:{self.port_of(FRONT_NODE)}"}

    @cached_property
    def rpc_urls(self) -> str:
        """Neither address is the chain itself."""
        return f"{self.simulators[FRONT_NODE]},{self.simulators['laggard']}"

    def second_nodes(self) -> list[Program]:
        """Two nodes: the first one lags only when it is told to."""
        state, port = self.state.root / FRONT_NODE, self.port_of(FRONT_NODE)
        state.mkdir(exist_ok=True)
        flags = ("--port", str(port), "--state-dir", str(state), "--rpc-url", self.rpc_url, "--lag", "0")
        return [self.python(FRONT_NODE, local.SIMULATOR, "deploy.simulators.laggard", *flags, port=port), *super().second_nodes()]

    def simulator(self, name: str) -> Program:
        """The exchange counts a deposit when nothing can take it back: a real one does not give coins for what the next re-organisation undoes."""
        made = super().simulator(name)
        return replace(made, argv=(*made.argv, "--confirmations", str(FINAL_BEHIND))) if name == "changenow" else made

    def schedulers(self) -> list[Program]:
        """Two at once, as when one was given up too early: every schedule is rung twice."""
        once = super().schedulers()
        return [*once, *(replace(program, name=f"{program.name}-twin") for program in once)]


def plan(state: StateDir, options: Mapping[str, str]) -> Plan:
    """The plan that the supervisor is started with."""
    secrets.init(state)
    return local.planned(StormFleet(state, options))


class Fleet:
    """One running fleet."""

    def __init__(self, state: StateDir) -> None:
        """Take the directory that it runs in."""
        self.state = state
        self.kills: Counter[str] = Counter()

    @cached_property
    def known(self) -> dict[str, str]:
        """Its settings and secrets."""
        return operator.settings(self.state.root)

    @cached_property
    def db(self) -> BaseDatabaseManager:
        """Its database, under our own name."""
        return BaseDatabaseManager(make_engine(self.known["DATABASE_URL"], application="chaos", pool=4))

    @cached_property
    def world(self) -> World:
        """The doors of the outside."""
        return World.of(report.as_json(self.state, book.read(self.state.fleet)), self.known, patience_s=60)

    @cached_property
    def queues(self) -> Any:
        """The google client of its queues."""
        return operator.signer_and_queue(self.known)[1].client

    def queue_path(self, name: str) -> str:
        """A queue's whole name."""
        project, location = (
            self.known.get(setting, default) for setting, default in (("CLOUD_TASKS_PROJECT_ID", "pgp-local"), ("CLOUD_TASKS_LOCATION", "us-central1"))
        )
        return f"projects/{project}/locations/{location}/queues/{name}"

    @property
    def down(self) -> list[str]:
        """What does not run at this moment."""
        return [entry.name for entry in book.read(self.state.fleet).entries if entry.kind != "job" and entry.state != book.READY]

    def signal(self, name: str, number: signal.Signals) -> bool:
        """Send a signal to a whole program, as a machine would feel it; False when it does not run at this moment.

        PostgreSQL's own processes end by themselves when their first one is gone.
        """
        entry = book.read(self.state.fleet).entry(name)
        if entry is None or entry.identity is None or not entry.identity.runs:
            return False
        with suppress(ProcessLookupError):
            (os.kill if name == "postgres" else os.killpg)(entry.pid, number)
            return True
        return False

    def wake_all(self) -> None:
        """Let go on whatever is stopped."""
        for entry in book.read(self.state.fleet).entries:
            with suppress(ProcessLookupError, psutil.Error):
                if entry.identity is not None and entry.identity.runs:
                    os.killpg(entry.pid, signal.SIGCONT)


@contextmanager
def running(root: Path | None, *, keep: Callable[[], bool]) -> Iterator[Fleet]:
    """A fleet in a directory of its own, for as long as this lasts and no longer than this process.

    The directory stays when it should be kept, which is asked at the end, or when anything was raised. Raises UpError when the fleet does not start.
    """
    folder = root or Path(tempfile.mkdtemp(prefix="pgp-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    # PostgreSQL's user goes through it.
    folder.chmod(0o755)
    state = StateDir.at(folder)
    files.write_env(state.settings, SETTINGS, heading="What a storm wants otherwise.")
    secrets.init(state)
    fleet = Fleet(state)
    try:
        every = ",".join(f"{name}={seconds}" for name, seconds in EVERY_S.items())
        switch.up(state, plan="tests.chaos.fleet:plan", options={"every": every}, bound=True)
        yield fleet
    finally:
        fleet.wake_all()
        switch.down(state)
    if not keep():
        shutil.rmtree(folder, ignore_errors=True)
