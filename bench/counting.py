"""What one payment costs in questions: SQL statements as the server counts them, tasks as the queue does, vendors' calls as they do."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from bench import store
from bench.fleet import Fleet
from PGP_COMMON.fleet import FLEET

# The server's own log, one line a statement: who (the service's name), and whether a plan was made, values bound, or all at once.
_LINE: Final = re.compile(r"^([a-z0-9-]+)\|LOG:  duration: [0-9.]+ ms  (parse|execute|statement)[^:]*:\s+(\w+)", re.MULTILINE)
# How long the server's sessions take to see a changed setting.
RELOAD_S: Final = 1.5
ENDS: Final = frozenset({"BEGIN", "COMMIT", "ROLLBACK"})


@dataclass(frozen=True)
class Questions:
    """What one payment asked for, on average.

    `statements`: round trips to the database by program, BEGIN and COMMIT among them, which `ends` counts. `tasks`: what the queue delivered, by service.
    `vendors`: calls, by vendor and operation. `statements` is empty when the server is not ours to ask.
    """

    payments: int
    statements: dict[str, float]
    ends: dict[str, float]
    tasks: dict[str, float]
    vendors: dict[str, float]


def count(fleet: Fleet, payments: int, work: Callable[[], object]) -> Questions:
    """Count what so many payments ask for while they are carried through."""
    log = fleet.state.logs / "postgres.log"
    tasks, calls = _tasks(fleet), fleet.calls()
    statements: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    with _told(fleet):
        begin = log.stat().st_size if log.exists() else 0
        work()
    if log.exists():
        with log.open("rb") as book:
            book.seek(begin)
            for name, kind, word in _LINE.findall(book.read().decode(errors="replace")):
                statements[name] += 1
                ends[name] += kind == "statement" and word.upper() in ENDS
    own = {service.name for service in FLEET} | {"cloudtasks"}
    return Questions(
        payments,
        {name: number / payments for name, number in statements.most_common() if name in own},
        {name: number / payments for name, number in ends.items() if name in own},
        {name: number / payments for name, number in (_tasks(fleet) - tasks).most_common()},
        {name: number / payments for name, number in (fleet.calls() - calls).most_common() if "/_control" not in name},
    )


def _tasks(fleet: Fleet) -> Counter[str]:
    """Delivered tasks by service."""
    owner = {route.queue.name: service.name for service in FLEET for route in service.routes if route.queue is not None}
    with fleet.db.reading() as tx:
        found = store.delivered(tx)
    tasks: Counter[str] = Counter()
    for queue, number in found.items():
        tasks[owner.get(queue, queue)] += number
    return tasks


@contextmanager
def _told(fleet: Fleet) -> Iterator[None]:
    """Let the server write every statement into its log meanwhile, if it is the fleet's own server, whose superuser we are."""
    if "postgres" not in {entry.name for entry in fleet.programs}:
        yield
        return
    engine = sa.create_engine(fleet.known["DATABASE_URL"], isolation_level="AUTOCOMMIT")
    try:
        _say(engine, "ALTER SYSTEM SET log_min_duration_statement = 0", "ALTER SYSTEM SET log_line_prefix = '%a|'")
        yield
    finally:
        _say(engine, "ALTER SYSTEM RESET log_min_duration_statement", "ALTER SYSTEM RESET log_line_prefix")
        engine.dispose()


def _say(engine: sa.Engine, *statements: str) -> None:
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        for statement in (*statements, "SELECT pg_reload_conf()"):
            driver.execute_simple(statement)  # type: ignore[union-attr]
    time.sleep(RELOAD_S)
