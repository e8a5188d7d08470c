"""This is the connection: one session of PostgreSQL with its prepared statements, made again after it was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import pg8000.native

Rows = list[list[Any]]
# Whatever ends a session ends here too: a statement of ours that PostgreSQL refuses leaves nothing to go on with either.
LOST: Final = (OSError, pg8000.native.Error)
NO_SESSION: Final = pg8000.native.InterfaceError("there is no session")
# A server whose client machine vanished drops the session, and with it the lock on the runner, after 25 s instead of two hours.
KEEPALIVE: Final = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
# A server that says nothing for so long is as good as gone.
SILENCE_S: Final = 60.0


def arguments(url: str) -> dict[str, Any]:
    """Read a SQLAlchemy address (postgresql+pg8000://user:password@host:port/database). Raises ValueError for another kind."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgresql", "postgresql+pg8000"} or not parts.username:
        raise ValueError("the database address must look like postgresql+pg8000://user:password@host:port/database")
    query = parse_qs(parts.query)
    found: dict[str, Any] = {
        "user": unquote(parts.username),
        "password": unquote(parts.password) if parts.password else None,
        "host": parts.hostname or "localhost",
        "port": parts.port or 5432,
        "database": unquote(parts.path.lstrip("/")) or None,
    }
    if "unix_sock" in query:
        found["unix_sock"] = query["unix_sock"][0]
    return found


class Database:
    """One session. Not thread-safe: each belongs to one thread."""

    def __init__(self, url: str, *, name: str, settings: Mapping[str, str]) -> None:
        """Take the address and the session's settings; nothing is connected yet. Raises ValueError for a wrong address."""
        self._arguments = {**arguments(url), "application_name": name, "startup_params": {**KEEPALIVE, **settings}}
        self._session: Any = None
        self._prepared: dict[str, Any] = {}

    @property
    def is_open(self) -> bool:
        """Whether there is a session (that may turn out to be lost)."""
        return self._session is not None

    def open(self) -> None:
        """Start a session. Raises one of LOST."""
        self.close()
        self._session = pg8000.native.Connection(**self._arguments, timeout=SILENCE_S)

    def close(self) -> None:
        """End the session if there is one."""
        session, self._session, self._prepared = self._session, None, {}
        if session is not None:
            with contextlib.suppress(*LOST):
                session.close()

    def run(self, statement: str, **values: Any) -> Rows:
        """Run one statement, prepared on first use; it is a transaction of its own. Raises one of LOST, and then the session is gone."""
        if self._session is None:
            raise NO_SESSION
        try:
            prepared = self._prepared.get(statement)
            if prepared is None:
                prepared = self._prepared[statement] = self._session.prepare(statement)
            return prepared.run(**values) or []
        except LOST:
            self.close()
            raise

    def script(self, statements: str) -> Rows:
        """Run plain statements, several at once. Raises one of LOST, and then the session is gone."""
        if self._session is None:
            raise NO_SESSION
        try:
            return self._session.run(statements) or []
        except LOST:
            self.close()
            raise


def texts(values: Iterable[str]) -> str:
    """Write an array of words that need no escaping (ids)."""
    return "{" + ",".join(f'"{value}"' for value in values) + "}"


def numbers(values: Iterable[float | None]) -> str:
    """Write an array of numbers, None being NULL."""
    return "{" + ",".join("NULL" if value is None else repr(value) for value in values) + "}"


def blobs(values: Iterable[bytes]) -> str:
    """Write an array of byte strings."""
    return "{" + ",".join(f'"\\\\x{value.hex()}"' for value in values) + "}"


def booleans(values: Iterable[bool]) -> str:
    """Write an array of truth values."""
    return "{" + ",".join("t" if value else "f" for value in values) + "}"
