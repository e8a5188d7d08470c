"""docs/machines.md: every life cycle as a picture, with who may make which move."""

from __future__ import annotations

import inspect

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Move
from PGP_COMMON.money_machines import MACHINES
from PGP_COMMON.operators import powers
from PGP_COMMON.rendering.tables import notice, table


def movers(move: Move) -> list[str]:
    """Who may make a move."""
    people = {"an operator": powers.MOVES, "an operator after a restore": powers.RESTORE_MOVES}
    return [service.short for service in FLEET if move in service.moves] + [who for who, moves in people.items() if move in moves]


def _meanings(states: type) -> dict[str, str]:
    """What stands beside each state in the code."""
    lines = inspect.getsource(states).splitlines()
    return {line.split('"')[1]: line.split("#", 1)[1].strip() for line in lines if '= "' in line and "#" in line}


def machine_part(name: str) -> str:
    """One machine: its picture, its states and its moves."""
    machine = next(machine for machine in MACHINES if machine.name == name)
    edges = ((source, target, ", ".join(movers(Move(name, source, target)))) for source, target in machine.edges())
    return "\n".join(
        (
            f"```mermaid\n{machine.mermaid()}\n```\n",
            table(("state", "what it means: who acts next"), _meanings(machine.states).items()),
            "",
            table(("from", "to", "who moves it"), edges),
        )
    )


def render() -> str:
    """The page."""
    parts = [
        notice("PGP_COMMON/money_machines and PGP_COMMON/fleet.py"),
        "# Life cycles\n",
        "The database refuses every other move and keeps the one history of all of them.\n",
    ]
    parts += [f"## {machine.name}\n\n{machine_part(machine.name)}\n" for machine in MACHINES]
    return "\n".join(parts)
