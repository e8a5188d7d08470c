"""Keeps what a vendor knows in an SQLite file, so that a simulator that was killed goes on where it stood."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Values = Mapping[str, Any] | tuple[Any, ...]


class Books:
    """One SQLite file in WAL mode, one connection a thread, writers one after another.

    Money goes in as INTEGER base units or as decimal TEXT, never REAL. A commit survives a kill -9 of the process.
    """

    def __init__(self, path: Path, schema: str) -> None:
        """Open or make the file; `schema` is a script of CREATE ... IF NOT EXISTS statements."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._local = threading.local()
        self._writing = threading.RLock()
        self._connection().executescript(schema)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end, rolled back when anything is raised. It may be nested."""
        connection = self._connection()
        with self._writing:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def run(self, sql: str, values: Values = ()) -> int:
        """Run one statement in a transaction of its own (or in the open one); gives the number of rows changed."""
        with self.write() as connection:
            return connection.execute(sql, values).rowcount

    def all(self, sql: str, values: Values = ()) -> list[Row]:
        """Read every row."""
        return [dict(row) for row in self._connection().execute(sql, values)]

    def one(self, sql: str, values: Values = ()) -> Row | None:
        """Read the first row, or None."""
        row = self._connection().execute(sql, values).fetchone()
        return None if row is None else dict(row)

    def wipe(self) -> None:
        """Empty every table."""
        with self.write() as connection:
            tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            names = [row[0] for row in connection.execute(tables)]
            for name in names:
                connection.execute(f'DELETE FROM "{name}"')

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # A killed process loses nothing with NORMAL; only a power cut might.
            connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
        return connection
