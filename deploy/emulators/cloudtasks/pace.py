"""This is the pace of a queue: a bucket of tokens, and a pause when the receiver asks for one."""

from __future__ import annotations

import email.utils
from dataclasses import dataclass

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 8.0
# A receiver may ask for more than we would choose, but not park a queue: a task of another kind may be waiting behind this one.
LONGEST_RETRY_AFTER_S = 30.0
SLOW_DOWN = frozenset({429, 503})


@dataclass
class Bucket:
    """Tokens, refilled at `rate` a second up to `burst`; one is taken for each dispatch. Times are seconds of a monotonic clock."""

    rate: float
    burst: float
    tokens: float
    filled_at: float

    def wait_s(self, now: float) -> float:
        """Seconds until a token is there; 0 when one can be taken now."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.filled_at) * self.rate)
        self.filled_at = now
        return 0.0 if self.tokens >= 1.0 else (1.0 - self.tokens) / self.rate

    def take(self) -> None:
        """Use one token up (below zero when a dispatch was forced)."""
        self.tokens -= 1.0


@dataclass
class Throttle:
    """The pause that 429 and 503 bring upon a whole queue: doubled while they go on, forgotten after a success."""

    until: float = 0.0
    pause_s: float = 0.0
    set_at: float = 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until the pause is over."""
        return max(0.0, self.until - now)

    def note(self, code: int, *, retry_after_s: float, dispatched_at: float, now: float) -> None:
        """Take an answer into account. Answers to what was sent before the pause began do not lengthen it."""
        if 200 <= code < 300:  # noqa: PLR2004 - the range is the rule
            self.pause_s = 0.0
        elif code in SLOW_DOWN and dispatched_at >= self.set_at:
            self.pause_s = min(LONGEST_PAUSE_S, self.pause_s * 2 or FIRST_PAUSE_S)
            self.set_at = now
            self.until = max(self.until, now + max(self.pause_s, min(retry_after_s, LONGEST_RETRY_AFTER_S)))


def retry_after_s(value: str, now: float) -> float:
    """Read a Retry-After header (seconds, or a date against the wall clock `now`); 0 for nothing or nonsense."""
    if not value:
        return 0.0
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return 0.0
