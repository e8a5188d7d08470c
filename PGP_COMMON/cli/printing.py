"""How a verb says things: tables for people, JSON for machines, amounts in coins to the last digit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import typer

from PGP_COMMON.errors import BadInput
from PGP_COMMON.money import from_units, plain, to_units

# What a cell says where there is nothing.
NOTHING = "-"


def amount(units: int | None, decimals: int | None, asset: str | None) -> str:
    """Base units as people read them: "0.0123 ETH"."""
    if units is None or decimals is None or asset is None:
        return NOTHING
    return f"{plain(from_units(units, decimals))} {asset.upper()}"


def _plainly(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plainly(found) for name, found in asdict(value).items()}
    if isinstance(value, dict):
        return {str(name): _plainly(found) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [_plainly(found) for found in value]
    if isinstance(value, datetime):
        return value.isoformat()
    # Base units go past what other languages' numbers hold: exact decimals are text.
    return str(value) if isinstance(value, Decimal) else value


def say_json(value: Any) -> None:
    """Print rows, or one of them, for a machine. Base units are whole numbers, decimals text, times ISO 8601."""
    typer.echo(json.dumps(_plainly(value), indent=1))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print a table that fits the terminal, or the sentence that says that there is nothing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(NOTHING if cell is None else f"{cell:%m-%d %H:%M}" if isinstance(cell, datetime) else str(cell)) for cell in row))
    if table.row_count:
        Console().print(table)
    else:
        typer.echo(empty)


def say_facts(facts: dict[str, object]) -> None:
    """Print what is known of one thing, a line a fact, every hash whole."""
    width = max(map(len, facts))
    for name, value in facts.items():
        typer.echo(f"{name:{width}}  {NOTHING if value is None else value}")


def units_of(*, units: int | None, coins: str | None, decimals: int, needed: bool = False) -> int | None:
    """What was given as --units or as --amount, in base units; None without either. Raises BadInput for both, and for digits that the coin has not."""
    if units is not None and coins is not None:
        raise BadInput("give --units or --amount, not both")
    if units is None and coins is None and needed:
        raise BadInput("say how much: --amount in coins, or --units in base units")
    return to_units(coins, decimals) if coins is not None else units
