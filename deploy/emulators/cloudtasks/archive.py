"""This is the archive: what is only looked up, and what keeps house, on a session of its own that never stands in the way of a create."""

from __future__ import annotations

from typing import Any, Final

from deploy.emulators.cloudtasks.database import Database, Rows
from deploy.emulators.cloudtasks.store import COLUMNS, LOCK_CLASS, Key, task_of
from deploy.emulators.cloudtasks.tasks import Task

FIND: Final = f"""
SELECT {COLUMNS}, t.over IS NOT NULL FROM cloudtasks.task t WHERE t.queue_id = CAST(:queue AS integer) AND t.id = CAST(:id AS text)"""

PAGE: Final = f"""
SELECT {COLUMNS} FROM cloudtasks.task t
WHERE t.queue_id = CAST(:queue AS integer) AND t.id > CAST(:after AS text) COLLATE "C" AND t.over IS NULL
ORDER BY t.id LIMIT CAST(:size AS integer)"""

# Whoever gets a runner's lock knows that its session has ended.
DEAD: Final = f"SELECT id FROM cloudtasks.runner WHERE id <> CAST(:me AS integer) AND pg_try_advisory_xact_lock({LOCK_CLASS}, id)"

# A task that was held may have been on its way, so it counts as sent once: a receiver that sees "retry 0" may rely on it.
ADOPT: Final = f"""
WITH dead AS (
    DELETE FROM cloudtasks.runner WHERE id <> CAST(:me AS integer) AND pg_try_advisory_xact_lock({LOCK_CLASS}, id) RETURNING id
)
UPDATE cloudtasks.task t
SET runner_id = NULL, dispatches = dispatches + 1, first_dispatch = coalesce(first_dispatch, now()), last_code = 0
FROM dead WHERE t.runner_id = dead.id AND t.over IS NULL RETURNING t.id"""

FORGET: Final = "DELETE FROM cloudtasks.task WHERE over < now() - make_interval(secs => CAST(:seconds AS float8))"


class Archive:
    """The look-ups and the housekeeping. Used from one thread; a lost session is made again with the next call."""

    def __init__(self, url: str) -> None:
        """Take the address of the database; nothing is connected yet. Raises ValueError for a wrong address."""
        self._db = Database(url, name="cloudtasks-archive", settings={})

    def close(self) -> None:
        """End the session."""
        self._db.close()

    def _run(self, statement: str, **values: Any) -> Rows:
        if not self._db.is_open:
            self._db.open()
        return self._db.run(statement, **values)

    def queues(self) -> dict[str, tuple[int, bytes]]:
        """Every queue: name → id and settings."""
        return {name: (queue_id, settings) for queue_id, name, settings in self._run("SELECT id, name, settings FROM cloudtasks.queue")}

    def find(self, key: Key) -> tuple[Task, bool] | None:
        """A task and whether it is over; None when the name was never used, or not lately."""
        rows = self._run(FIND, queue=key[0], id=key[1])
        return (task_of(rows[0]), bool(rows[0][13])) if rows else None

    def page(self, queue_id: int, *, after: str, size: int) -> list[Task]:
        """The tasks of a queue by id, `size` of them after the id given."""
        return [task_of(row) for row in self._run(PAGE, queue=queue_id, after=after, size=size)]

    def adopt(self, me: int) -> int:
        """Set free what dead runners held; gives how many tasks that were."""
        return len(self._run(ADOPT, me=me)) if self._run(DEAD, me=me) else 0

    def others(self, me: int) -> int:
        """How many other runners there are: more than none means two emulators on one database."""
        return int(self._run("SELECT count(*) FROM cloudtasks.runner WHERE id <> CAST(:me AS integer)", me=me)[0][0])

    def forget(self, seconds: float) -> None:
        """Unblock the names of tasks that are over for longer than this."""
        self._run(FORGET, seconds=seconds)
