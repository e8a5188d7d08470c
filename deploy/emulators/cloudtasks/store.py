"""This is the store: every SQL statement of the queue.

A row whose `runner_id` is set is held: only the process behind that runner may deliver it. The runner's advisory lock is the lease: it ends with the
session, so a process that was killed holds nothing from the moment PostgreSQL sees its socket close, and no clock is involved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deploy.emulators.cloudtasks.database import Database, Rows, blobs, booleans, numbers, texts
from deploy.emulators.cloudtasks.tasks import Task

Key = tuple[int, str]
LOCK_CLASS: Final = 14350
SCHEMA: Final = Path(__file__).with_name("schema.sql")

COLUMNS: Final = """t.queue_id, t.id, extract(epoch FROM t.due)::float8, extract(epoch FROM t.created)::float8, t.message,
    t.dispatches, t.responses, t.executions, extract(epoch FROM t.first_dispatch)::float8, extract(epoch FROM t.last_due)::float8,
    extract(epoch FROM t.last_dispatch)::float8, extract(epoch FROM t.last_response)::float8, t.last_code"""

# One statement and one commit for what was created and what is over, however many of each. The join leaves out queues deleted meanwhile.
WRITE: Final = """
WITH ended AS (
    UPDATE cloudtasks.task t SET over = now(), message = '', runner_id = NULL
    FROM unnest(CAST(:over_queues AS integer[]), CAST(:over_ids AS text[])) AS o (queue_id, id)
    WHERE t.queue_id = o.queue_id AND t.id = o.id AND t.over IS NULL AND t.runner_id = CAST(:me AS integer)
)
INSERT INTO cloudtasks.task (queue_id, id, due, created, message, runner_id)
SELECT n.queue_id, n.id, to_timestamp(n.due), to_timestamp(n.created), n.message, CASE WHEN n.held THEN CAST(:me AS integer) END
FROM unnest(CAST(:queues AS integer[]), CAST(:ids AS text[]), CAST(:dues AS float8[]), CAST(:createds AS float8[]),
            CAST(:messages AS bytea[]), CAST(:helds AS boolean[])) AS n (queue_id, id, due, created, message, held)
JOIN cloudtasks.queue q ON q.id = n.queue_id
ON CONFLICT (queue_id, id) DO NOTHING
RETURNING queue_id, id"""

PUT_BACK: Final = """
UPDATE cloudtasks.task t
SET runner_id = NULL, due = to_timestamp(b.due), dispatches = b.dispatches, responses = b.responses, executions = b.executions,
    first_dispatch = to_timestamp(b.first_dispatch), last_due = to_timestamp(b.last_due), last_dispatch = to_timestamp(b.last_dispatch),
    last_response = to_timestamp(b.last_response), last_code = b.last_code
FROM unnest(CAST(:queues AS integer[]), CAST(:ids AS text[]), CAST(:dues AS float8[]), CAST(:dispatches AS integer[]),
            CAST(:responses AS integer[]), CAST(:executions AS integer[]), CAST(:first_dispatches AS float8[]),
            CAST(:last_dues AS float8[]), CAST(:last_dispatches AS float8[]), CAST(:last_responses AS float8[]), CAST(:last_codes AS integer[]))
    AS b (queue_id, id, due, dispatches, responses, executions, first_dispatch, last_due, last_dispatch, last_response, last_code)
WHERE t.queue_id = b.queue_id AND t.id = b.id AND t.over IS NULL AND t.runner_id = CAST(:me AS integer)"""

CLAIM: Final = f"""
WITH due AS (
    SELECT w.queue_id, d.id
    FROM unnest(CAST(:queues AS integer[]), CAST(:rooms AS integer[])) AS w (queue_id, room)
    CROSS JOIN LATERAL (
        SELECT id FROM cloudtasks.task
        WHERE queue_id = w.queue_id AND over IS NULL AND runner_id IS NULL AND due <= to_timestamp(CAST(:now AS float8))
        ORDER BY due LIMIT w.room FOR UPDATE SKIP LOCKED
    ) d
)
UPDATE cloudtasks.task t SET runner_id = CAST(:me AS integer)
FROM due WHERE t.queue_id = due.queue_id AND t.id = due.id
RETURNING {COLUMNS}"""

NEXT_DUE: Final = """
SELECT extract(epoch FROM min(d.due))::float8
FROM unnest(CAST(:queues AS integer[])) AS w (queue_id)
CROSS JOIN LATERAL (
    SELECT due FROM cloudtasks.task
    WHERE queue_id = w.queue_id AND over IS NULL AND runner_id IS NULL AND due > to_timestamp(CAST(:now AS float8))
    ORDER BY due LIMIT 1
) d"""

CLAIM_ONE: Final = f"""
UPDATE cloudtasks.task t SET runner_id = CAST(:me AS integer)
WHERE t.queue_id = CAST(:queue AS integer) AND t.id = CAST(:id AS text) AND t.over IS NULL AND t.runner_id IS NULL
RETURNING {COLUMNS}"""

DELETE: Final = """
UPDATE cloudtasks.task t SET over = now(), message = '', runner_id = NULL
FROM unnest(CAST(:ids AS text[])) AS d (id)
WHERE t.queue_id = CAST(:queue AS integer) AND t.id = d.id AND t.over IS NULL
RETURNING t.id"""

PURGE: Final = """
UPDATE cloudtasks.task SET over = now(), message = '', runner_id = NULL WHERE queue_id = CAST(:queue AS integer) AND over IS NULL"""

SAVE_QUEUE: Final = """
INSERT INTO cloudtasks.queue (name, settings) VALUES (CAST(:name AS text), CAST(:settings AS bytea))
ON CONFLICT (name) DO UPDATE SET settings = excluded.settings RETURNING id"""

ADD_QUEUE: Final = """
INSERT INTO cloudtasks.queue (name, settings) VALUES (CAST(:name AS text), CAST(:settings AS bytea))
ON CONFLICT (name) DO NOTHING RETURNING id"""

DROP_QUEUE: Final = """
WITH gone AS (DELETE FROM cloudtasks.task WHERE queue_id = CAST(:queue AS integer))
DELETE FROM cloudtasks.queue WHERE id = CAST(:queue AS integer) RETURNING id"""

# What the lost session held and this process still knows goes to its new runner; the rest waits until the old runner is found dead.
MOVE_OVER: Final = """
UPDATE cloudtasks.task t SET runner_id = CAST(:me AS integer)
FROM unnest(CAST(:queues AS integer[]), CAST(:ids AS text[])) AS k (queue_id, id)
WHERE t.queue_id = k.queue_id AND t.id = k.id AND t.over IS NULL AND t.runner_id = CAST(:before AS integer)
RETURNING t.queue_id, t.id"""

LEAVE: Final = """
DELETE FROM cloudtasks.runner
WHERE id = CAST(:me AS integer) AND NOT EXISTS (SELECT FROM cloudtasks.task WHERE runner_id = CAST(:me AS integer))"""


@dataclass
class Batch:
    """What is written, and then fetched, in one go."""

    new: dict[Key, Task] = field(default_factory=dict)
    over: list[Task] = field(default_factory=list)
    back: list[Task] = field(default_factory=list)
    # Queue id → how many due tasks are wanted; None when nothing is to be fetched.
    rooms: Mapping[int, int] | None = None
    now: float = 0.0


@dataclass
class Written:
    """What came of a batch: the keys that were created, the tasks that were fetched, when the next one is due."""

    created: set[Key]
    claimed: list[Task]
    next_due: float | None


def task_of(row: Sequence[Any], *, held: bool = False) -> Task:
    """Read a row of COLUMNS."""
    task = Task(*row[:13])
    task.held = held
    return task


class Store:
    """The statements that write tasks, over the session whose lock makes this process a runner."""

    def __init__(self, url: str) -> None:
        """Take the address of the database; nothing is connected yet. Raises ValueError for a wrong address."""
        # Plans are made while the tables are small and kept when they are not: a scan of the table must never be one.
        plans = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "plan_cache_mode": "force_generic_plan"}
        self._db = Database(url, name="cloudtasks", settings=plans)
        self._me = 0

    @property
    def me(self) -> int:
        """The id of this process's runner; another after each lost session."""
        return self._me

    def open(self, known: Iterable[Key] = ()) -> set[Key]:
        """Start a session as a new runner and take over what the lost one held, as far as it is known; gives what is still ours."""
        self._db.open()
        self._db.script(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, 0); {SCHEMA.read_text()}")
        before = self._me
        ((me,),) = self._db.run(
            f"WITH new AS (INSERT INTO cloudtasks.runner DEFAULT VALUES RETURNING id) SELECT id FROM new, pg_advisory_lock({LOCK_CLASS}, id)"
        )
        keys = list(known)
        rows = self._db.run(MOVE_OVER, me=me, before=before, queues=numbers(k[0] for k in keys), ids=texts(k[1] for k in keys)) if keys else []
        self._me = me
        return {(queue, task_id) for queue, task_id in rows}

    def close(self) -> None:
        """Give up being a runner. If anything is still held its row stays, for the next process to find."""
        if self._db.is_open:
            self._db.run(LEAVE, me=self._me)
        self._db.close()

    def write(self, batch: Batch) -> Written:
        """Write a batch, then fetch what is due. On an error what was created is unknown; everything else may be written again."""
        if batch.back:
            self._put_back(batch.back)
        created = self._db.run(WRITE, **self._write_values(batch)) if batch.new or batch.over else []
        claimed: Rows = []
        next_due = None
        if batch.rooms:
            queues = numbers(batch.rooms)
            claimed = self._db.run(CLAIM, me=self._me, queues=queues, rooms=numbers(batch.rooms.values()), now=batch.now)
            ((next_due,),) = self._db.run(NEXT_DUE, queues=queues, now=batch.now)
        return Written({(queue, task_id) for queue, task_id in created}, [task_of(row, held=True) for row in claimed], next_due)

    def _write_values(self, batch: Batch) -> dict[str, Any]:
        new, over = batch.new.values(), batch.over
        return {
            "me": self._me,
            "over_queues": numbers(task.queue_id for task in over),
            "over_ids": texts(task.id for task in over),
            "queues": numbers(task.queue_id for task in new),
            "ids": texts(task.id for task in new),
            "dues": numbers(task.due for task in new),
            "createds": numbers(task.created for task in new),
            "messages": blobs(task.message for task in new),
            "helds": booleans(task.held for task in new),
        }

    def _put_back(self, back: Sequence[Task]) -> None:
        self._db.run(
            PUT_BACK,
            me=self._me,
            queues=numbers(task.queue_id for task in back),
            ids=texts(task.id for task in back),
            dues=numbers(task.due for task in back),
            dispatches=numbers(task.dispatches for task in back),
            responses=numbers(task.responses for task in back),
            executions=numbers(task.executions for task in back),
            first_dispatches=numbers(task.first_dispatch for task in back),
            last_dues=numbers(task.last_due for task in back),
            last_dispatches=numbers(task.last_dispatch for task in back),
            last_responses=numbers(task.last_response for task in back),
            last_codes=numbers(task.last_code for task in back),
        )

    def claim_one(self, key: Key) -> Task | None:
        """Hold one task, due or not; None when it is over or held already."""
        rows = self._db.run(CLAIM_ONE, me=self._me, queue=key[0], id=key[1])
        return task_of(rows[0], held=True) if rows else None

    def delete(self, queue_id: int, ids: Iterable[str]) -> set[str]:
        """End tasks; gives the ids that were there to end."""
        return {task_id for (task_id,) in self._db.run(DELETE, queue=queue_id, ids=texts(ids))}

    def purge(self, queue_id: int) -> None:
        """End every task of a queue."""
        self._db.run(PURGE, queue=queue_id)

    def settings_of(self, queue: str) -> bytes | None:
        """The stored settings of a queue; None when there is none of this name."""
        rows = self._db.run("SELECT settings FROM cloudtasks.queue WHERE name = CAST(:name AS text)", name=queue)
        return bytes(rows[0][0]) if rows else None

    def add_queue(self, name: str, settings: bytes) -> int | None:
        """Make a queue; None when there is one of this name."""
        rows = self._db.run(ADD_QUEUE, name=name, settings=settings)
        return int(rows[0][0]) if rows else None

    def save_queue(self, name: str, settings: bytes) -> int:
        """Make a queue or change it; gives its id."""
        return int(self._db.run(SAVE_QUEUE, name=name, settings=settings)[0][0])

    def drop_queue(self, queue_id: int) -> bool:
        """Remove a queue with all its tasks and names; False when it was not there."""
        return bool(self._db.run(DROP_QUEUE, queue=queue_id))
