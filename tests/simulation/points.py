"""Every place where a process may die, by name: what the manifest promises, and what a history really passes."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from PGP_COMMON.engine import Flow
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Door


def flows() -> dict[str, Flow]:
    """Every step's recovery points."""
    found: dict[str, Flow] = {}
    for service in FLEET:
        found |= getattr(importlib.import_module(service.app), "STEPS", {})
    return found


def promised() -> list[str]:
    """What the manifest's steps and doors must pass in some history: claim, commit and reply of every step, proof and answer of every inner door."""
    names = []
    for step, points in flows().items():
        names += [f"{step}.claim.before", f"{step}.claim.after"]
        names += [f"{step}.{point}.{where}" for point in points for where in ("before_commit", "after_commit")]
        names.append(f"{step}.reply")
    for service in FLEET:
        doors = [route for route in service.routes if route.door in {Door.TASK, Door.SCHEDULE}]
        names += [f"door.{service.short}{route.path}.{where}" for route in doors for where in ("proved", "answer")]
    return names


def flow_of(name: str) -> str:
    """The flow that a failpoint belongs to: its step, or the service whose door it stands at."""
    if name.startswith("door."):
        return f"door {name.removeprefix('door.').partition('/')[0]}"
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}"


def kind_of(name: str) -> str:
    """Between which two things it stands."""
    for kind in ("publish", "http", "claim"):
        if f".{kind}." in name:
            return {"publish": "publish", "http": "call", "claim": "claim"}[kind]
    return {"before_commit": "commit", "after_commit": "commit", "before_retry": "commit", "reply": "reply"}.get(name.rpartition(".")[2], "door")


def missing(seen: Iterable[str]) -> list[str]:
    """What was promised and never passed."""
    known = set(seen)
    return [name for name in promised() if name not in known]
