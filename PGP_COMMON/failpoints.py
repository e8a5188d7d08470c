"""This is the failpoint: a named place where a test may stop the process; it does nothing unless armed."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping

from PGP_COMMON.errors import Misconfigured

# Where the process is: `{step}.{point}` inside a step, `door.{service}{route}` at a door, nothing elsewhere. A failpoint's name begins with it.
here: contextvars.ContextVar[str] = contextvars.ContextVar("here", default="")
# What Cloud Run sets in every container (product.md 5: nothing of a test works there).
CLOUD = "K_SERVICE"

_hook: Callable[[str], None] | None = None


def failpoint(where: str) -> None:
    """Tell whoever armed the failpoints that this place is passed; he may raise, wait or count."""
    if _hook is not None:
        place = here.get()
        _hook(f"{place}.{where}" if place else where)


def watch(hook: Callable[[str], None]) -> None:
    """Have `hook` called with the name of every failpoint that is passed. Only test harnesses call this; raises Misconfigured in the cloud."""
    from PGP_COMMON.config import environment  # noqa: PLC0415 - the configuration's clients pass failpoints themselves

    global _hook  # noqa: PLW0603 - a process has one harness at most
    if environment().get(CLOUD):
        raise Misconfigured("failpoints are not armed in the cloud")
    _hook = hook


def arm(actions: Mapping[str, Callable[[], None]]) -> None:
    """Run an action at each of these failpoints, by name, and nothing at any other."""
    kept = dict(actions)

    def run(name: str) -> None:
        action = kept.get(name)
        if action is not None:
            action()

    watch(run)


def disarm() -> None:
    """Let every failpoint do nothing again."""
    global _hook  # noqa: PLW0603 - as above
    _hook = None
