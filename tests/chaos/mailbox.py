"""What the bot wrote to everybody, read once for all who wait for it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from deploy.local.demo.world import PlayError, World

LOOK_EVERY_S = 0.7
# Messages carry whole seconds, and a simulator that is started again is silent for a while.
OVERLAP_S = 3


class Mailbox:
    """Everybody's messages from the bot, oldest first."""

    def __init__(self, world: World) -> None:
        """Begin to read; `close` ends it."""
        self._world = world
        self._arrived = threading.Condition()
        self._by_chat: dict[int, dict[int, Any]] = defaultdict(dict)
        self._stop = threading.Event()
        self._since = int(time.time()) - 3600
        self._reader = threading.Thread(target=self._read, daemon=True, name="mailbox")
        self._reader.start()

    def close(self) -> None:
        """Read no more."""
        self._stop.set()
        self._reader.join(10)

    def mark(self, chat: int) -> int:
        """The number of the last message in a chat; what comes later has a higher one."""
        with self._arrived:
            return max(self._by_chat[chat], default=0)

    def find(self, chat: int, wanted: Callable[[Any], bool], *, after: int = 0) -> Any:
        """The newest message in a chat that is wanted, or None."""
        with self._arrived:
            return self._find(chat, wanted, after)

    def wait(self, chat: int, wanted: Callable[[Any], bool], *, after: int, patience_s: float, over: threading.Event) -> Any:
        """Wait until a wanted message has come; None when it does not in so many seconds, or when everything is over."""
        until = time.monotonic() + patience_s
        with self._arrived:
            while (found := self._find(chat, wanted, after)) is None and time.monotonic() < until and not over.is_set():
                self._arrived.wait(2.0)
            return found

    def _find(self, chat: int, wanted: Callable[[Any], bool], after: int) -> Any:
        numbers = sorted((number for number in self._by_chat[chat] if number > after), reverse=True)
        return next((message for number in numbers if wanted(message := self._by_chat[chat][number])), None)

    def _read(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                found = self._world.control("telegram", f"messages?since={self._since}")
            except PlayError:
                continue
            if not found:
                continue
            self._since = max(message["date"] for message in found) - OVERLAP_S
            with self._arrived:
                for message in found:
                    if message["outgoing"]:
                        self._by_chat[message["chat"]["id"]][message["message_id"]] = message
                self._arrived.notify_all()


def button(message: Any, label: str) -> str | None:
    """The address behind a message's button, or None."""
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])
    return next((found.get("url") for row in rows for found in row if label in found["text"]), None)
