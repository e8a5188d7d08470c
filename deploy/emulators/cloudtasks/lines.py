"""This is the line: one queue at work in this process, what it holds and what it may send next."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from deploy.emulators.cloudtasks import messages, names, queues
from deploy.emulators.cloudtasks.pace import Bucket, Throttle
from deploy.emulators.cloudtasks.tasks import Task

# Held beyond what is on its way, so that a free place is filled without asking the database. After a crash these count as sent once, hence few.
RESERVE: Final = 32
# Long tasks wait in the database instead of in memory.
LARGEST_HELD_IN_RESERVE: Final = 64 * 1024


class Line:
    """One queue: its settings, the tasks this process holds of it, and its pace. Lives on the event loop."""

    def __init__(self, queue_id: int, settings: Any) -> None:
        """Take the queue's id and its complete settings."""
        self.id = queue_id
        self.name: str = settings.name
        self.short = names.short(settings.name)
        self.ready: deque[Task] = deque()
        self.flying: dict[str, Task] = {}
        # Admitted, but not yet known to be stored.
        self.coming = 0
        # The database has due tasks that nobody holds; a new one must not overtake them.
        self.has_backlog = True
        self.throttle = Throttle()
        self.is_waiting = False
        self.adjust(settings)

    def adjust(self, settings: Any) -> None:
        """Take changed settings."""
        self.settings = settings
        self.policy = queues.policy(settings.retry_config)
        self.most_flying = int(settings.rate_limits.max_concurrent_dispatches)
        rate, burst = settings.rate_limits.max_dispatches_per_second, float(settings.rate_limits.max_burst_size)
        self.bucket = Bucket(rate, burst, burst, time.monotonic())
        self.is_running = settings.state == messages.RUNNING

    @property
    def room(self) -> int:
        """How many more tasks this process may hold."""
        return max(0, self.most_flying + RESERVE - len(self.flying) - len(self.ready) - self.coming) if self.is_running else 0

    @property
    def runs_low(self) -> bool:
        """Whether it is time to fetch more of the backlog."""
        return self.has_backlog and self.is_running and len(self.ready) <= RESERVE // 2

    def admits(self, task: Task) -> bool:
        """Whether a new task that is due may be held from the start."""
        has_place = len(self.flying) + len(self.ready) + self.coming < self.most_flying
        return not self.has_backlog and self.room > 0 and (has_place or len(task.message) <= LARGEST_HELD_IN_RESERVE)

    def wait_s(self, now: float) -> float:
        """Seconds until the pace allows the next task; `now` is of the monotonic clock."""
        return max(self.throttle.wait_s(now), self.bucket.wait_s(now))

    def take(self) -> Task | None:
        """Give the next task that has a place, and use a token up; None when there is none."""
        if not self.is_running or len(self.flying) >= self.most_flying or not self.ready:
            return None
        self.bucket.take()
        return self.ready.popleft()

    def held(self) -> list[Task]:
        """Every task this process holds of the queue."""
        return [*self.ready, *self.flying.values()]

    def find(self, task_id: str) -> Task | None:
        """Find a held task by its id."""
        return self.flying.get(task_id) or next((task for task in self.ready if task.id == task_id), None)

    def take_out(self, task_id: str) -> Task | None:
        """Give a task that is ready, ahead of its turn; None when it is not ready here."""
        task = next((task for task in self.ready if task.id == task_id), None)
        if task is not None:
            self.ready.remove(task)
        return task

    def drop(self, gone: set[str] | None = None) -> None:
        """Forget held tasks (these, or all): those on their way finish, and nothing is written of them."""
        for task in self.held():
            if gone is None or task.id in gone:
                task.gone = True
        self.ready = deque(task for task in self.ready if not task.gone)
