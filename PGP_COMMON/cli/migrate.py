"""Brings the database's schema up or down, and says where it stands."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from PGP_COMMON.cli.operator import ACTOR, database, settings
from PGP_COMMON.cli.place import StateOption

app = typer.Typer(no_args_is_help=True)


@app.command()
def up(state: StateOption = None, to: Annotated[str, typer.Option(help="revision")] = "head") -> None:
    """Bring the schema up to the newest revision; harmless when it is there."""
    from migrations import run

    engine = database(settings(state)).engine
    run.up(engine, to)
    typer.echo(f"the schema is at {run.current(engine)}")


@app.command()
def down(to: Annotated[str, typer.Argument(help="revision to go back to, `base` for none")], state: StateOption = None) -> None:
    """Take the schema down; what the newer tables held is gone."""
    from migrations import run

    engine = database(settings(state)).engine
    run.down(engine, to)
    typer.echo(f"the schema is at {run.current(engine) or 'nothing'}")


@app.command()
def status(state: StateOption = None) -> None:
    """Show every revision, and which is the database's."""
    from migrations import run

    here = run.current(database(settings(state)).engine)
    for revision, sentence in run.revisions():
        typer.echo(f"{'→' if revision == here else ' '} {revision}  {sentence}")


@app.command()
def dump() -> None:
    """Write migrations/schema.sql and docs/schema.md from a database that the migrations have just made."""
    from deploy.local.postgres import Postgres
    from migrations import run
    from PGP_COMMON.database import make_engine
    from PGP_COMMON.rendering import ROOT, schema_page

    with tempfile.TemporaryDirectory() as folder:
        server = Postgres(Path(folder) / "postgres", fast=True)
        server.start()
        try:
            engine = make_engine(server.create_database("dump"), application=ACTOR)
            run.up(engine)
            texts = schema_page.rendered(engine)
            engine.dispose()
        finally:
            server.stop()
    for path, text in texts.items():
        (ROOT / path).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {path}")
