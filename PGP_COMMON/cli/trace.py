"""Shows everything that one payment, order, payout or transaction touched, in order of time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.errors import NotFound

if TYPE_CHECKING:
    from rich.table import Table

    from PGP_COMMON.database import BaseDatabaseManager
    from PGP_COMMON.money_machines.standing import Event

# A hash or an address in a sentence: its ends tell it apart, the middle only takes room.
LONG_NAME = re.compile(r"\b(0x)?([0-9A-Za-z]{4})[0-9A-Za-z]{14,}([0-9A-Za-z]{4})\b")
# Eighty columns, less a time and this, still show a posting in one line.
NAME_WIDTH = 26


def trace(
    name: Annotated[str, typer.Argument(help="payment id, order's unique id, payout:<id>, exchange id, or transaction hash")],
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False,
    full: Annotated[bool, typer.Option("--full", help="a line an event, every hash whole; what a pipe gets anyway")] = False,
) -> None:
    """Show every row, task, message, swap and transaction that this money touched."""
    events = journey(database(settings(state)), name)
    if as_json:
        typer.echo(json.dumps([{**event.__dict__, "at": event.at.isoformat()} for event in events], indent=1))
        return
    show(events, full=full)


def journey(db: BaseDatabaseManager, name: str) -> list[Event]:
    """Everything that a payment, order, payout, exchange or transaction touched. Raises NotFound."""
    from PGP_COMMON.money_machines import standing

    with db.reading() as tx:
        ids = standing.find(tx, name)
        if ids is None:
            raise NotFound(f"nobody knows {name}: give a payment id, an order's unique id, payout:<id>, an exchange id or a transaction hash")
        return standing.events(tx, ids)


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
