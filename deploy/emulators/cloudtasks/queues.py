"""This is the queue: its settings, where they may lie, and the file that lists the queues of a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from deploy.emulators.cloudtasks import messages, names
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.retries import UNLIMITED, RetryPolicy

DEFAULTS: Final = RetryPolicy()
DEFAULT_RATE: Final = 500.0
DEFAULT_CONCURRENT: Final = 1000
HIGHEST_RATE: Final = 500.0
HIGHEST_CONCURRENT: Final = 5000
# The real service picks a burst itself: 10 for the slowest queues, 100 at 500 a second.
LOWEST_BURST, HIGHEST_BURST, BURST_S = 10, 100, 0.2

ENTRY: Final = {
    "name": str,
    "max_concurrent_dispatches": int,
    "max_dispatches_per_second": (int, float),
    "max_attempts": int,
    "max_retry_duration_s": (int, float),
    "min_backoff_s": (int, float),
    "max_backoff_s": (int, float),
    "max_doublings": int,
}


def whole(seconds: float) -> float:
    """Cut to whole seconds, as the service does with what it is given; what is under a second becomes the least there is."""
    return float(int(seconds)) or DEFAULTS.min_backoff_s


def complete(queue: Any) -> None:
    """Fill in what was left out and cut durations to whole seconds. Raises Refused for what lies outside the service's limits."""
    check(queue)
    rates, retry = queue.rate_limits, queue.retry_config
    rates.max_dispatches_per_second = rates.max_dispatches_per_second or DEFAULT_RATE
    rates.max_concurrent_dispatches = rates.max_concurrent_dispatches or DEFAULT_CONCURRENT
    rates.max_burst_size = round(min(HIGHEST_BURST, max(LOWEST_BURST, rates.max_dispatches_per_second * BURST_S)))
    retry.max_attempts = retry.max_attempts or DEFAULTS.max_attempts
    retry.max_retry_duration.FromSeconds(retry.max_retry_duration.seconds)
    if not retry.HasField("max_backoff"):
        retry.max_backoff.FromSeconds(int(DEFAULTS.max_backoff_s))
    least = whole(messages.get_seconds(retry.min_backoff))
    messages.set_seconds(retry.min_backoff, least)
    messages.set_seconds(retry.max_backoff, max(least, whole(messages.get_seconds(retry.max_backoff))))
    queue.state = queue.state or messages.RUNNING


def check(queue: Any) -> None:
    """Raise Refused for settings that the service does not take, or that this server does not have."""
    for unsupported in ("http_target", "app_engine_routing_override"):
        if queue.HasField(unsupported):
            raise Refused.unsupported(f"Queues with {unsupported}")
    rates, retry = queue.rate_limits, queue.retry_config
    least, most = messages.get_seconds(retry.min_backoff), messages.get_seconds(retry.max_backoff)
    for wrong, sentence in (
        (rates.max_dispatches_per_second < 0, "RateLimits.maxDispatchesPerSecond cannot be negative."),
        (rates.max_dispatches_per_second > HIGHEST_RATE, "RateLimits.maxDispatchesPerSecond must be less than or equal to 500."),
        (rates.max_concurrent_dispatches < 0, "RateLimits.maxConcurrentDispatches cannot be negative."),
        (rates.max_concurrent_dispatches > HIGHEST_CONCURRENT, "RateLimits.maxConcurrentDispatches must be less than or equal to 5000."),
        (retry.max_attempts < UNLIMITED, "RetryConfig.maxAttempts must be greater or equal to -1."),
        (retry.max_doublings < 0, "RetryConfig.maxDoublings cannot be negative."),
        (least < 0, "RetryConfig.minBackoff cannot be negative."),
        (most < 0, "RetryConfig.maxBackoff cannot be negative."),
        (messages.get_seconds(retry.max_retry_duration) < 0, "RetryConfig.maxRetryDuration cannot be negative."),
        (retry.HasField("max_backoff") and least > most, "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff."),
    ):
        if wrong:
            raise Refused.invalid(sentence)


def with_default_doublings(queue: Any) -> Any:
    """Give a queue that came by the API its doublings: there 0 cannot be told from nothing."""
    queue.retry_config.max_doublings = queue.retry_config.max_doublings or DEFAULTS.max_doublings
    return queue


def policy(retry: Any, fallback: RetryPolicy = DEFAULTS) -> RetryPolicy:
    """Read a RetryConfig; what a task's own one leaves out comes from its queue's."""
    return RetryPolicy(
        max_attempts=retry.max_attempts or fallback.max_attempts,
        max_retry_s=messages.get_seconds(retry.max_retry_duration) if retry.HasField("max_retry_duration") else fallback.max_retry_s,
        min_backoff_s=whole(messages.get_seconds(retry.min_backoff)) if retry.HasField("min_backoff") else fallback.min_backoff_s,
        max_backoff_s=whole(messages.get_seconds(retry.max_backoff)) if retry.HasField("max_backoff") else fallback.max_backoff_s,
        max_doublings=retry.max_doublings or fallback.max_doublings,
    )


def read_file(path: Path) -> list[Any]:
    """Read the queues of a server: a list, or an object that holds it under `queues`. Raises ValueError with a sentence, and OSError."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(entries, dict):
        entries = entries.get("queues")
    if not isinstance(entries, list):
        raise ValueError(f"{path}: a list of queues is expected")  # noqa: TRY004 - one error for the whole file
    queues = [from_entry(entry) for entry in entries]
    if len({queue.name for queue in queues}) != len(queues):
        raise ValueError(f"{path}: a queue is listed twice")
    return queues


def from_entry(entry: Any) -> Any:
    """Turn one entry of the file into a Queue. Raises ValueError with a sentence for what it cannot be."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError(f"a queue needs a name: {entry!r}")  # noqa: TRY004 - one error for the whole file
    for key, value in entry.items():
        if key not in ENTRY or not isinstance(value, ENTRY[key]) or isinstance(value, bool):  # type: ignore[arg-type]
            raise ValueError(f"queue {entry['name']}: {key} = {value!r} is not known")
    queue = messages.Queue(name=entry["name"])
    rates, retry = queue.rate_limits, queue.retry_config
    rates.max_dispatches_per_second = entry.get("max_dispatches_per_second", 0)
    rates.max_concurrent_dispatches = entry.get("max_concurrent_dispatches", 0)
    retry.max_attempts = entry.get("max_attempts", 0)
    retry.max_doublings = entry.get("max_doublings", DEFAULTS.max_doublings)
    messages.set_seconds(retry.max_retry_duration, entry.get("max_retry_duration_s", DEFAULTS.max_retry_s))
    messages.set_seconds(retry.min_backoff, entry.get("min_backoff_s", DEFAULTS.min_backoff_s))
    messages.set_seconds(retry.max_backoff, entry.get("max_backoff_s", DEFAULTS.max_backoff_s))
    try:
        names.check_queue(queue.name)
        complete(queue)
    except Refused as no:
        raise ValueError(f"queue {entry['name']}: {no.text}") from None
    return queue
