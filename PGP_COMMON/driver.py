"""This is the driver: pg8000 with one round trip a statement instead of three, and without reading each statement's text anew."""

from __future__ import annotations

import functools
from typing import Any

import pg8000.dbapi
import pg8000.legacy
from pg8000 import core

_convert = pg8000.dbapi.convert_paramstyle


@functools.lru_cache(maxsize=2048)
def _numbered(statement: str) -> str:
    return str(_convert("format", statement, ())[0])


def _convert_once(style: str, statement: str, values: Any) -> tuple[str, Any]:
    """Put $1 for %s. pg8000 walks through the text character by character each time, which costs more than the statement itself."""
    return (_numbered(statement), values) if style == "format" else _convert(style, statement, values)


pg8000.dbapi.convert_paramstyle = _convert_once
pg8000.legacy.convert_paramstyle = _convert_once


def quicken(connection: Any) -> None:
    """Let a pg8000 connection, whoever opened it, run statements in one round trip each; transactions and errors stay as they are."""
    connection.execute_unnamed = functools.partial(_execute_at_once, connection)


def _execute_at_once(connection: Any, statement: str, vals: Any = (), oids: Any = (), stream: Any = None) -> core.Context:
    """What pg8000's own method does, except that all of it is sent before the first answer is read (PostgreSQL's documentation, 53.2.3)."""
    if stream is not None:
        return type(connection).execute_unnamed(connection, statement, vals=vals, oids=oids, stream=stream)
    context = core.Context(statement)
    connection.send_PARSE(core.NULL_BYTE, statement, oids)
    connection.send_DESCRIBE_STATEMENT(core.NULL_BYTE)
    connection.send_BIND(core.NULL_BYTE, core.make_params(connection.py_types, vals))
    connection.send_EXECUTE()
    socket = connection._sock  # noqa: SLF001 - pg8000 has no public way to send what is written
    core._write(socket, core.SYNC_MSG)  # noqa: SLF001 - as above
    core._flush(socket)  # noqa: SLF001 - as above
    connection.handle_messages(context)
    return context
