"""Shows what became of a payment, or whose money a transaction moved, to the last unit, and everything that it touched."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli import shares
from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import say_json
from PGP_COMMON.errors import NotFound

if TYPE_CHECKING:
    from rich.table import Table

    from PGP_COMMON.database import BaseDatabaseManager, Transaction
    from PGP_COMMON.money_machines.trail import Event, Ids

# A hash or an address in a sentence: its ends tell it apart, the middle only takes room.
LONG_NAME = re.compile(r"\b(0x)?([0-9A-Za-z]{4})[0-9A-Za-z]{14,}([0-9A-Za-z]{4})\b")
# Eighty columns, less a time and this, still show a posting in one line.
NAME_WIDTH = 26


def trace(
    name: Annotated[str, typer.Argument(help="payment id, order's unique id, payout:<id>, exchange id, pay-in address, or transaction hash")],
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for a machine: the events, or with --parts the shares")] = False,
    full: Annotated[bool, typer.Option("--full", help="a line an event, every hash whole; what a pipe gets anyway")] = False,
    parts: Annotated[bool, typer.Option("--parts", help="only what adds up: of each payment its way, of a transaction its buyers")] = False,
) -> None:
    """Show whose money it is to the last unit, then every row, task, message, letter, move and transaction that it touched."""
    db = database(settings(state))
    if parts:
        told = added_up(db, name)
        say_json(told) if as_json else typer.echo("\n".join(shares.lines(told)))
        return
    events = journey(db, name)
    if as_json:
        typer.echo(json.dumps([{**event.__dict__, "at": event.at.isoformat()} for event in events], indent=1))
        return
    if sys.stdout.isatty():
        # A pipe gets a line an event and nothing else; a person wants the sum before the journey.
        typer.echo("\n".join(line if full else shortened(line) for line in shares.lines(added_up(db, name))) + "\n")
    show(events, full=full)


def _found(tx: Transaction, name: str) -> Ids:
    from PGP_COMMON.money_machines import trail

    ids = trail.find(tx, name)
    if ids is None:
        raise NotFound(f"nobody knows {name}: give a payment id, an order's unique id, payout:<id>, an exchange id or a transaction hash")
    return ids


def journey(db: BaseDatabaseManager, name: str) -> list[Event]:
    """Everything that a payment, order, payout, exchange or transaction touched. Raises NotFound."""
    from PGP_COMMON.money_machines import trail

    with db.reading() as tx:
        return trail.events(tx, _found(tx, name))


def added_up(db: BaseDatabaseManager, name: str) -> shares.Summary:
    """Of each payment that a name hangs together with what became of it, and of a transaction whose money it moved. Raises NotFound."""
    with db.reading() as tx:
        return shares.summary(tx, name, _found(tx, name).payments)


def show(events: Sequence[Event], *, full: bool = False) -> None:
    """Print events: as a table that fits the terminal, or whole, a line each."""
    from rich.console import Console

    console = Console()
    if full or not console.is_terminal:
        for line in lines(events):
            typer.echo(line)
    else:
        console.print(_table(events))


def lines(events: Sequence[Event]) -> Iterator[str]:
    """A line an event, aligned as far as the longest name allows."""
    what = max((len(event.what) for event in events), default=0)
    subject = max((len(event.subject) for event in events), default=0)
    for event in events:
        yield f"{event.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f"  {event.what:{what}}  {event.subject:{subject}}  {event.detail}"


def _table(events: Sequence[Event]) -> Table:
    """Time, name and detail, with hashes shortened and a posting a line; days are told where there are several."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("time", no_wrap=True, style="dim")
    table.add_column("what", no_wrap=True, max_width=NAME_WIDTH)
    table.add_column("detail", overflow="fold")
    days = {event.at.date() for event in events}
    told = None
    for event in events:
        if len(days) > 1 and event.at.date() != told:
            told = event.at.date()
            table.add_row("", Text(f"{told:%Y-%m-%d}", style="bold"), "")
        name, detail = shortened(f"{event.what} {event.subject}"), shortened(event.detail).replace("; ", "\n")
        table.add_row(f"{event.at:%H:%M:%S.%f}"[:-5], Text(name), Text(detail))
    return table


def shortened(text: str) -> str:
    """A text whose hashes and addresses show their ends only."""
    return LONG_NAME.sub(r"\1\2…\3", text)
