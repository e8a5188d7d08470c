"""Lists, checks and renders the fleet's manifest."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False) -> None:
    """Every service with what it is for."""
    from PGP_COMMON.fleet import FLEET

    if as_json:
        rows = [
            {
                "name": s.name,
                "app": s.app,
                "purpose": s.purpose,
                "routes": [r.key for r in s.routes],
                "steps": [p.name for p in s.steps],
                "sends": list(s.sends),
            }
            for s in FLEET
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("service", "what it is for", "routes", "steps", box=None)
    for service in FLEET:
        table.add_row(service.name, service.purpose, str(len(service.routes)), str(len(service.steps)))
    Console().print(table)


@app.command()
def check() -> None:
    """Say everything that is wrong with the manifest; exit status 1 if anything is."""
    from PGP_COMMON.soundness import problems

    found = problems()
    for problem in found:
        typer.echo(problem)
    typer.echo("the manifest is sound" if not found else f"{len(found)} problems")
    sys.exit(1 if found else 0)


@app.command()
def render(check: Annotated[bool, typer.Option("--check", help="write nothing; exit status 1 if anything differs")] = False) -> None:
    """Write every file that is derived from the manifest."""
    from PGP_COMMON import rendering

    changed = rendering.differing() if check else rendering.write()
    for path in changed:
        typer.echo(f"{'differs' if check else 'wrote'}: {path}")
    if not changed:
        typer.echo("every rendered file is as the code says")
    sys.exit(1 if check and changed else 0)


@app.command()
def graph() -> None:
    """Print who sends what to whom, as a mermaid flowchart."""
    from PGP_COMMON.rendering import fleet_page

    typer.echo(fleet_page.graph())
