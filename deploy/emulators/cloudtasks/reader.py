"""This is the reader: what is only looked up, and the housekeeping, on a thread and a session of their own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from deploy.emulators.cloudtasks import messages
from deploy.emulators.cloudtasks.archive import Archive
from deploy.emulators.cloudtasks.database import LOST
from deploy.emulators.cloudtasks.dispatcher import Dispatcher
from deploy.emulators.cloudtasks.refusals import Refused

T = TypeVar("T")
LOG: Final = logging.getLogger("cloudtasks")
# How soon what a dead process held is taken up, and what another process changed about queues is seen.
ROUND_S: Final = 2.0
# Names are unblocked in a dozen sweeps of the table per blocking time: a scan every five minutes for the default of an hour.
SWEEPS: Final = 12


class Reader:
    """Asks the archive without blocking the event loop."""

    def __init__(self, archive: Archive) -> None:
        """Take the archive; it is used from this reader's thread only."""
        self._archive = archive
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")

    async def call(self, ask: Callable[[Archive], T]) -> T:
        """Ask. Raises Refused when the database cannot be reached."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, ask, self._archive)
        except LOST as error:
            LOG.warning("a look-up failed: %s", error)
            raise Refused.unavailable() from None

    async def close(self) -> None:
        """End the session."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._archive.close)
        self._thread.shutdown(wait=False)


class Housekeeper:
    """What has to be done now and then: see changed queues, take up what dead processes held, unblock names."""

    def __init__(self, reader: Reader, dispatcher: Dispatcher, *, tombstone_s: float) -> None:
        """Take how many seconds the name of a task that is over stays blocked."""
        self._reader = reader
        self._dispatcher = dispatcher
        self._tombstone_s = tombstone_s
        self._next_sweep = 0.0
        self._rounds_with_others = 0

    async def run(self) -> None:
        """Keep house until cancelled."""
        while True:
            await asyncio.sleep(min(ROUND_S, max(0.2, self._tombstone_s / SWEEPS)))
            try:
                await self.round()
            except Refused:
                continue

    async def round(self) -> None:
        """Keep house once. Raises Refused when the database cannot be reached."""
        me = self._dispatcher.writer.runner
        adopted = await self._reader.call(lambda archive: archive.adopt(me))
        if adopted:
            LOG.warning("%d tasks of a process that ended are taken up", adopted)
            self._dispatcher.look_at(0.0)
        await self._see_queues()
        await self._see_others(me)
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + self._tombstone_s / SWEEPS
            await self._reader.call(lambda archive: archive.forget(self._tombstone_s))

    async def _see_queues(self) -> None:
        before, changes = set(self._dispatcher.lines), self._dispatcher.changes
        stored = await self._reader.call(lambda archive: archive.queues())
        if self._dispatcher.changes != changes:
            # What was read may be older than what a call has just done; the next round sees both.
            return
        for name, (queue_id, settings) in stored.items():
            line = self._dispatcher.lines.get(name)
            if line is None or line.settings.SerializeToString(deterministic=True) != settings:
                self._dispatcher.put_line(queue_id, messages.Queue.FromString(settings))
        for name in before - set(stored):
            self._dispatcher.drop_line(name)

    async def _see_others(self, me: int) -> None:
        others = await self._reader.call(lambda archive: archive.others(me))
        self._rounds_with_others = self._rounds_with_others + 1 if others else 0
        # A process that has just died may be seen once.
        if self._rounds_with_others == 2:  # noqa: PLR2004 - the second sight
            LOG.warning("another emulator works on this database: limits hold for each of the %d alone", others + 1)
