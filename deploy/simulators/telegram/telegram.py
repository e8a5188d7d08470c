"""What every method of the Bot API gets: the world, the queue of updates, and a place for what must wait for the commit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.updates import UpdateQueue
from deploy.simulators.telegram.world import World

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """A method's answer that comes with a description."""

    value: Any
    description: str


@dataclass
class Telegram:
    """One simulated Telegram with one bot."""

    world: World
    updates: UpdateQueue
    # The real server takes one setWebhook a second.
    set_webhook_pause_s: float = 1.0
    next_set_webhook: float = 0.0
    # The courier puts its own in.
    webhook_changed: Callable[[], None] = lambda: None
    _waiting: threading.local = field(default_factory=threading.local)

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do something once the transaction that runs in this thread is committed."""
        self._actions().append(action)

    def transact(self, work: Callable[[], T]) -> T:
        """Do some work in one transaction, then what it left for after the commit, then wake those who wait for updates."""
        self._waiting.actions = []
        with self.world.books.write():
            answer = work()
        for action in self._actions():
            action()
        self.updates.announce()
        return answer

    def _actions(self) -> list[Callable[[], None]]:
        actions: list[Callable[[], None]] | None = getattr(self._waiting, "actions", None)
        if actions is None:
            actions = self._waiting.actions = []
        return actions


Method = Callable[[Telegram, Params], Any]
