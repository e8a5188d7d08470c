"""This is the dispatcher: it decides what is sent when, and what becomes of it after the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from deploy.emulators.cloudtasks import messages, queues
from deploy.emulators.cloudtasks.delivery import Answer, Post
from deploy.emulators.cloudtasks.lines import Line
from deploy.emulators.cloudtasks.pace import LONGEST_RETRY_AFTER_S, SLOW_DOWN
from deploy.emulators.cloudtasks.store import Key, Written
from deploy.emulators.cloudtasks.tasks import Task
from deploy.emulators.cloudtasks.writer import Writer

LOG: Final = logging.getLogger("cloudtasks")
# Times that fall together are served by one look into the database.
CLOSEST_LOOKS_S: Final = 0.005
LARGEST_CLAIM: Final = 100


class Dispatcher:
    """All lines of this process. Lives on the event loop."""

    def __init__(self, post: Post, *, poll_s: float) -> None:
        """Take the sender, and how many seconds may pass without a look into the database. `writer` is set before anything is asked of it."""
        self.lines: dict[str, Line] = {}
        self.writer: Writer
        self._by_id: dict[int, Line] = {}
        self._post = post
        self._poll_s = poll_s
        self._loop = asyncio.get_running_loop()
        self._attempts: set[asyncio.Task[None]] = set()
        self._look_timer: asyncio.TimerHandle | None = None
        self._look_at = float("inf")
        self._is_looking = False
        self._look_again = False
        self._is_stopping = False
        # Counts what this process did to lines, for whoever compares them with what he read a moment ago.
        self.changes = 0

    def put_line(self, queue_id: int, settings: Any) -> Line:
        """Open a line for a queue, or adjust the one there is."""
        self.changes += 1
        line = self.lines.get(settings.name)
        if line is None or line.id != queue_id:
            self.drop_line(settings.name)
            line = self.lines[settings.name] = self._by_id[queue_id] = Line(queue_id, settings)
        elif line.settings != settings:
            line.adjust(settings)
        self._pump(line)
        self.look_at(0.0)
        return line

    def drop_line(self, name: str) -> None:
        """Close the line of a queue that is gone."""
        self.changes += 1
        line = self.lines.pop(name, None)
        if line is not None:
            del self._by_id[line.id]
            line.drop()
            line.is_running = False

    def held(self) -> Iterable[Task]:
        """Every task this process holds."""
        return [task for line in self._by_id.values() for task in line.held()]

    def keep_only(self, ours: set[Key]) -> None:
        """After a lost session: forget what this process no longer holds."""
        for line in self._by_id.values():
            line.drop({task.id for task in line.held()} - {task_id for queue_id, task_id in ours if queue_id == line.id})
            line.has_backlog = True
        self.look_at(0.0)

    def create(self, line: Line, task: Task) -> asyncio.Future[bool]:
        """Store a new task and deliver it when it is due. The result is `Writer.create`'s."""
        task.held = task.due <= time.time() and line.admits(task)
        line.coming += task.held
        return self.writer.create(task, partial(self._created, line, task))

    def _created(self, line: Line, task: Task, stored: bool) -> None:
        line.coming -= task.held
        if not stored:
            return
        if task.held:
            self._hold(line, task)
            self._pump(line)
        elif task.due > time.time():
            self.look_at(task.due)
        else:
            line.has_backlog = True
            if line.room:
                self.look_at(0.0)

    def _hold(self, line: Line, task: Task) -> None:
        if self._is_stopping:
            self.writer.put_back(task)
        else:
            line.ready.append(task)

    def look_at(self, when: float) -> None:
        """Look for due tasks at this time (seconds since 1970) at the latest."""
        if when >= self._look_at or self._is_stopping:
            return
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._look_at = when
        self._look_timer = self._loop.call_later(max(CLOSEST_LOOKS_S, when - time.time()), self._look)

    def _look(self) -> None:
        self._look_at = float("inf")
        if self._is_looking:
            self._look_again = True
            return
        rooms = {line.id: min(line.room, LARGEST_CLAIM) for line in self._by_id.values() if line.room}
        if rooms:
            self._is_looking = True
            self.writer.claim(rooms, time.time(), partial(self._looked, rooms))
        self.look_at(time.time() + self._poll_s)

    def _looked(self, rooms: dict[int, int], written: Written | None) -> None:
        self._is_looking = False
        if written is not None:
            self._take_in(rooms, written)
        if self._look_again:
            self._look_again = False
            self.look_at(0.0)

    def _take_in(self, rooms: dict[int, int], written: Written) -> None:
        got = dict.fromkeys(rooms, 0)
        for task in written.claimed:
            got[task.queue_id] += 1
            line = self._by_id.get(task.queue_id)
            if line is not None:
                self._hold(line, task)
        for queue_id, wanted in rooms.items():
            line = self._by_id.get(queue_id)
            if line is not None:
                line.has_backlog = got[queue_id] == wanted
                self._pump(line)
                if line.runs_low:
                    self.look_at(0.0)
        if written.next_due is not None:
            self.look_at(written.next_due)

    def _pump(self, line: Line) -> None:
        line.is_waiting = False
        while not self._is_stopping:
            wait = line.wait_s(self._loop.time())
            if wait > 0:
                self._pump_later(line, wait)
                return
            task = line.take()
            if task is None:
                return
            self.send(line, task)

    def _pump_later(self, line: Line, wait: float) -> None:
        if not line.is_waiting and line.ready:
            line.is_waiting = True
            self._loop.call_later(wait, self._pump, line)

    def send(self, line: Line, task: Task) -> None:
        """Send a held task now, whatever the pace."""
        task.sent(time.time())
        line.flying[task.id] = task
        attempt = self._loop.create_task(self._attempt(line, task))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempted)

    def _attempted(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        if not attempt.cancelled() and attempt.exception() is not None:
            LOG.error("an attempt broke off; it counts as one without an answer", exc_info=attempt.exception())

    async def _attempt(self, line: Line, task: Task) -> None:
        started = self._loop.time()
        message = messages.Task.FromString(task.message)
        answer = Answer(0)
        try:
            answer = await self._post.send(task, message, line.short)
        finally:
            if line.flying.get(task.id) is task:
                del line.flying[task.id]
            self._settle(line, task, message, answer)
        line.throttle.note(answer.code, retry_after_s=answer.retry_after_s, dispatched_at=started, now=self._loop.time())
        self._pump(line)
        if line.runs_low:
            self.look_at(0.0)

    def _settle(self, line: Line, task: Task, message: Any, answer: Answer) -> None:
        now = time.time()
        task.answered(answer.code, now)
        if task.gone:
            return
        if answer.is_success:
            self.writer.end(task)
            return
        policy = queues.policy(message.retry_config, line.policy) if message.HasField("retry_config") else line.policy
        first = task.first_dispatch or now
        if policy.is_spent(attempts=task.dispatches, since_first_s=now - first, since_created_s=now - task.created):
            LOG.warning("task %s of %s is dropped: %d attempts, the last answer was %d", task.id, line.name, task.dispatches, answer.code)
            self.writer.end(task)
            return
        asked = min(answer.retry_after_s, LONGEST_RETRY_AFTER_S) if answer.code in SLOW_DOWN else 0.0
        task.due = now if self._is_stopping else now + max(policy.backoff_s(task.dispatches), asked)
        self.writer.put_back(task)
        self.look_at(task.due)

    async def stop(self, grace_s: float) -> None:
        """Send nothing more, give what is on its way `grace_s` seconds, and put the rest back, to be sent at once by the next process."""
        self._is_stopping = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        for line in self._by_id.values():
            while line.ready:
                self.writer.put_back(line.ready.popleft())
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=grace_s)
        for attempt in self._attempts:
            attempt.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
