"""This is the row: what the database gives back, with whole numbers as `int` (NUMERIC comes as Decimal)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cache

WHOLE = frozenset({"int", "int | None"})


@dataclass(frozen=True)
class Row:
    """A row of the database. Fields that are declared `int` hold units exactly, whatever the driver brought."""

    def __post_init__(self) -> None:
        """Turn NUMERIC columns that are declared whole into `int`; a fraction there is a bug."""
        for name in _whole(type(self)):
            value = getattr(self, name)
            if isinstance(value, Decimal):
                whole = int(value)
                if whole != value:
                    raise TypeError(f"{name} is no whole number")
                object.__setattr__(self, name, whole)


@cache
def _whole(row: type[Row]) -> tuple[str, ...]:
    """The fields of a row that are declared whole."""
    return tuple(field.name for field in fields(row) if field.type in WHOLE)
