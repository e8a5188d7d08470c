"""This is the state directory: where a fleet keeps its books, and how a file in it is written so that a power cut leaves old or new."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PGP_COMMON.clients.secrets import parsed

CHECKOUT = Path(__file__).resolve().parents[2]
PRIVATE = 0o600


@dataclass(frozen=True)
class StateDir:
    """The places inside one fleet's state directory."""

    root: Path

    @classmethod
    def at(cls, root: Path | None) -> StateDir:
        """Use this directory, or `.pgp` in the checkout; it is made (for its owner's eyes only) when it is not there."""
        state = cls((root or CHECKOUT / ".pgp").resolve())
        state.root.mkdir(parents=True, exist_ok=True, mode=0o755)
        return state

    @property
    def logs(self) -> Path:
        """One file per program."""
        return self.root / "logs"

    @property
    def fleet(self) -> Path:
        """What runs: programs, pids, addresses."""
        return self.root / "fleet.json"

    @property
    def ports(self) -> Path:
        """The remembered ports."""
        return self.root / "ports.json"

    @property
    def secrets(self) -> Path:
        """Generated secrets, readable by the owner only."""
        return self.root / "secrets.env"

    @property
    def settings(self) -> Path:
        """Plain settings that a person wants otherwise than the runner sets them."""
        return self.root / "settings.env"

    @property
    def environment(self) -> Path:
        """What the running fleet is given, for a shell and for the verbs of `pgp`."""
        return self.root / "fleet.env"

    def mark(self) -> str:
        """The name under which this fleet's processes know each other: made once."""
        file = self.root / "mark"
        if not file.exists():
            write_atomically(file, secrets.token_hex(12))
        return file.read_text()


@contextlib.contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock that ends with the process however it ends. Without `wait`, False if somebody else holds it."""
    with file.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def write_atomically(file: Path, text: str, *, mode: int = PRIVATE) -> None:
    """Replace a file's contents in one step: a reader, or the next start after a power cut, sees the old text or the new."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def read_json(file: Path) -> Any:
    """Read a JSON file; None when it is missing or illegible."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(file.read_text())
    return None


def parses(text: str) -> bool:
    """Whether a text is one whole JSON value."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def read_env(file: Path) -> dict[str, str]:
    """Read NAME=value lines as the services read their secrets file. A missing file is empty."""
    return parsed(file.read_text()) if file.exists() else {}


def write_env(file: Path, values: Mapping[str, str], *, heading: str) -> None:
    """Write NAME=value lines for the owner's eyes only, under one line of comment; a value that a shell would read otherwise is quoted."""
    lines = [f"# {heading}", *(f"{name}={shlex.quote(value)}" for name, value in values.items())]
    write_atomically(file, "\n".join(lines) + "\n")
