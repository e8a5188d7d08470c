"""This is the task desk: what each call of google.cloud.tasks.v2.CloudTasks does with tasks."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty

from deploy.emulators.cloudtasks import messages, names, tasks
from deploy.emulators.cloudtasks.dispatcher import Dispatcher
from deploy.emulators.cloudtasks.lines import Line
from deploy.emulators.cloudtasks.reader import Reader
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.store import Store

LARGEST_PAGE: Final = 1000
LARGEST_BATCH: Final = 100
LARGEST_DELETE: Final = 1000
ABORTED: Final = 10


class TaskCalls:
    """The calls about tasks. Each takes a request message and gives an answer message, or raises Refused."""

    def __init__(self, dispatcher: Dispatcher, store: Store, reader: Reader, *, default_deadline_s: float) -> None:
        """Take what knows the lines, what writes and what reads; the store is used by way of the writer only."""
        self._dispatcher = dispatcher
        self._store = store
        self._reader = reader
        self._default_deadline_s = default_deadline_s

    def _line(self, queue: str) -> Line:
        line = self._dispatcher.lines.get(queue)
        if line is None:
            names.check_queue(queue)
            raise Refused.no_queue()
        return line

    def _task(self, name: str) -> tuple[Line, str]:
        queue, task_id = names.split_task(name)
        line = self._dispatcher.lines.get(queue)
        if line is None:
            raise Refused.not_found()
        return line, task_id

    async def create_task(self, request: Any) -> Any:
        """Store a task; the answer comes after the commit."""
        line = self._line(request.parent)
        task = tasks.accept(request.task, line.name, line.id, now=time.time(), default_deadline_s=self._default_deadline_s)
        if not await self._dispatcher.create(line, task):
            raise Refused.task_exists() if line.name in self._dispatcher.lines else Refused.no_queue()
        return tasks.view(request.task, request.response_view)

    async def get_task(self, request: Any) -> Any:
        """Show a task that is not over."""
        line, task_id = self._task(request.name)
        return tasks.show(await self._find(line, task_id), request.response_view)

    async def _find(self, line: Line, task_id: str) -> tasks.Task:
        found = await self._reader.call(lambda archive: archive.find((line.id, task_id)))
        if found is None:
            raise Refused.not_found()
        task, is_over = found
        if is_over:
            raise Refused.over()
        # What is on its way has counts that its row has not.
        return line.find(task_id) or task

    async def list_tasks(self, request: Any) -> Any:
        """Show the tasks of a queue, by id, page by page."""
        line = self._line(request.parent)
        size = min(request.page_size, LARGEST_PAGE) if request.page_size > 0 else LARGEST_PAGE
        after = read_token(request.page_token)
        found = await self._reader.call(lambda archive: archive.page(line.id, after=after, size=size + 1))
        answer = messages.message("ListTasksResponse")()
        for task in found[:size]:
            answer.tasks.append(tasks.show(line.find(task.id) or task, request.response_view))
        if len(found) > size:
            answer.next_page_token = write_token(found[size - 1].id)
        return answer

    async def delete_task(self, request: Any) -> Any:
        """End a task; if it is on its way, its answer no longer matters."""
        line, task_id = self._task(request.name)
        if not await self._delete(line, [task_id]):
            await self._find(line, task_id)
            raise Refused.not_found()
        return Empty()

    async def _delete(self, line: Line, ids: Iterable[str]) -> set[str]:
        deleted = await self._dispatcher.writer.call(partial(self._store.delete, line.id, list(ids)))
        line.drop(deleted)
        return deleted

    async def run_task(self, request: Any) -> Any:
        """Send a task now, whatever its schedule and the queue's pace or state; one that is on its way already is only shown."""
        line, task_id = self._task(request.name)
        task = line.take_out(task_id)
        if task is None and task_id not in line.flying:
            task = await self._dispatcher.writer.call(partial(self._store.claim_one, (line.id, task_id)))
        if task is None:
            return tasks.show(await self._find(line, task_id), request.response_view)
        task.due = time.time()
        self._dispatcher.send(line, task)
        return tasks.show(task, request.response_view)

    async def batch_create_tasks(self, request: Any) -> Any:
        """Store up to 100 tasks; the operation is done when it is answered. A repeated request_id is not recognised: use names."""
        line = self._line(request.parent)
        if not 0 < len(request.requests) <= LARGEST_BATCH:
            raise Refused.invalid(f"The number of requests must be between 1 and {LARGEST_BATCH}.")
        if any(one.parent not in {"", request.parent} for one in request.requests):
            raise Refused.invalid("All requests must have the parent of the batch.")
        started = time.time()
        results = await asyncio.gather(*(self.create_task(with_parent(one, line.name)) for one in request.requests), return_exceptions=True)
        answer = messages.message("BatchCreateTasksResponse")()
        answer.tasks.extend(result for result in results if not isinstance(result, BaseException))
        metadata = messages.message("BatchCreateTasksMetadata")()
        return operation(f"{line.name}/operations/{request.request_id or uuid.uuid4()}", started, metadata, results, answer)

    async def batch_delete_tasks(self, request: Any) -> Any:
        """End up to 1000 tasks; the operation is done when it is answered."""
        line = self._line(request.parent)
        if not 0 < len(request.names) <= LARGEST_DELETE:
            raise Refused.invalid(f"The number of names must be between 1 and {LARGEST_DELETE}.")
        started = time.time()
        found = [self._task(name) for name in request.names]
        if any(one is not line for one, _ in found):
            raise Refused.invalid("All tasks must be of the queue of the batch.")
        deleted = await self._delete(line, [task_id for _, task_id in found])
        results = [None if task_id in deleted else Refused.not_found() for _, task_id in found]
        metadata = messages.message("BatchDeleteTasksMetadata")()
        return operation(f"{line.name}/operations/{request.request_id or uuid.uuid4()}", started, metadata, results, Empty())


def with_parent(request: Any, parent: str) -> Any:
    """Fill in the parent that one request of a batch may leave out."""
    request.parent = parent
    return request


def operation(name: str, started: float, metadata: Any, results: Iterable[Any], answer: Any) -> Any:
    """Make the finished operation of a batch: aborted if nothing in it worked, otherwise with what failed listed by index."""
    worked = 0
    for index, result in enumerate(results):
        if isinstance(result, Refused):
            status = metadata.failed_requests[index]
            status.code, status.message = result.code.value[0], result.text
        elif isinstance(result, BaseException):
            raise result
        else:
            worked += 1
    messages.set_time(metadata.start_time, started)
    messages.set_time(metadata.end_time, time.time())
    states = type(metadata).State
    metadata.state = states.Value("PARTIALLY_SUCCEEDED" if worked and metadata.failed_requests else "SUCCEEDED" if worked else "FAILED")
    done = messages.Operation(name=name, done=True)
    done.metadata.Pack(metadata)
    if worked:
        done.response.Pack(answer)
    else:
        done.error.code = ABORTED
        done.error.message = f"None of the requests succeeded, refer to {type(metadata).DESCRIPTOR.name}.failed_requests for individual error details"
    return done


def write_token(last: str) -> str:
    """Make the token of the page after this one."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def read_token(token: str) -> str:
    """Read a page token. Raises Refused for one that this server did not make."""
    try:
        last = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except ValueError:
        last = "\x00"
    if not last.isprintable():
        raise Refused.invalid("The page token is invalid.")
    return last
