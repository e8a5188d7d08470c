"""Finds and starts Anvil, the Ethereum node of the local fleet (npm @foundry-rs/anvil)."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[3]


def find_anvil() -> Path | None:
    """Find the program in the project's node_modules or on the PATH; None when it is not installed."""
    for program in sorted(ROOT.glob("node_modules/@foundry-rs/anvil-*/bin/anvil*")):
        return program
    found = shutil.which("anvil")
    return None if found is None else Path(found)


def anvil_command(program: Path, port: int, state: Path | None = None, *, block_time_s: float = 1) -> list[str]:
    """Give the command line: blocks at a steady pace, `finalized` two blocks behind the head, the state written every second."""
    command = [str(program), "--host", "127.0.0.1", "--port", str(port), "--block-time", f"{block_time_s:g}"]
    command += ["--slots-in-an-epoch", "1", "--silent"]
    return command if state is None else [*command, "--state", str(state), "--state-interval", "1"]
