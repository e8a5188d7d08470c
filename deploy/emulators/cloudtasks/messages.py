"""This is the vocabulary: the messages of google.cloud.tasks.v2 as plain protobuf classes, without the slower proto-plus around them."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final, cast

from google.cloud import tasks_v2
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

Operation: Final[Any] = operations_pb2.Operation
Queue: Final[Any] = tasks_v2.Queue.pb()
Task: Final[Any] = tasks_v2.Task.pb()

RUNNING: Final = int(tasks_v2.Queue.State.RUNNING)
PAUSED: Final = int(tasks_v2.Queue.State.PAUSED)
BASIC: Final = int(tasks_v2.Task.View.BASIC)
FULL: Final = int(tasks_v2.Task.View.FULL)
POST: Final = int(tasks_v2.HttpMethod.POST)
METHODS: Final = {int(method): method.name for method in cast("Iterable[enum.IntEnum]", tasks_v2.HttpMethod) if method}
WITH_BODY: Final = frozenset(int(method) for method in (tasks_v2.HttpMethod.POST, tasks_v2.HttpMethod.PUT, tasks_v2.HttpMethod.PATCH))


def message(name: str) -> Any:
    """Give the class of one of the service's messages by its name. Raises AttributeError when the installed google package lacks it."""
    return getattr(tasks_v2, name).pb()


def set_time(field: Any, when: float) -> None:
    """Write seconds since 1970 into a Timestamp, cut to the microsecond."""
    microseconds = round(when * 1e6)
    field.seconds, field.nanos = microseconds // 1_000_000, microseconds % 1_000_000 * 1000


def get_time(field: Any) -> float:
    """Read a Timestamp as seconds since 1970, cut to the microsecond."""
    return float(field.seconds + (field.nanos // 1000) / 1e6)


def get_seconds(field: Any) -> float:
    """Read a Duration as seconds."""
    return float(field.seconds + field.nanos / 1e9)


def set_seconds(field: Any, seconds: float) -> None:
    """Write seconds into a Duration."""
    field.FromNanoseconds(round(seconds * 1e9))
