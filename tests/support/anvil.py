"""Starts a real Ethereum node on a free port for the tests that need one."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.simulators.chain.anvil import anvil_command, find_anvil
from deploy.simulators.chain.node import Node, NodeDownError

READY_S = 20.0


def free_port() -> int:
    """Give a port of the loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def anvil(state: Path | None = None, *, block_time_s: float = 1) -> Iterator[str]:
    """Run Anvil and give its address; skips the test when Anvil is not installed."""
    program = find_anvil()
    if program is None:
        pytest.skip("Anvil is not installed: run `npm ci`")
    port = free_port()
    process = subprocess.Popen(anvil_command(program, port, state, block_time_s=block_time_s), stdout=subprocess.DEVNULL)
    try:
        yield wait_for(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


def wait_for(url: str) -> str:
    """Wait until the node answers."""
    last = time.monotonic() + READY_S
    while True:
        try:
            Node(url).chain_id()
        except NodeDownError:
            if time.monotonic() > last:
                raise
            time.sleep(0.05)
        else:
            return url
