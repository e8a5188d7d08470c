"""Shows the last runs of the schedules: when they began and ended, and what they did."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.errors import BadInput


def runs(
    schedule: Annotated[str, typer.Argument(help="only this schedule, as in `pgp fire list`")] = "",
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="how many of each")] = 3,
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False,
) -> None:
    """Show what each schedule's last runs did."""
    from PGP_COMMON.fleet import FLEET
    from PGP_COMMON.money_machines import standing

    names = {route.schedule.step: route.schedule.name for service in FLEET for route in service.routes if route.schedule}
    steps = [step for step, name in names.items() if schedule in {"", name}]
    if not steps:
        raise BadInput(f"there is no schedule {schedule!r}; there are {', '.join(sorted(names.values()))}")
    with database(settings(state)).reading() as tx:
        found = standing.scheduled_runs(tx, steps, limit=most)
    if as_json:
        typer.echo(json.dumps([{"schedule": names[run.step], **run.__dict__} for run in found], default=str, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("schedule", "for", "began", "took", "what it did", "correlation", box=None)
    for run in found:
        began = f"{run.started_at:%H:%M:%S}" if run.started_at else "-"
        took = f"{(run.done_at - run.started_at).total_seconds():.1f} s" if run.started_at and run.done_at else run.state
        table.add_row(names[run.step], run.subject, began, took, run.outcome or run.last_error or "", run.correlation)
    Console().print(table if found else "nothing has run yet")
