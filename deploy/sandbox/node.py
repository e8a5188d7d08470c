"""Runs Anvil in its container, with a whole copy of its state kept beside it for the start after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from deploy.local import anvil_node
from PGP_COMMON.rendering.sandbox import NODE_PORT

# As often as the local fleet's supervisor looks.
TEND_S = 3.0


def run(books: Path) -> int:
    """Run the node until SIGTERM or its own end; gives back its exit status."""
    state = books / "state.json"
    anvil_node.choose_state(state)
    child = subprocess.Popen(anvil_node.command(state, host="0.0.0.0", port=NODE_PORT), env={"PATH": os.defpath, "HOME": str(books)})
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    while True:
        try:
            return child.wait(TEND_S)
        except subprocess.TimeoutExpired:
            anvil_node.keep_copy(state)
