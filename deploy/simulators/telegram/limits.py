"""Telegram's flood limits, enforced when asked for, with the numbers of its FAQ for bots and of python-telegram-bot 22.8."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque

from deploy.simulators.telegram.errors import too_many

OVERALL = (30, 1.0)
GROUP = (20, 60.0)
# "About one message a second in one chat, short bursts are possible": a burst of five, and that many again only after as many seconds.
PRIVATE = (5, 5.0)

COUNTED = ("send", "copy", "forward")


class FloodLimits:
    """Counts messages in sliding windows; only what goes through counts."""

    def __init__(self) -> None:
        """Begin with nothing sent."""
        self._lock = threading.Lock()
        self._sent: defaultdict[str, deque[float]] = defaultdict(deque)

    def check(self, method: str, chat_id: str) -> None:
        """Count one message for a chat; raises ApiError 429 with the time to wait when it is one too many."""
        if not method.startswith(COUNTED) or method == "sendChatAction":
            return
        group = chat_id.startswith(("-", "@"))
        windows = [("all", OVERALL), (chat_id, GROUP if group else PRIVATE)]
        now = time.monotonic()
        with self._lock:
            waits = [self._wait_s(name, limit, now) for name, limit in windows]
            if max(waits) > 0:
                raise too_many(int(max(waits)) + 1)
            for name, _ in windows:
                self._sent[name].append(now)

    def _wait_s(self, name: str, limit: tuple[int, float], now: float) -> float:
        sent, (most, window_s) = self._sent[name], limit
        while sent and sent[0] <= now - window_s:
            sent.popleft()
        return sent[0] + window_s - now if len(sent) >= most else 0.0
