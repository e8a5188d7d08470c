"""Starts one program of the sandbox in its container: `python -m deploy.sandbox <a vendor>|laggard|anvil|chain`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy.local import files, vendors
from deploy.sandbox import node
from PGP_COMMON.config import environment
from PGP_COMMON.rendering import sandbox
from PGP_COMMON.rendering.containers import PORT


def argv(name: str, known: dict[str, str]) -> list[str]:
    """The command line of a vendor, of the second node, or of the job that furnishes a fresh chain; `known` is what this container is given."""
    rpc_url = f"http://{sandbox.NODE}:{sandbox.NODE_PORT}"
    # A container knows the keys of its own vendor only.
    keys = vendors.Keys(**{field: known.get(field, "") for field in vendors.Keys.__dataclass_fields__})
    if name == "chain":
        return [sys.executable, "-m", "deploy.simulators.chain", *vendors.chain_flags(keys, known, rpc_url)]
    flags = vendors.flags(name, known, known, keys, rpc_url=rpc_url)
    return [sys.executable, "-m", f"deploy.simulators.{name}", "--host", "0.0.0.0", "--port", str(PORT), "--state-dir", sandbox.BOOKS, *flags]


def main(name: str) -> int:
    """Become that program; 2 for a name that is none."""
    if name == sandbox.NODE:
        return node.run(Path(sandbox.BOOKS))
    if name not in {*vendors.NAMES, "chain"}:
        print(__doc__, file=sys.stderr)
        return 2
    environ = environment()
    words = argv(name, {**environ, **files.read_env(Path(environ["SECRETS_FILE"]))})
    return os.execv(words[0], words)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
