"""The real fleet comes up on one machine, tells where it is, heals, and goes without a trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local import anvil, book, files, probes, processes, switch
from deploy.local.files import StateDir
from PGP_COMMON.fleet import FLEET


def has_anvil() -> bool:
    try:
        return anvil.binary().exists()
    except FileNotFoundError:
        return False


pytestmark = [pytest.mark.fleet, pytest.mark.skipif(not has_anvil(), reason="Anvil is not installed: run `make setup`")]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    found = StateDir.at(tmp_path / "state")
    yield found
    switch.down(found)


def pgp(state: StateDir, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "PGP_COMMON.cli", *words, "--state-dir", str(state.root)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=files.CHECKOUT, timeout=200)


def status(state: StateDir) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pgp(state, "status", "--json").stdout)
    return found


def test_the_fleet_comes_up_heals_and_goes(state: StateDir) -> None:
    begun = pgp(state, "up", "--detach")
    assert begun.returncode == 0, begun.stdout + begun.stderr
    told = status(state)
    assert [service["name"] for service in told["services"]] == [service.name for service in FLEET]
    assert all(service["ready"] for service in told["services"])
    assert set(told["simulators"]) == {"nowpayments", "changenow", "telegram", "prices", "sendgrid"}
    assert all(probes.listens(int(url.rpartition(":")[2])) for url in told["simulators"].values())

    # Every schedule's door takes the signed call of our scheduler.
    for name in ("sweep", "process", "check-threshold", "execute", "remind"):
        fired = pgp(state, "fire", name)
        assert fired.returncode == 0, fired.stderr

    victims = {name: book.read(state.fleet).entry(name) for name in ("postgres", "anvil", "pgp-hostpay3-v1")}
    for victim in victims.values():
        assert victim is not None
        os.kill(victim.pid, signal.SIGKILL)
    again = pgp(state, "up", "--detach")
    assert again.returncode == 0, again.stdout + again.stderr
    healed = book.read(state.fleet)
    assert all(healed.entry(name).pid != victim.pid for name, victim in victims.items())  # type: ignore[union-attr]
    # Connections that the dead database had are noticed at their next use.
    assert processes.wait_until(lambda: all(service["ready"] for service in status(state)["services"]), 30, every_s=0.5)
    assert [service["url"] for service in status(state)["services"]] == [service["url"] for service in told["services"]]

    assert pgp(state, "down").returncode == 0
    assert processes.marked(state.mark()) == []
