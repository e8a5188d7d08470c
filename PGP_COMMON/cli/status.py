"""Shows what runs on this machine, where, and how much memory it takes."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from PGP_COMMON.cli.place import StateOption, state_dir


def status(
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="with --json: the memory of each service's processes as well")] = False,
) -> None:
    """Show the fleet on this machine; exit status 1 unless everything is ready."""
    from deploy.local import book, progress, report

    place = state_dir(state)
    now = book.read(place.fleet)
    if as_json:
        typer.echo(json.dumps(report.as_json(place, now, memory=memory), indent=1))
    else:
        progress.table(now)
    if not report.is_ready(now):
        sys.exit(1)
