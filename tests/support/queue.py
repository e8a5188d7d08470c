"""The queue of the tests: a real object with the real promises, behind the google client's own transport."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import grpc
from flask import Flask
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport


class Refusal(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """What a gRPC server's refusal looks like to the google client."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def result(self, timeout: float | None = None) -> None:
        raise self

    def trailing_metadata(self) -> tuple[()]:
        return ()

    def initial_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> None:
        return None

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False


@dataclass
class SteppingQueue:
    """Tasks wait here until a test delivers them: in any order, twice when asked for, never lost unless asked for."""

    apps: dict[str, Flask] = field(default_factory=dict)
    waiting: list[tasks_v2.Task] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    down: bool = False
    delivered: int = 0

    def create(self, request: tasks_v2.CreateTaskRequest) -> tasks_v2.Task:
        """What the server does with CreateTask."""
        if self.down:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "the queue is away")
        if request.task.name in self.names:
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "Requested entity already exists")
        self.names.add(request.task.name)
        self.waiting.append(request.task)
        return request.task

    def create_batch(self, request: Any) -> Any:
        """What the server does with BatchCreateTasks."""
        for single in request.requests:
            self.create(single)
        return tasks_v2.types.BatchCreateTasksResponse()

    def client(self) -> tasks_v2.CloudTasksClient:
        """A google client whose calls end here."""
        return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=Channel(self)))

    def attach(self, app: Flask) -> None:
        """Let a service's tasks come here, and take those for it to it."""
        runtime = app.extensions["pgp"]
        self.apps[urlsplit(runtime.config.url_of(runtime.service)).netloc] = app
        runtime.tasks._client = self.client()

    def due(self, *, within_s: float = 0) -> list[tasks_v2.Task]:
        """The tasks whose time has come, or comes within so many seconds."""
        now = datetime.now(UTC).timestamp() + within_s
        return [task for task in self.waiting if not task.schedule_time or task.schedule_time.timestamp() <= now]

    def deliver(self, task: tasks_v2.Task, *, keep: bool = False) -> int:
        """Deliver one task; an answer outside 200-299 leaves it waiting. Gives back the status."""
        request = task.http_request
        parts = urlsplit(request.url)
        answer = self.apps[parts.netloc].test_client().post(parts.path, data=request.body, headers=dict(request.headers))
        self.delivered += 1
        if 200 <= answer.status_code < 300 and not keep and task in self.waiting:
            self.waiting.remove(task)
        return answer.status_code

    def run(self, *, within_s: float = 0, dice: random.Random | None = None, twice: bool = False, at_most: int = 2000) -> int:
        """Deliver what is due until nothing is; shuffled and doubled on request. Gives back how many deliveries there were."""
        before = self.delivered
        for _ in range(at_most):
            due = self.due(within_s=within_s)
            if not due:
                return self.delivered - before
            task = dice.choice(due) if dice else due[0]
            if twice:
                self.deliver(task, keep=True)
            self.deliver(task)
        raise AssertionError("the queue never empties")

    def steps(self) -> Iterator[str]:
        """The bodies that wait, for a look."""
        yield from (task.http_request.body.decode() for task in self.waiting)


class Channel(grpc.Channel):  # type: ignore[misc]
    """A channel whose other end is a SteppingQueue."""

    def __init__(self, queue: SteppingQueue) -> None:
        self._queue = queue

    def unary_unary(self, method: str, request_serializer: Any = None, response_deserializer: Any = None, *_: Any, **__: Any) -> Any:
        work = {"CreateTask": self._queue.create, "BatchCreateTasks": self._queue.create_batch}.get(method.rpartition("/")[2])

        class Call:
            def __call__(self, request: Any, timeout: float | None = None, **_: Any) -> Any:
                assert work is not None, method
                return work(request)

            def with_call(self, request: Any, timeout: float | None = None, **_: Any) -> tuple[Any, Any]:
                return self(request), None

        return Call()

    def unary_stream(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def stream_unary(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def stream_stream(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def subscribe(self, *_: Any, **__: Any) -> None:
        return None

    def unsubscribe(self, *_: Any) -> None:
        return None

    def close(self) -> None:
        return None
