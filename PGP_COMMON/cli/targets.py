"""Says which fleet a verb is meant for: the one of this machine, or the one in containers, in whose network the verb then runs."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from PGP_COMMON.config import environment
from PGP_COMMON.errors import BadInput, Misconfigured

FLAG = "--target"
LOCAL, COMPOSE = "local", "compose"
# Where docker-compose.yml and the .env beside it are.
CHECKOUT = Path(__file__).resolve().parents[2]
OPERATOR = "operator"
# Another program that understands the same file and the same words: PGP_COMPOSE="podman-compose", or docker's with flags of its own.
DEFAULT_COMPOSE = "docker compose"


def aimed(words: Sequence[str]) -> list[str]:
    """The words without the target, which stands before the verb. With the target `compose` this process becomes the verb over there, and never returns.

    Raises BadInput for another target, and Misconfigured when the compose command is not installed.
    """
    target, rest = _parted(words)
    if target == LOCAL:
        return rest
    if target != COMPOSE:
        raise BadInput(f"there is no target {target!r}: write {LOCAL} or {COMPOSE}")
    argv = command(environment().get("PGP_COMPOSE") or DEFAULT_COMPOSE, rest, terminal=sys.stdin.isatty() and sys.stdout.isatty())
    if shutil.which(argv[0]) is None:
        raise Misconfigured(f"{argv[0]} is not installed; PGP_COMPOSE names another command that understands docker-compose.yml")
    os.chdir(CHECKOUT)
    return os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted


def _parted(words: Sequence[str]) -> tuple[str, list[str]]:
    if words and words[0] == FLAG:
        return (words[1] if len(words) > 1 else ""), list(words[2:])
    if words and words[0].startswith(f"{FLAG}="):
        return words[0].partition("=")[2], list(words[1:])
    return LOCAL, list(words)


def command(compose: str, verb: Sequence[str], *, terminal: bool) -> list[str]:
    """The operator's container, for as long as one verb takes; it starts nothing else."""
    # Docker finds the container in its profile by itself; podman-compose wants to be told.
    return [*shlex.split(compose), "--profile", OPERATOR, "run", "--rm", "--no-deps", *([] if terminal else ["-T"]), OPERATOR, "pgp", *verb]
