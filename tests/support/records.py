"""Reads contract records and compares an answer with one: a record's "<int>" stands for any whole number, and so on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLACEHOLDERS = {
    "<int>": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "<text>": lambda value: isinstance(value, str) and bool(value),
    "<link>": lambda value: isinstance(value, str) and value.startswith("https://t.me/+"),
    "<object>": lambda value: isinstance(value, dict),
    "<list>": lambda value: isinstance(value, list),
}


def read_records(folder: Path, *names: str) -> list[dict[str, Any]]:
    """Read the records of a folder's named files."""
    return [record for name in names for record in json.loads((folder / f"{name}.json").read_text())]


def fill(shape: Any, known: dict[str, Any]) -> Any:
    """Put what was kept from earlier answers where the record says "$name"."""
    if isinstance(shape, dict):
        return {name: fill(value, known) for name, value in shape.items()}
    if isinstance(shape, list):
        return [fill(value, known) for value in shape]
    return known.get(shape[1:], shape) if isinstance(shape, str) and shape.startswith("$") else shape


def compare(got: Any, expected: Any, where: str = "answer") -> None:
    """Fail with the place at which an answer is not what the record says."""
    if isinstance(expected, str) and expected in PLACEHOLDERS:
        assert PLACEHOLDERS[expected](got), f"{where}: {got!r} is no {expected}"
    elif isinstance(expected, dict) and isinstance(got, dict):
        assert sorted(got) == sorted(expected), f"{where}: {sorted(got)} are not {sorted(expected)}"
        for name, value in expected.items():
            compare(got[name], value, f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(got, list):
        assert len(got) == len(expected), f"{where}: {len(got)} are not {len(expected)}"
        for index, value in enumerate(expected):
            compare(got[index], value, f"{where}[{index}]")
    else:
        assert got == expected, f"{where}: {got!r} is not {expected!r}"
