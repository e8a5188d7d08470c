"""This is Anvil as a program of the local fleet: a real Ethereum node for one machine, out of the npm package `@foundry-rs/anvil`."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.local import ports, probes
from deploy.local.anvil_node import BLOCK_TIME_S, choose_state, command, keep_copy
from deploy.local.processes import Program

ASK = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'


def program(root: Path, port: int, *, block_time_s: int = BLOCK_TIME_S, epoch_slots: int = 1) -> Program:
    """Anvil on a loopback port."""
    state = root / "state.json"
    root.mkdir(parents=True, exist_ok=True)
    return Program(
        name="anvil",
        kind="infrastructure",
        argv=command(state, host=ports.HOST, port=port, block_time_s=block_time_s, epoch_slots=epoch_slots),
        env={"PATH": os.defpath, "HOME": str(root)},
        url=f"http://{ports.HOST}:{port}",
        prepare=lambda: choose_state(state),
        is_ready=lambda: is_ready(port),
        tend=lambda: keep_copy(state),
    )


def is_ready(port: int) -> bool:
    """Whether the node tells its chain id."""
    head = f"POST / HTTP/1.0\r\nHost: {ports.HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(ASK)}\r\n\r\n"
    return probes.speaks(port, head.encode() + ASK, b"HTTP/1.0 200 OK")
