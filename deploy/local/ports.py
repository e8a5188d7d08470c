"""This is the set of ports: free ones, picked once and remembered, so that addresses survive a restart."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Container
from pathlib import Path

from deploy.local import files

# Below the range from which Linux takes ports for outgoing connections (32768 on), so that nobody takes one by accident between two starts.
RANGE = range(20000, 32000)
HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now; connections still closing down do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class Ports:
    """The ports of one fleet by program name, kept in a file."""

    def __init__(self, file: Path, *, held: Container[str] = ()) -> None:
        """Read what was picked before, if anything legible was. `held` names the programs that run and listen on their port themselves."""
        self.file = file
        self.held = held
        self.taken: dict[str, int] = files.read_json(file) or {}

    def pick(self, name: str) -> int:
        """The port of a program: its last one when that is free or its own, else a new one."""
        known = self.taken.get(name)
        if known is not None and (name in self.held or is_free(known)):
            return known
        self.taken[name] = self._another()
        files.write_atomically(self.file, json.dumps(self.taken, indent=1, sort_keys=True))
        return self.taken[name]

    def _another(self) -> int:
        others = set(self.taken.values())
        for port in random.SystemRandom().sample(RANGE, len(RANGE)):
            if port not in others and is_free(port):
                return port
        raise OSError("no free port on this machine")
