"""docs/fleet.md: who calls whom, with what, under which proof, time-out and retry."""

from __future__ import annotations

from collections.abc import Sequence

from PGP_COMMON.directory import service_of
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Door, Move, Route, Service
from PGP_COMMON.operators import powers
from PGP_COMMON.rendering.tables import notice, table

SHARE_OF_CONNECTIONS = 70
MAX_CONNECTIONS = 200


def _how_often(route: Route) -> str:
    if route.queue:
        q = route.queue
        return (
            f"queue `{q.name}`: {q.max_concurrent} at once, {q.max_attempts} attempts in {q.max_retry_s // 3600} h, {q.min_backoff_s} s to {q.max_backoff_s} s"
        )
    return f"`{route.schedule.cron}` ({route.schedule.name})" if route.schedule else "-"


def doors(service: Service) -> str:
    """A service's doors as a table."""
    rows = []
    for route in service.routes:
        steps = ", ".join(f"`{step.name}`" for step in service.steps if step.route == route.path and route.door is Door.TASK)
        what = steps or (f"plans `{route.schedule.step}`" if route.schedule else route.public_because or "-")
        rows.append((f"`{route.key}`", route.door.value, route.proof.value, what, _how_often(route)))
    return table(("route", "door", "proof", "what it runs, or why it is public", "how often, and retries"), rows)


def sends(service: Service) -> str:
    """What a service sends, to whom, and signed with what."""
    rows = []
    for name in service.sends:
        target, step = service_of(name)
        rows.append((f"`{name}`", target.name, f"`{step.route}`", step.subject, f"`{step.edge.value}`", f"{step.budget.name}: {step.budget.attempts} tries"))
    return table(("step", "runs in", "at", "subject", "signed with", "budget"), rows)


def moves(service: Service) -> str:
    """The state moves that a service may make."""
    by_machine: dict[str, list[str]] = {}
    for move in service.moves:
        by_machine.setdefault(move.machine, []).append(f"{move.source} → {move.target}")
    return table(("machine", "moves"), ((machine, "; ".join(edges)) for machine, edges in by_machine.items()))


def operator() -> str:
    """What a person may move, and what he sets in motion by it."""
    own = [move for move in powers.MOVES if not any(move in service.moves for service in FLEET)]
    shared = [move for move in powers.MOVES if move not in own]
    return (
        f"Only a person, through `pgp`, may move: {_edges(own)}.\n\n"
        f"He may also make moves that are a service's: {_edges(shared)}.\n\n"
        f"After a restore he makes moves of the lost history again, by `pgp wallet adopt` and `pgp wallet explain`: {_edges(powers.RESTORE_MOVES)}.\n\n"
        f"What he sets in motion: {', '.join(f'`{name}`' for name in powers.SENDS)}."
    )


def _edges(edges: Sequence[Move]) -> str:
    return "; ".join(f"{move.machine}: {move.source} → {move.target}" for move in edges)


def graph() -> str:
    """The fleet as a mermaid flowchart: an arrow a step, grouped by pair."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for service in FLEET:
        for name in service.sends:
            target = service_of(name)[0]
            if target is not service:
                arrows.setdefault((service.short, target.short), []).append(name)
    lines = ["flowchart LR"]
    lines += [f"    {source} -->|{'<br/>'.join(names)}| {target}" for (source, target), names in arrows.items()]
    return "\n".join(lines)


def connections() -> int:
    """Connections to the database when every service runs all its instances."""
    return sum(service.size.pool * service.size.max_instances for service in FLEET)


def render() -> str:
    """The page."""
    parts = [
        notice("PGP_COMMON/fleet.py"),
        "# The fleet\n",
        "Every message carries ids only and is signed; every delivery may come twice, late, or out of order.",
        "A request ends within its time-out; Cloud Tasks listens 10 seconds longer. 503 means our own infrastructure is down, and nothing else does.\n",
        f"```mermaid\n{graph()}\n```\n",
        table(
            ("service", "package", "what it is for", "memory", "instances", "threads", "time-out"),
            (
                (
                    f"`{s.name}`",
                    f"`{s.app}`",
                    s.purpose,
                    f"{s.size.memory_mib} MiB",
                    f"{s.size.min_instances}-{s.size.max_instances}",
                    s.size.threads,
                    f"{s.size.timeout_s} s",
                )
                for s in FLEET
            ),
        ),
        f"\nThe pools of all instances sum to {connections()} connections; the database must allow at least {-(-connections() * 100 // SHARE_OF_CONNECTIONS)}.\n",
    ]
    for service in FLEET:
        parts.append(f"## {service.name}\n\n{service.purpose}\n\n{doors(service)}\n")
        if service.sends:
            parts.append(f"It sends:\n\n{sends(service)}\n")
        if service.moves:
            parts.append(f"It may move:\n\n{moves(service)}\n")
    parts.append(f"## An operator\n\n{operator()}\n")
    return "\n".join(parts)
