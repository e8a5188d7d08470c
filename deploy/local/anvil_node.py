"""This is Anvil itself: where it is, its flags, and its state, kept whole through kills."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from deploy.local import files
from PGP_COMMON.rendering.sandbox import CHAIN_ID

BLOCK_TIME_S = 1


def binary(modules: Path = files.CHECKOUT / "node_modules") -> Path:
    """The node itself (not npm's wrapper, which is one more process). Raises FileNotFoundError if it is not installed."""
    for found in modules.glob("@foundry-rs/anvil-*/bin/anvil"):
        return found
    elsewhere = shutil.which("anvil")
    if elsewhere is None:
        raise FileNotFoundError("Anvil is not installed: run `make setup`")
    return Path(elsewhere)


def command(state: Path, *, host: str, port: int, block_time_s: int = BLOCK_TIME_S, epoch_slots: int = 1) -> tuple[str, ...]:
    """One block per `block_time_s`, final two epochs behind the head, its state written every second."""
    flags = {
        "--host": host,
        "--port": str(port),
        "--chain-id": str(CHAIN_ID),
        "--block-time": str(block_time_s),
        # `finalized` is two epochs behind the head; with one slot an epoch that is two blocks.
        "--slots-in-an-epoch": str(epoch_slots),
        "--state": str(state),
        "--state-interval": "1",
    }
    return (str(binary()), "--quiet", *(word for flag in flags.items() for word in flag))


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
