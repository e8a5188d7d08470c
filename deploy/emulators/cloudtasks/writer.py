"""This is the writer: it gathers what is to be written into few commits, one at a time, and makes a lost session again.

While one batch is being written the next one gathers, so the busier the queue, the fewer commits a task costs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from deploy.emulators.cloudtasks.database import LOST
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.store import Batch, Key, Store, Written
from deploy.emulators.cloudtasks.tasks import Task

T = TypeVar("T")
LOG: Final = logging.getLogger("cloudtasks")
# What is over waits so long for company: nobody waits for it, and each commit saved is worth as much as a delivery.
GATHER_S: Final = 0.02
RECONNECT_S: Final = 0.5


class Writer:
    """The one place that writes tasks. Lives on the event loop; the store is used from its thread only."""

    def __init__(self, store: Store, *, held: Callable[[], Iterable[Task]], kept: Callable[[set[Key]], None]) -> None:
        """Take the store (open), what the process holds, and who is told what is left of it after a lost session."""
        self._store = store
        self._held = held
        self._kept = kept
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._next = Batch()
        self._created: dict[Key, list[tuple[asyncio.Future[bool], Callable[[bool], None]]]] = {}
        self._claimed: Callable[[Written | None], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._lost = False
        self._closing = False

    def create(self, task: Task, then: Callable[[bool], None]) -> asyncio.Future[bool]:
        """Write a new task. The result: whether it is stored (True) or its name was taken; it raises Refused if that is not known.

        `then` hears the same (False for not known) whether or not anybody still waits for the result.
        """
        future: asyncio.Future[bool] = self._loop.create_future()
        if self._lost or self._closing:
            then(False)  # noqa: FBT003 - a callback
            future.set_exception(Refused.unavailable())
            return future
        waiting = self._created.setdefault(task.key, [])
        waiting.append((future, then))
        if len(waiting) == 1:
            self._next.new[task.key] = task
        self._flush_in(0.0)
        return future

    def end(self, task: Task) -> None:
        """Write that a held task is over; tried until it is written."""
        self._next.over.append(task)
        self._flush_in(GATHER_S)

    def put_back(self, task: Task) -> None:
        """Write what became of a held task and hold it no longer; tried until it is written."""
        self._next.back.append(task)
        self._flush_in(GATHER_S)

    def claim(self, rooms: Mapping[int, int], now: float, then: Callable[[Written | None], None]) -> None:
        """Fetch due tasks, after all that was handed in before. One claim at a time. `then` hears None if it failed."""
        if self._lost or self._closing:
            then(None)
            return
        self._next.rooms, self._next.now, self._claimed = rooms, now, then
        self._flush_in(0.0)

    async def call(self, work: Callable[[], T]) -> T:
        """Run one of the store's other writes. Raises Refused when the session is lost."""
        if self._lost:
            raise Refused.unavailable()
        try:
            return await self._loop.run_in_executor(self._thread, work)
        except LOST as error:
            self._went_away(error)
            raise Refused.unavailable() from None

    async def close(self) -> None:
        """Write what is left, as far as the database can be reached, and end."""
        self._closing = True
        while not self._lost and (self._busy or self._next.over or self._next.back or self._next.new):
            self._flush()
            await asyncio.sleep(0.005)
        try:
            await self._loop.run_in_executor(self._thread, self._store.close)
        except LOST as error:
            LOG.warning("the database was lost while stopping: %s", error)
        self._thread.shutdown(wait=False)

    @property
    def runner(self) -> int:
        """The id under which this process holds tasks now."""
        return self._store.me

    def _flush_in(self, seconds: float) -> None:
        if self._busy or self._lost:
            return
        when = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._busy or self._lost:
            return
        batch, waiting, claimed = self._next, self._created, self._claimed
        if not (batch.new or batch.over or batch.back or batch.rooms):
            return
        self._next, self._created, self._claimed = Batch(), {}, None
        self._busy = True
        future = self._loop.run_in_executor(self._thread, self._store.write, batch)
        future.add_done_callback(partial(self._after, batch, waiting, claimed))

    def _after(
        self,
        batch: Batch,
        waiting: dict[Key, list[tuple[asyncio.Future[bool], Callable[[bool], None]]]],
        claimed: Callable[[Written | None], None] | None,
        done: asyncio.Future[Written],
    ) -> None:
        self._busy = False
        error = done.exception()
        if error is not None:
            # Written or not, these may be written again; of what was new only the row itself could tell.
            self._next.over[:0], self._next.back[:0] = batch.over, batch.back
        written = None if error else done.result()
        for key, asked in waiting.items():
            stored = written is not None and key in written.created
            for future, then in asked:
                then(stored)
                if not future.done():
                    future.set_exception(Refused.unavailable()) if written is None else future.set_result(stored)
                # A name asked for twice at once is created once.
                stored = False
        if claimed is not None:
            claimed(written)
        if self._lost:
            self._reconnect()
        elif error is not None:
            self._went_away(error)
        elif self._next.new or self._next.rooms:
            self._flush_in(0.0)
        elif self._next.over or self._next.back:
            self._flush_in(GATHER_S)

    def _went_away(self, error: BaseException) -> None:
        if self._lost:
            return
        LOG.warning("the database session was lost: %s", error)
        self._lost = True
        waiting, self._created, self._next.new = self._created, {}, {}
        claimed, self._claimed, self._next.rooms = self._claimed, None, None
        for asked in waiting.values():
            for future, then in asked:
                then(False)  # noqa: FBT003 - a callback
                if not future.done():
                    future.set_exception(Refused.unavailable())
        if claimed is not None:
            claimed(None)
        # What is being written belongs to what is known; `_after` goes on from here.
        if not self._busy:
            self._reconnect()

    def _reconnect(self) -> None:
        if self._closing:
            return
        known = {task.key for task in [*self._held(), *self._next.over, *self._next.back]}
        future = self._loop.run_in_executor(self._thread, self._store.open, known)
        future.add_done_callback(self._reconnected)

    def _reconnected(self, done: asyncio.Future[set[Key]]) -> None:
        if done.exception() is not None:
            self._loop.call_later(RECONNECT_S, self._reconnect)
            return
        LOG.warning("the database session is back")
        self._lost = False
        self._kept(done.result())
        self._flush_in(0.0)
