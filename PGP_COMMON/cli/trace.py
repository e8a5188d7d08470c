"""Shows everything that one payment, order, payout or transaction touched, in order of time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.errors import NotFound

if TYPE_CHECKING:
    from PGP_COMMON.money_machines.standing import Event


def trace(
    name: Annotated[str, typer.Argument(help="payment id, order's unique id, payout:<id>, exchange id, or transaction hash")],
    state: StateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False,
) -> None:
    """Show every row, task, message, swap and transaction that this money touched."""
    from PGP_COMMON.money_machines import standing

    with database(settings(state)).reading() as tx:
        ids = standing.find(tx, name)
        if ids is None:
            raise NotFound(f"nobody knows {name}: give a payment id, an order's unique id, payout:<id>, an exchange id or a transaction hash")
        events = standing.events(tx, ids)
    if as_json:
        typer.echo(json.dumps([{**event.__dict__, "at": event.at.isoformat()} for event in events], indent=1))
        return
    show(events)


def show(events: Sequence[Event]) -> None:
    """Print events as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("time", "what", "subject", "detail", box=None, header_style="bold")
    for event in events:
        table.add_row(f"{event.at:%H:%M:%S.%f}"[:-3], event.what, event.subject, event.detail)
    Console(width=max(Console().width, 160)).print(table)
