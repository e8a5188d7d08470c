"""This is the other user: what PostgreSQL runs as when the fleet is started by root, whom it refuses to serve."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

# In order of preference; every Unix has the last one.
NAMES = ("postgres", "nobody")


def is_needed() -> bool:
    """Whether we are root and somebody else has to run the server."""
    return os.geteuid() == 0


def user(data: Path) -> pwd.struct_passwd:
    """Who runs the server: whoever owns its data already, else the first of the known names. Raises RuntimeError if there is nobody."""
    if data.exists() and data.stat().st_uid != 0:
        return pwd.getpwuid(data.stat().st_uid)
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in NAMES:
        if name in known:
            return known[name]
    raise RuntimeError(f"PostgreSQL does not run as root, and there is no user {' or '.join(NAMES)} to run it as")


def is_reachable(path: Path) -> bool:
    """Whether everybody may walk down to this path."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)


def drop(argv: Sequence[str], who: pwd.struct_passwd, *, paths: Iterable[Path]) -> list[str]:
    """The command that runs `argv` as `who`.

    A checkout or a state directory under a closed home (`/root`) is not opened for the whole machine: instead the program keeps the one
    capability that lets it walk there. Raises RuntimeError if `setpriv` (util-linux) is missing.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise RuntimeError("PostgreSQL does not run as root, and `setpriv` is not there to change the user: start the fleet as another user")
    walk = [] if all(is_reachable(path) for path in paths) else ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [setpriv, f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups", *walk, "--", *argv]
