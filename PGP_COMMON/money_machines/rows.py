"""This is the row: what the database gives back, with whole numbers as `int` (NUMERIC comes as Decimal)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal

WHOLE = frozenset({"int", "int | None"})


@dataclass(frozen=True)
class Row:
    """A row of the database. Fields that are declared `int` hold units exactly, whatever the driver brought."""

    def __post_init__(self) -> None:
        """Turn NUMERIC columns that are declared whole into `int`; a fraction there is a bug."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Decimal) and field.type in WHOLE:
                whole = int(value)
                if whole != value:
                    raise TypeError(f"{field.name} is no whole number")
                object.__setattr__(self, field.name, whole)
