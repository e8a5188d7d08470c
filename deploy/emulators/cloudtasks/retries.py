"""This is the retry policy: how long a failed task waits, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass

UNLIMITED = -1
# "maximum task retention" of the quota page: a task that nothing else ends is dropped 31 days after it was created.
RETENTION_S = 31 * 86400.0
# 2.0 ** 1024 overflows; long before that every wait is at its cap.
ENOUGH_DOUBLINGS = 64


@dataclass(frozen=True)
class RetryPolicy:
    """A RetryConfig, durations in seconds; the defaults are the real service's."""

    max_attempts: int = 100
    max_retry_s: float = 0.0
    min_backoff_s: float = 0.1
    max_backoff_s: float = 3600.0
    max_doublings: int = 16

    def backoff_s(self, failures: int) -> float:
        """Seconds to wait after the n-th failure (from 1): doubled `max_doublings` times, then linear, then at the cap."""
        doublings = min(failures - 1, self.max_doublings)
        if doublings >= ENOUGH_DOUBLINGS:
            return self.max_backoff_s
        step = self.min_backoff_s * 2.0**doublings
        linear = max(0, failures - 1 - self.max_doublings)
        return min(step * (1 + linear), self.max_backoff_s)

    def is_spent(self, *, attempts: int, since_first_s: float, since_created_s: float) -> bool:
        """Whether no further attempt is made: every limit that is set has been reached, or the task is too old to keep."""
        reached = []
        if self.max_attempts != UNLIMITED:
            reached.append(attempts >= self.max_attempts)
        if self.max_retry_s > 0:
            reached.append(since_first_s >= self.max_retry_s)
        return (bool(reached) and all(reached)) or since_created_s >= RETENTION_S
