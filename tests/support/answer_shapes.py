"""Contract records of one request and one answer each, and how far another answer differs from one in keys and types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest


def single_records(folder: Path) -> list[Any]:
    """Read every record of a folder: a JSON object with "source", "request" and "answer"."""
    found = []
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(), parse_float=Decimal)
        if isinstance(record, dict) and record.keys() >= {"source", "request", "answer"}:
            found.append(pytest.param(record, id=path.stem))
    return found


def kind(value: Any) -> str:
    """Name a value's JSON type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Decimal):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]


def differences(recorded: Any, answered: Any, loose: Mapping[str, Any], where: str = "") -> list[str]:
    """Tell where an answer has other keys or types than the record.

    Null in the record fits anything. `loose` has "nullable" (paths that may be null although the record has a value), "absent" (paths
    that may be missing) and "extra" (paths that may be there although the record lacks them).
    """
    if recorded is None or (answered is None and where in loose.get("nullable", ())):
        return []
    if kind(recorded) != kind(answered):
        return [f"{where or 'the answer'} is {kind(answered)}, recorded {kind(recorded)}"]
    found = []
    if isinstance(recorded, dict):
        for key in recorded.keys() | answered.keys():
            path = f"{where}.{key}".lstrip(".")
            if key not in answered:
                found += [] if path in loose.get("absent", ()) else [f"{path} is missing"]
            elif key not in recorded:
                found += [] if path in loose.get("extra", ()) else [f"{path} is not in the record"]
            else:
                found += differences(recorded[key], answered[key], loose, path)
    if isinstance(recorded, list) and recorded:
        for item in answered:
            found += differences(recorded[0], item, loose, f"{where}[]")
    return found
