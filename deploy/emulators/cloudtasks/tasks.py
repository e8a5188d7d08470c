"""This is the task: what is asked for, checked and completed as the service does, and what has become of it so far."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from deploy.emulators.cloudtasks import messages, names
from deploy.emulators.cloudtasks.refusals import Refused

USER_AGENT: Final = "Google-Cloud-Tasks"
# Measured against the real service: the stored form of a task may be this long (the pages say 100 KB or 1 MB).
LARGEST: Final = (1 << 20) - 7
LONGEST_URL: Final = 2083
LARGEST_HEADERS: Final = 80 * 1024
FURTHEST_S: Final = 30 * 86400.0
SHORTEST_DEADLINE_S, LONGEST_DEADLINE_S = 15.0, 1800.0
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
# google.rpc.Code of an HTTP status, for the attempts that GetTask shows.
UNKNOWN: Final = (2, "UNKNOWN")
RPC_CODES: Final = {
    0: (14, "UNAVAILABLE"),
    400: (3, "INVALID_ARGUMENT"),
    401: (16, "UNAUTHENTICATED"),
    403: (7, "PERMISSION_DENIED"),
    404: (5, "NOT_FOUND"),
    409: (6, "ALREADY_EXISTS"),
    429: (8, "RESOURCE_EXHAUSTED"),
    499: (1, "CANCELLED"),
    500: (13, "INTERNAL"),
    501: (12, "UNIMPLEMENTED"),
    503: (14, "UNAVAILABLE"),
    504: (4, "DEADLINE_EXCEEDED"),
}


@dataclass(slots=True, eq=False)
class Task:
    """A task that is not over. Times are seconds since 1970; `message` is the Task as it was asked for, serialized."""

    queue_id: int
    id: str
    due: float
    created: float
    message: bytes
    dispatches: int = 0
    responses: int = 0
    # Answers that count for X-CloudTasks-TaskExecutionCount: those that were not 5xx.
    executions: int = 0
    first_dispatch: float | None = None
    # Of the last attempt: when it was due, sent and answered, and the HTTP status (0: no answer).
    last_due: float | None = None
    last_dispatch: float | None = None
    last_response: float | None = None
    last_code: int | None = None
    # The status of the attempt before the one that is on its way.
    previous_code: int = 0
    # Held by this process, from before its row is written; deleted or purged while held.
    held: bool = False
    gone: bool = False

    @property
    def key(self) -> tuple[int, str]:
        """What the row is found by."""
        return self.queue_id, self.id

    def sent(self, now: float) -> None:
        """Count a dispatch."""
        self.dispatches += 1
        self.previous_code = self.last_code or 0
        self.last_due, self.last_dispatch, self.last_response, self.last_code = self.due, now, None, None
        if self.first_dispatch is None:
            self.first_dispatch = now

    def answered(self, code: int, now: float) -> None:
        """Count an answer; code 0 is none at all."""
        self.last_response, self.last_code = now, code
        self.responses += 1 if code else 0
        self.executions += 1 if code and code < 500 else 0  # noqa: PLR2004 - the 5xx


def accept(task: Any, queue: str, queue_id: int, *, now: float, default_deadline_s: float) -> Task:
    """Check and complete a Task message in place, as CreateTask does, and give the task it makes. Raises Refused."""
    check_request(task)
    complete_times(task, now, default_deadline_s)
    if task.name:
        named_queue, task_id = names.split_task(task.name)
        if named_queue != queue:
            raise Refused.invalid(f"The queue name from request ('{queue}') must be the same as the queue name in the named task ('{named_queue}').")
    else:
        task_id = names.new_task_id()
        task.name = f"{queue}/tasks/{task_id}"
    for output_only in ("dispatch_count", "response_count", "first_attempt", "last_attempt", "view"):
        task.ClearField(output_only)
    serialized = task.SerializeToString()
    if len(serialized) > LARGEST:
        raise Refused.invalid("Task size too large")
    return Task(queue_id, task_id, messages.get_time(task.schedule_time), float(task.create_time.seconds), serialized)


def check_request(task: Any) -> None:
    """Check the HTTP request of a task and fill in its defaults. Raises Refused."""
    if task.HasField("app_engine_http_request"):
        raise Refused.unsupported("App Engine tasks")
    request = task.http_request
    if not request.url:
        raise Refused.invalid("HttpRequest.url is required.")
    if not request.url.startswith(("http://", "https://")):
        raise Refused.invalid("HttpTarget.url must start with 'http://' or 'https://'.")
    if len(request.url) > LONGEST_URL:
        raise Refused.invalid(f"HttpRequest.url must be at most {LONGEST_URL} characters long.")
    request.http_method = request.http_method or messages.POST
    if request.http_method not in messages.METHODS:
        raise Refused.invalid("HttpRequest.httpMethod is not known.")
    if request.body and request.http_method not in messages.WITH_BODY:
        raise Refused.invalid("HttpRequest.body is allowed only if the HTTP method is POST, PUT, or PATCH.")
    size = 0
    for name, value in request.headers.items():
        size += len(name) + len(value)
        if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise Refused.invalid("HttpRequest.headers holds a name or value that HTTP does not allow.")
    if size >= LARGEST_HEADERS:
        raise Refused.invalid("HttpRequest.headers must be smaller than 80KB.")
    request.headers["User-Agent"] = USER_AGENT


def complete_times(task: Any, now: float, default_deadline_s: float) -> None:
    """Check and fill in the times of a task. Raises Refused."""
    if task.HasField("dispatch_deadline"):
        if not SHORTEST_DEADLINE_S <= messages.get_seconds(task.dispatch_deadline) <= LONGEST_DEADLINE_S:
            raise Refused.invalid("Task.dispatchDeadline must be between [15s, 30m].")
    else:
        messages.set_seconds(task.dispatch_deadline, default_deadline_s)
    due = messages.get_time(task.schedule_time)
    if due > now + FURTHEST_S:
        when = "" if due > datetime.max.replace(tzinfo=UTC).timestamp() else f" {datetime.fromtimestamp(due, UTC).isoformat()},"
        raise Refused.invalid(f"The Task.scheduleTime,{when} is too far in the future. Schedule time must be no more than 720h in the future.")
    messages.set_time(task.schedule_time, max(due, now))
    task.create_time.seconds, task.create_time.nanos = int(now), 0


def view(message: Any, wanted: int) -> Any:
    """Cut a Task message to the view that was asked for: only FULL shows the body."""
    message.view = messages.FULL if wanted == messages.FULL else messages.BASIC
    if message.view == messages.BASIC:
        message.http_request.ClearField("body")
    return message


def show(task: Task, wanted: int) -> Any:
    """Make the Task message of a task: what was asked for and what has become of it."""
    message = messages.Task.FromString(task.message)
    messages.set_time(message.schedule_time, task.due)
    message.dispatch_count, message.response_count = task.dispatches, task.responses
    if task.first_dispatch is not None:
        messages.set_time(message.first_attempt.dispatch_time, task.first_dispatch)
    attempt = message.last_attempt
    for field, when in (("schedule_time", task.last_due), ("dispatch_time", task.last_dispatch), ("response_time", task.last_response)):
        if when is not None:
            messages.set_time(getattr(attempt, field), when)
    if task.last_code is not None:
        code, name = RPC_CODES.get(task.last_code, UNKNOWN)
        attempt.response_status.code = code
        attempt.response_status.message = f"{name}({code}): HTTP status code {task.last_code}"
    return view(message, wanted)
