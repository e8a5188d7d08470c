"""Lists dead letters, shows one, tries it again, or resolves it with a reason."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from PGP_COMMON.cli.operator import database, settings, who
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.errors import BadInput, NotFound

app = typer.Typer(no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="the letter's number")]
Note = Annotated[str, typer.Option("--note", help="what was found and why this is right", prompt=True)]


@app.command("list")
def list_(
    state: StateOption = None,
    everything: Annotated[bool, typer.Option("--all", help="resolved ones as well")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False,
) -> None:
    """Every open letter, newest first."""
    from PGP_COMMON.money_machines import dead_letters

    with database(settings(state)).reading() as tx:
        found = dead_letters.letters(tx, everything=everything)
    if as_json:
        typer.echo(json.dumps([letter.__dict__ for letter in found], default=str, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("number", "since", "source", "subject", "reason", "next step", box=None)
    for letter in found:
        table.add_row(str(letter.id), f"{letter.created_at:%m-%d %H:%M}", letter.source, letter.subject, letter.reason, str(letter.detail.get("next", "")))
    Console().print(table if found else "there is no open letter")


@app.command()
def show(number: Number, state: StateOption = None) -> None:
    """Everything that is known about one letter, without secrets."""
    from PGP_COMMON import log
    from PGP_COMMON.money_machines import dead_letters

    with database(settings(state)).transaction() as tx:
        found = dead_letters.letter(tx, number)
    if found is None:
        raise NotFound(f"there is no letter {number}")
    typer.echo(log.SECRETS.sub("***", json.dumps(found.__dict__, default=str, indent=1)))


@app.command()
def retry(number: Number, note: Note, state: StateOption = None) -> None:
    """Run its step again from where it stopped, signed anew."""
    from PGP_COMMON.cli.operator import signer_and_queue
    from PGP_COMMON.money_machines import dead_letters

    known = settings(state)
    sign, tasks = signer_and_queue(known)
    with database(known).transaction() as tx:
        found = dead_letters.letter(tx, number)
        if found is None or found.resolved_at is not None:
            raise NotFound(f"there is no open letter {number}")
        if found.work_id is None or found.step is None:
            raise BadInput("this letter has no step to run again: resolve it")
        wakes = dead_letters.reopen(tx, found, signature=sign(found.step, found.subject), grace_s=int(known.get("WAKE_GRACE_S") or 60))
        dead_letters.resolve(tx, found, kind="retried", note=note, actor=who())
    tasks.wake(wakes)
    typer.echo(f"{found.step}/{found.subject} runs again" if wakes else "its step is not dead any more")


@app.command()
def resolve(
    number: Number, note: Note, kind: Annotated[str, typer.Option(help="handled, refunded, ignored, ...")] = "handled", state: StateOption = None
) -> None:
    """Close a letter that needs nothing more."""
    from PGP_COMMON.money_machines import dead_letters

    with database(settings(state)).transaction() as tx:
        found = dead_letters.letter(tx, number)
        if found is None or found.resolved_at is not None:
            raise NotFound(f"there is no open letter {number}")
        dead_letters.resolve(tx, found, kind=kind, note=note, actor=who())
    typer.echo(f"letter {number} is resolved")
