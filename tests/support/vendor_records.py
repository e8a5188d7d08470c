"""Runs a vendor's client against recorded answers: each record is what is asked, what was answered, and what that must mean.

The files are tests/contract/<vendor>/client_*.json, lists of records beside those that the simulators are held to.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import urllib.parse
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from PGP_COMMON.errors import PgpError

CONTRACT = Path(__file__).parents[1] / "contract"


def client_records(vendor: str) -> list[Any]:
    """Every record of a vendor's client, named by the method that is called and by what is special."""
    found = []
    for path in sorted((CONTRACT / vendor).glob("client_*.json")):
        for record in json.loads(path.read_text(), parse_float=Decimal):
            name = f"{record['call']}: {record['name']}"
            found.append(pytest.param(record, id=name))
    return found


def recorded(record: Mapping[str, Any]) -> httpx.MockTransport:
    """A transport that holds the client to the recorded requests, and gives the recorded answers in their order."""
    exchanges = iter(record["exchanges"])

    def handle(request: httpx.Request) -> httpx.Response:
        exchange = next(exchanges)
        asked = exchange["request"]
        assert (request.method, request.url.path) == (asked["method"], asked["path"])
        assert dict(request.url.params) == asked.get("query", {})
        assert {name: request.headers.get(name) for name in asked.get("headers", {})} == asked.get("headers", {})
        if "body" in asked:
            assert json.loads(request.content, parse_float=Decimal) == asked["body"]
        if "form" in asked:
            assert _form(request.content) == asked["form"]
        answer = exchange["answer"]
        content = answer["text"] if "text" in answer else json.dumps(answer["body"], default=_number)
        return httpx.Response(answer["status"], headers=answer.get("headers", {}), content=content.encode())

    return httpx.MockTransport(handle)


def _form(content: bytes) -> dict[str, Any]:
    """Read a form whose structured fields are JSON."""
    pairs = urllib.parse.parse_qsl(content.decode())
    return {name: json.loads(value) if value.startswith(("{", "[")) else value for name, value in pairs}


def _number(value: Decimal) -> float:
    literal = float(value)
    assert Decimal(repr(literal)) == value, "a recorded number with more digits than a double: write the answer as text"
    return literal


def meaning(value: Any) -> Any:
    """Write a result the way records hold it: decimals and times as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: meaning(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {key: meaning(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [meaning(item) for item in value]
    return value


def check(record: Mapping[str, Any], call: Any) -> None:
    """Make the call and compare what it gives, or what it raises, with the record."""
    if "raises" not in record:
        assert meaning(call()) == record["gives"]
        return
    wanted = record["raises"]
    with pytest.raises(PgpError) as raised:
        call()
    error = raised.value
    found = {"error": type(error).__name__, "code": getattr(error, "code", None) or error.data.get("code")}
    assert {name: found.get(name, meaning(error.data.get(name))) for name in wanted} == wanted
