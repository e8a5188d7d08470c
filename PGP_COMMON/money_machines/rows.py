"""This is the row: what the database gives back, with whole numbers as `int` (NUMERIC comes as Decimal)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from inspect import get_annotations
from typing import ClassVar

WHOLE = frozenset({"int", "int | None"})


@dataclass(frozen=True)
class Row:
    """A row of the database. Fields that are declared `int` hold units exactly, whatever the driver brought."""

    _whole: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Note which fields are declared whole."""
        cls._whole = (*cls._whole, *(name for name, kind in get_annotations(cls).items() if kind in WHOLE))

    def __post_init__(self) -> None:
        """Turn NUMERIC columns that are declared whole into `int`; a fraction there is a bug."""
        for name in self._whole:
            value = getattr(self, name)
            if isinstance(value, Decimal):
                whole = int(value)
                if whole != value:
                    raise TypeError(f"{name} is no whole number")
                object.__setattr__(self, name, whole)
