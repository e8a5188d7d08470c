"""This is the driver: pg8000 with each statement read and planned once a connection, and run in one round trip instead of three."""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pg8000.dbapi
import pg8000.legacy
from pg8000 import converters, core
from pg8000.exceptions import DatabaseError, InterfaceError

# What a broken connection raises; a `DatabaseError` is an answer, and the connection can be used again.
BROKEN: Final = (OSError, InterfaceError, struct.error)
# Our statements are literals, a few hundred in all; whoever makes up new ones does not fill the server's memory.
MOST_PLANS: Final = 500
# As in SQLAlchemy's text(): `:name`, and `\:` for a colon that is none.
_NAME: Final = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
TIMESTAMPTZ: Final = 1184
# A migration changed the type of a column of a planned statement.
_STALE: Final = "cached plan must not change result type"

_convert = pg8000.dbapi.convert_paramstyle


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement that this connection's server has read: its name there, and the columns and readers of its rows."""

    name: bytes
    columns: Any
    readers: Any


@functools.lru_cache(maxsize=2048)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Put $1, $2, ... for `:name`, each occurrence for itself; gives back the text and the names in order."""
    names: list[str] = []

    def number(found: re.Match[str]) -> str:
        names.append(found[1])
        return f"${len(names)}"

    return _NAME.sub(number, sql).replace("\\:", ":"), tuple(names)


@functools.lru_cache(maxsize=2048)
def _numbered(statement: str) -> str:
    return str(_convert("format", statement, ())[0])


def _convert_once(style: str, statement: str, values: Any) -> tuple[str, Any]:
    """Put $1 for %s. pg8000 walks through the text character by character each time, which costs more than the statement itself."""
    return (_numbered(statement), values) if style == "format" else _convert(style, statement, values)


pg8000.dbapi.convert_paramstyle = _convert_once
pg8000.legacy.convert_paramstyle = _convert_once


def quicken(connection: Any) -> None:
    """Let a pg8000 connection, whoever opened it, keep its plans; transactions and errors stay as they are."""
    connection.plans = {}
    connection.register_in_adapter(TIMESTAMPTZ, _moment)
    connection.execute_unnamed = functools.partial(_as_pg8000_asks, connection)


def _moment(text: str) -> Any:
    """Read a time. pg8000's own way, a pattern made anew for each, costs twenty times as much; what Python has no time for is left to it."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return converters.timestamptz_in(text)


def _as_pg8000_asks(connection: Any, statement: str, vals: Any = (), oids: Any = (), stream: Any = None) -> core.Context:
    if stream is not None or oids:
        return type(connection).execute_unnamed(connection, statement, vals=vals, oids=oids, stream=stream)
    return execute(connection, statement, vals)


def execute(connection: Any, statement: str, values: Sequence[Any] = ()) -> core.Context:
    """Run a statement with $1, $2, ... and give back pg8000's context: `rows`, `row_count`, `columns`.

    Raises DatabaseError for what the server says, one of BROKEN when it says nothing, and what a value that cannot be sent raises.
    """
    # Before anything is sent: a value that cannot be written must not leave half a message on the wire.
    message = _values(core.make_params(connection.py_types, values), connection._client_encoding)  # noqa: SLF001 - pg8000 tells it nowhere else
    plan = _plan(connection, statement)
    try:
        return _run(connection, statement, plan, message)
    except DatabaseError as error:
        if _STALE not in str(error.args[0].get("M")):
            raise
        connection.plans.clear()
        if connection._in_transaction:  # noqa: SLF001 - as above
            # The whole transaction starts again, as after any other that it met.
            error.args[0]["C"] = "40001"
            raise
    return _run(connection, statement, _plan(connection, statement), message)


def _plan(connection: Any, statement: str) -> Plan:
    """The server's plan for a statement; it is asked for one when the connection meets the statement for the first time."""
    found: Plan | None = connection.plans.get(statement)
    if found is not None:
        return found
    if len(connection.plans) >= MOST_PLANS:
        name, columns, readers = _prepare(connection, statement, core.NULL_BYTE)
        return Plan(name, columns, readers)
    plan = connection.plans[statement] = Plan(*connection.prepare_statement(statement, ()))
    return plan


def _prepare(connection: Any, statement: str, name: bytes) -> tuple[bytes, Any, Any]:
    context = core.Context(statement)
    connection.send_PARSE(name, statement, ())
    connection.send_DESCRIBE_STATEMENT(name)
    _send(connection, core.SYNC_MSG, context)
    return name, context.columns, context.input_funcs


def _values(params: Sequence[str | None], encoding: str) -> bytes:
    """The part of a Bind message that carries the values, all of them as text."""
    parts = [struct.pack("!hh", 0, len(params))]
    for value in params:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            data = value.encode(encoding)
            parts += (struct.pack("!i", len(data)), data)
    parts.append(b"\x00\x00")
    return b"".join(parts)


def _run(connection: Any, statement: str, plan: Plan, values: bytes) -> core.Context:
    """Bind, execute and sync in one piece, without the flushes that would make the server answer in three (PostgreSQL's documentation, 53.2.3)."""
    context = core.Context(statement, columns=plan.columns, input_funcs=plan.readers)
    bind = core.NULL_BYTE + plan.name + values
    _send(connection, core.BIND + struct.pack("!i", len(bind) + 4) + bind + core.EXECUTE_MSG + core.SYNC_MSG, context)
    return context


def _send(connection: Any, message: bytes, context: core.Context) -> None:
    socket = connection._sock  # noqa: SLF001 - pg8000 has no public way to send what is written
    if socket is None:
        raise InterfaceError("connection is closed")
    core._write(socket, message)  # noqa: SLF001 - as above
    core._flush(socket)  # noqa: SLF001 - as above
    connection.handle_messages(context)
