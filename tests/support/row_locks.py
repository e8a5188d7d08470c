"""Which rows a transaction has locked, and in which order: PostgreSQL itself is asked after every statement (its `pgrowlocks`)."""

from __future__ import annotations

import graphlib
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pg8000.core import CoreConnection as Connection

from PGP_COMMON import driver
from PGP_COMMON.database import BaseDatabaseManager

# Which row locks wait for one another (PostgreSQL's documentation, 13.3.2); what `pgrowlocks` calls the lock of an update stands beside its plain name.
NAMES = {
    "Key Share": "key share",
    "For Key Share": "key share",
    "For Share": "share",
    "Share": "share",
    "For No Key Update": "no key update",
    "No Key Update": "no key update",
    "For Update": "update",
    "Update": "update",
}
CONFLICTS = {
    "key share": {"update"},
    "share": {"no key update", "update"},
    "no key update": {"share", "no key update", "update"},
    "update": {"key share", "share", "no key update", "update"},
}
# Written once and never locked.
LEFT_OUT = {"state_history", "audit_log", "ledger_tx", "ledger_posting", "legal_move", "currency_to_network", "alembic_version"}


@dataclass(frozen=True, order=True)
class Lock:
    """One kind of lock: a row of this table, this strongly."""

    table: str
    strength: str

    def waits_for(self, other: Lock) -> bool:
        """Whether the two can be locks on one row of which one has to wait."""
        return self.table == other.table and other.strength in CONFLICTS[self.strength]


@dataclass
class Taken:
    """What one transaction took: for each statement that locked anything, the statement and the kinds of locks that were new."""

    steps: list[tuple[str, frozenset[Lock]]] = field(default_factory=list)

    def edges(self) -> Iterator[tuple[Lock, Lock]]:
        """Each lock that was held while another one, of another table, was taken."""
        for earlier, later in itertools.combinations([locks for _, locks in self.steps], 2):
            yield from ((held, wanted) for held in earlier for wanted in later if held.table != wanted.table)


class Watch:
    """Follows the transactions of a process that works alone: what is locked is its own."""

    def __init__(self, db: BaseDatabaseManager) -> None:
        """Look at this database, through a connection of its own."""
        self.transactions: list[Taken] = []
        self._open: dict[int, tuple[Taken, set[tuple[str, str, str]]]] = {}
        with db.reading() as tx:
            tx.run("CREATE EXTENSION IF NOT EXISTS pgrowlocks")
            tables = [
                row for row in tx.value("SELECT array_agg(tablename ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'") if row not in LEFT_OUT
            ]
        self._query = " UNION ALL ".join(
            f"SELECT '{table}', CAST(l.locked_row AS text), m FROM pgrowlocks('{table}') l, unnest(l.modes) m WHERE l.locker IS NOT NULL" for table in tables
        )
        self._eye = db.engine.raw_connection()
        self._ask: Callable[..., Any] = driver.execute

    def close(self) -> None:
        """Let go of the connection."""
        self._eye.close()

    def execute(self, connection: Any, statement: str, values: Sequence[Any] = ()) -> Any:
        """Run a statement for somebody, then look what he holds."""
        found = self._ask(connection, statement, values)
        if connection is not self._eye.dbapi_connection and connection._in_transaction:
            self._look(connection, statement)
        return found

    def _look(self, connection: Any, statement: str) -> None:
        taken, known = self._open[id(connection)]
        held = {(table, row, NAMES[mode]) for table, row, mode in self._ask(self._eye.dbapi_connection, self._query).rows}
        new = held - known
        if new:
            if not known:
                self.transactions.append(taken)
            known |= held
            taken.steps.append((statement, frozenset(Lock(table, strength) for table, _, strength in new)))

    def begin(self, connection: Any) -> None:
        """A transaction begins here."""
        self._open[id(connection)] = (Taken(), set())


@contextmanager
def watching(db: BaseDatabaseManager, monkeypatch: Any) -> Iterator[Watch]:
    """Watch every statement that this process sends."""
    watch, plain = Watch(db), Connection.execute_simple

    def execute_simple(connection: Any, statement: str) -> Any:
        if statement == "BEGIN":
            watch.begin(connection)
        return plain(connection, statement)

    with monkeypatch.context() as patched:
        patched.setattr(driver, "execute", watch.execute)
        patched.setattr(Connection, "execute_simple", execute_simple)
        yield watch
    watch.close()


def cycle(transactions: Sequence[Taken], *, but: Collection[tuple[str, str]] = ()) -> list[str]:
    """Kinds of transactions that could wait for each other in a ring, in words; empty when none can.

    One waits for the next when it wants a lock that conflicts with one which the next holds. Tables are compared, not rows: `but` are pairs
    (held, wanted) of which somebody has shown that their rows never meet.
    """
    edges = {edge for taken in transactions for edge in taken.edges() if (edge[0].table, edge[1].table) not in but}
    graph = {edge: {other for other in edges if edge[1].waits_for(other[0])} for edge in edges}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as found:
        return [f"holds {held.table} ({held.strength}), wants {wanted.table} ({wanted.strength})" for held, wanted in found.args[1]]
    return []
