"""This is the writer: it gathers what is to be written into few commits, one at a time, and makes a lost session again.

While one batch is being written the next one gathers, so the busier the queue, the fewer commits a task costs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any, Final, TypeVar

from deploy.emulators.cloudtasks.database import LOST
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.store import Batch, Key, Store, Written
from deploy.emulators.cloudtasks.tasks import Task

T = TypeVar("T")
LOG: Final = logging.getLogger("cloudtasks")
# What is over waits so long for company: nobody waits for it, and each commit saved is worth as much as a delivery.
GATHER_S: Final = 0.02
RECONNECT_S: Final = 0.5


@dataclass
class Asked:
    """Who waits for what a batch brings."""

    created: dict[Key, list[tuple[asyncio.Future[bool], Callable[[bool], None]]]] = field(default_factory=dict)
    claimed: Callable[[Written | None], None] | None = None
    # Other writes, done after those of the batch, so that everything happens in the order in which it was asked for.
    calls: list[tuple[asyncio.Future[Any], Callable[[], Any]]] = field(default_factory=list)

    def answer(self, written: Written | None, results: Sequence[Any]) -> None:
        """Tell everybody; without `written` that it is not known."""
        for key, waiting in self.created.items():
            stored = written is not None and key in written.created
            for future, then in waiting:
                then(stored)
                settle(future, written, stored)
                # A name asked for twice at once is created once.
                stored = False
        if self.claimed is not None:
            self.claimed(written)
        for (future, _), result in zip_longest(self.calls, results):
            settle(future, written, result)


def settle(future: asyncio.Future[Any], written: Written | None, result: Any) -> None:
    """Give a result, or the refusal that nothing is known, to whoever still waits for it."""
    if future.done():
        return
    if written is None:
        future.set_exception(Refused.unavailable())
    else:
        future.set_result(result)


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
        self._asked = Asked()
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
        waiting = self._asked.created.setdefault(task.key, [])
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
        self._next.rooms, self._next.now, self._asked.claimed = rooms, now, then
        self._flush_in(0.0)

    async def call(self, work: Callable[[], T]) -> T:
        """Run one of the store's other writes, after all that was handed in before. Raises Refused when the session is lost."""
        if self._lost or self._closing:
            raise Refused.unavailable()
        future: asyncio.Future[T] = self._loop.create_future()
        self._asked.calls.append((future, work))
        self._flush_in(0.0)
        return await future

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
        batch, asked = self._next, self._asked
        if not (batch.new or batch.over or batch.back or batch.rooms or asked.calls):
            return
        self._next, self._asked, self._busy = Batch(), Asked(), True
        future = self._loop.run_in_executor(self._thread, self._write, batch, asked)
        future.add_done_callback(partial(self._after, batch, asked))

    def _write(self, batch: Batch, asked: Asked) -> tuple[Written, list[Any]]:
        return self._store.write(batch), [work() for _, work in asked.calls]

    def _after(self, batch: Batch, asked: Asked, done: asyncio.Future[tuple[Written, list[Any]]]) -> None:
        self._busy = False
        error = done.exception()
        if error is not None:
            LOG.warning("the database session was lost: %s", error)
            self._lost = True
            # Written or not, these may be written again; of the rest only the rows themselves could tell.
            self._next = Batch(over=batch.over + self._next.over, back=batch.back + self._next.back)
            later, self._asked = self._asked, Asked()
            asked.answer(None, ())
            later.answer(None, ())
            self._reconnect()
            return
        asked.answer(*done.result())
        if self._next.new or self._next.rooms or self._asked.calls:
            self._flush_in(0.0)
        elif self._next.over or self._next.back:
            self._flush_in(GATHER_S)

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
