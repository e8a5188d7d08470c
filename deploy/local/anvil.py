"""This is Anvil: a real Ethereum node for one machine, out of the npm package `@foundry-rs/anvil`."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from deploy.local import files, ports, probes
from deploy.local.processes import Program

CHAIN_ID = 31337
BLOCK_TIME_S = 1
ASK = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'


def binary(modules: Path = files.CHECKOUT / "node_modules") -> Path:
    """The node itself (not npm's wrapper, which is one more process). Raises FileNotFoundError if it is not installed."""
    for found in modules.glob("@foundry-rs/anvil-*/bin/anvil"):
        return found
    elsewhere = shutil.which("anvil")
    if elsewhere is None:
        raise FileNotFoundError("Anvil is not installed: run `make setup`")
    return Path(elsewhere)


def program(root: Path, port: int, *, block_time_s: int = BLOCK_TIME_S, epoch_slots: int = 1) -> Program:
    """Anvil on a loopback port: one block per `block_time_s`, final two epochs behind the head, its state written every second."""
    state = root / "state.json"
    root.mkdir(parents=True, exist_ok=True)
    flags = {
        "--host": ports.HOST,
        "--port": str(port),
        "--chain-id": str(CHAIN_ID),
        "--block-time": str(block_time_s),
        # `finalized` is two epochs behind the head; with one slot an epoch that is two blocks.
        "--slots-in-an-epoch": str(epoch_slots),
        "--state": str(state),
        "--state-interval": "1",
    }
    return Program(
        name="anvil",
        kind="infrastructure",
        argv=(str(binary()), "--quiet", *(word for flag in flags.items() for word in flag)),
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


# Anvil writes its state in place: a kill in the middle of a write leaves half a file, with which it will not start.


def copy_of(state: Path) -> Path:
    """Where the last whole state is kept."""
    return state.with_suffix(".copy.json")


def keep_copy(state: Path) -> None:
    """Copy the state if it is whole at this moment."""
    with contextlib.suppress(OSError):
        text = state.read_text()
        if text.rstrip().endswith("}") and files.parses(text):
            files.write_atomically(copy_of(state), text)


def choose_state(state: Path) -> None:
    """Before a start: put the copy back if the state is half a file; a state without any whole copy is laid aside."""
    if not state.exists() or files.parses(state.read_text()):
        return
    state.replace(state.with_suffix(".broken.json"))
    if copy_of(state).exists():
        shutil.copyfile(copy_of(state), state)
