"""This is the database: one pool a process, one transaction at a time, driver errors translated once."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, LiteralString, TypeVar, cast

import sqlalchemy as sa
from pg8000.core import Context
from pg8000.exceptions import DatabaseError
from sqlalchemy.engine import Engine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from PGP_COMMON import driver
from PGP_COMMON.errors import BrokenRule, Busy, Conflict, DatabaseDown, IllegalMove, LockTimeout, PgpError
from PGP_COMMON.outbox import Outbox, Wake

T = TypeVar("T")
R = TypeVar("R")

# Through the connection's start-up packet: three SET LOCAL would cost half a transaction (money.md 3).
LIMITS = {"lock_timeout": "3000", "statement_timeout": "10000", "idle_in_transaction_session_timeout": "15000"}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
RERUNS = 5
# SQLSTATE classes, from money.md 3.
RERUN = {"40001", "40P01"}
LATER = {"55P03", "57014"}
# Out of connections, memory or disk (53); shutting down or starting (57P); system errors (58); a lost connection (08); a server that became
# read-only in a failover; a transaction that was idle for too long, whose connection is gone.
DOWN_CLASSES = ("08", "53", "57P", "58")
DOWN = {"25006", "25P03"}
REFUSED = {"23514", "23503", "23001", "23502", "23P01", "22003", "22P02"}

# What opening a connection, and speaking through one, may raise.
TROUBLE: Final = (DatabaseError, sa.exc.DBAPIError, sa.exc.TimeoutError, *driver.BROKEN)


class Rerun(Busy):
    """Two transactions met; this one starts again."""


class CommitUnknown(Busy):
    """The connection broke while committing: neither done nor not done."""


def sqlstate(error: BaseException) -> str:
    """The five characters that PostgreSQL gave, or nothing."""
    original = getattr(error, "orig", error)
    fields = original.args[0] if getattr(original, "args", None) else None
    return str(fields.get("C", "")) if isinstance(fields, dict) else ""


def constraint(error: BaseException) -> str:
    """The name of the constraint that refused, or nothing."""
    original = getattr(error, "orig", error)
    fields = original.args[0] if getattr(original, "args", None) else None
    return str(fields.get("n", "")) if isinstance(fields, dict) else ""


def translate(error: BaseException) -> PgpError:
    """Turn a driver's error into ours, by SQLSTATE: `IntegrityError` alone misses CHECK and foreign keys."""
    code, name = sqlstate(error), constraint(error)
    detail = str(getattr(error, "orig", error))[:300]
    if code in RERUN:
        return Rerun(code=code)
    if code in LATER:
        return LockTimeout(code=code, retry_after_s=2)
    if code == "23505":
        return Conflict(f"{name} is taken", constraint=name)
    if code == "23514" and name == "legal_move":
        return IllegalMove(detail)
    if code in REFUSED:
        return BrokenRule(f"{name or code}: {detail}", constraint=name)
    if code in DOWN or code.startswith(DOWN_CLASSES) or isinstance(error, (*driver.BROKEN, sa.exc.InterfaceError, sa.exc.TimeoutError)):
        return DatabaseDown(code=code)
    if getattr(error, "connection_invalidated", False):
        return DatabaseDown(code=code)
    return BrokenRule(f"{code}: {detail}")


class Transaction:
    """What a statement runs in. Rows come back as frozen dataclasses; sends become work rows before the commit."""

    def __init__(self, connection: PoolProxiedConnection, outbox: Outbox | None) -> None:
        """Take an open connection and where work rows are written."""
        self._connection = connection
        self._outbox = outbox

    def _execute(self, sql: LiteralString, values: dict[str, Any]) -> Context:
        """Run one statement past SQLAlchemy, whose way to the driver costs more than the statement; raises our errors."""
        BaseDatabaseManager.statements += 1
        text, names = driver.numbered(sql)
        try:
            return driver.execute(self._connection.dbapi_connection, text, [values[name] for name in names])
        except DatabaseError as error:
            raise translate(error) from error
        except driver.BROKEN as error:
            self._connection.invalidate(error)
            raise DatabaseDown from error

    def one(self, row: type[T], sql: LiteralString, /, **values: Any) -> T | None:
        """The only row, or None; more than one is a bug."""
        found = self.all(row, sql, **values)
        if len(found) > 1:
            raise RuntimeError(f"{len(found)} rows where there can be one")
        return found[0] if found else None

    def all(self, row: type[T], sql: LiteralString, /, **values: Any) -> list[T]:
        """Every row."""
        found = self._execute(sql, values)
        if not found.rows:
            return []
        make = _maker(cast("Any", row), tuple(column["name"] for column in found.columns))
        return [make(values) for values in found.rows]

    def value(self, sql: LiteralString, /, **values: Any) -> Any:
        """The first column of the first row, or None."""
        found = self._execute(sql, values)
        return found.rows[0][0] if found.rows else None

    def run(self, sql: LiteralString, /, **values: Any) -> int:
        """How many rows the statement touched."""
        return int(self._execute(sql, values).row_count)

    def send(self, step: str, subject: object, *, after_s: int = 0) -> None:
        """Ask for a step to run (in `after_s` seconds): its work row commits with everything else here."""
        if self._outbox is None:
            raise RuntimeError("this connection cannot send work")
        self._outbox.add(step, str(subject), after_s=after_s)

    def flush(self) -> list[Wake]:
        """Write the work rows that were asked for; gives back whom to wake after the commit."""
        return self._outbox.write(self) if self._outbox is not None else []


class BaseDatabaseManager:
    """One engine a process. A subclass adds statements, never mechanism."""

    # SQL statements of this process, for the benchmark's round trips per payment.
    statements = 0

    def __init__(self, engine: Engine, *, outbox: Callable[[], Outbox] | None = None, publish: Callable[[list[Wake]], None] | None = None) -> None:
        """Take an engine, where work rows are written, and who is told after a commit."""
        self.engine = engine
        self._outbox = outbox
        self._publish = publish
        # Every statement commits by itself unless BEGIN stands before it. Letting SQLAlchemy switch between the two modes
        # costs three more round trips each time a connection goes back to the pool (measured: half of a single statement).
        sa.event.listen(engine, "checkout", _commit_each_statement)

    def _connect(self, *, begin: bool) -> PoolProxiedConnection:
        connection = self.engine.raw_connection()
        if begin:
            try:
                _simply(connection, "BEGIN")
            except BaseException:
                connection.close()
                raise
        return connection

    @contextmanager
    def _connected(self, *, begin: bool) -> Iterator[PoolProxiedConnection]:
        try:
            connection = self._connect(begin=begin)
        except TROUBLE:
            # A connection that the server closed surfaces here in spite of the ping; the second one is fresh.
            try:
                connection = self._connect(begin=begin)
            except TROUBLE as error:
                raise DatabaseDown from error
        try:
            yield connection
        finally:
            # The pool rolls back what it takes back. A connection that breaks over that is none of the caller's concern: nothing was committed.
            with suppress(*TROUBLE):
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One transaction: commits at the end, then wakes whoever was sent work; rolls back on any error."""
        # Made before BEGIN: the keys that it signs with may have to be read anew over the network.
        outbox = self._outbox() if self._outbox else None
        # An error leaves without COMMIT, and the pool rolls back what it takes back.
        with self._connected(begin=True) as connection:
            work = Transaction(connection, outbox)
            yield work
            wakes = work.flush()
            try:
                _simply(connection, "COMMIT")
            except TROUBLE as error:
                # A deferred check speaks at commit and is an answer; a broken connection is none.
                if sqlstate(error) and not sqlstate(error).startswith(DOWN_CLASSES):
                    raise translate(error) from error
                raise CommitUnknown from error
        if wakes and self._publish:
            self._publish(wakes)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Statements that each stand alone: reads, and single guarded writes; no BEGIN and COMMIT around them."""
        with self._connected(begin=False) as connection:
            yield Transaction(connection, None)

    def insert_and_send(self, insert: LiteralString, /, *, step: str, subject: str, **values: Any) -> None:
        """Run an insert and ask for a step in one statement, which commits by itself; then wake.

        It runs a second time when its connection breaks, so the insert must bear that.
        """
        if self._outbox is None:
            raise RuntimeError("this connection cannot send work")
        try:
            wakes = self._insert_and_send(self._outbox, insert, step, subject, values)
        except DatabaseDown:
            wakes = self._insert_and_send(self._outbox, insert, step, subject, values)
        if wakes and self._publish:
            self._publish(wakes)

    def _insert_and_send(self, outbox: Callable[[], Outbox], insert: LiteralString, step: str, subject: str, values: dict[str, Any]) -> list[Wake]:
        rows = outbox()
        rows.add(step, subject, after_s=0)
        with self._connected(begin=False) as connection:
            return rows.write(Transaction(connection, None), beside=insert, **values)

    def rerun(self, work: Callable[[Transaction], R]) -> R:
        """Run a transaction, again (at most five times) when it met another one; `work` must have no other effect."""
        for turn in range(RERUNS):
            try:
                with self.transaction() as tx:
                    return work(tx)
            except Rerun:
                time.sleep(random.uniform(0.005, 0.05) * (turn + 1))  # noqa: S311 - jitter
        raise Busy("transactions keep colliding")


def _simply(connection: PoolProxiedConnection, statement: str) -> None:
    """Run a statement without values."""
    try:
        connection.dbapi_connection.execute_simple(statement)  # type: ignore[union-attr]
    except driver.BROKEN as error:
        connection.invalidate(error)
        raise


@functools.lru_cache(maxsize=2048)
def _maker(row: Any, names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any]:
    """What makes a row out of columns of these names; by place where the dataclass has them in this order."""
    if names == getattr(row, "__match_args__", None):
        return lambda values: row(*values)
    if len(set(names)) < len(names):
        raise RuntimeError(f"two columns of one name: {names}")
    return lambda values: row(**dict(zip(names, values, strict=True)))


def _commit_each_statement(connection: Any, _record: object, _proxy: object) -> None:
    connection.autocommit = True


def make_engine(url: str, *, application: str, pool: int = 2, creator: Callable[[], Any] | None = None) -> Engine:
    """An engine over pg8000: from a URL, or over `creator` (the Cloud SQL connector) with the same pool."""
    connect: dict[str, Any] = {"application_name": application, "startup_params": LIMITS}
    if url and sa.make_url(url).host in LOOPBACK:
        # The driver would build a TLS context for every connection (50 ms), which nobody on this machine needs.
        connect["ssl_context"] = False
    arguments: dict[str, Any] = {"creator": creator} if creator else {"connect_args": connect}
    engine = sa.create_engine(
        url or "postgresql+pg8000://",
        poolclass=QueuePool,
        pool_size=pool,
        max_overflow=0,
        pool_timeout=8,
        pool_pre_ping=False,
        pool_recycle=600,
        pool_use_lifo=True,
        **arguments,
    )

    sa.event.listen(engine, "connect", lambda connection, _record: driver.quicken(connection))

    @sa.event.listens_for(engine, "handle_error")
    def _broken_pipe_is_a_disconnect(context: sa.engine.ExceptionContext) -> None:
        if isinstance(context.original_exception, OSError):
            context.is_disconnect = True

    return engine
