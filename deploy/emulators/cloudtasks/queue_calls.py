"""This is the queue desk: what each call of google.cloud.tasks.v2.CloudTasks does with queues."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from deploy.emulators.cloudtasks import messages, names, queues
from deploy.emulators.cloudtasks.dispatcher import Dispatcher
from deploy.emulators.cloudtasks.lines import Line
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.store import Store
from deploy.emulators.cloudtasks.task_calls import read_token, write_token

LARGEST_PAGE: Final = 9800
# What a caller may not set.
OUTPUT_ONLY: Final = ("state", "purge_time")


class QueueCalls:
    """The calls about queues. Each takes a request message and gives an answer message, or raises Refused."""

    def __init__(self, dispatcher: Dispatcher, store: Store) -> None:
        """Take what knows the lines and what writes; the store is used by way of the writer only."""
        self._dispatcher = dispatcher
        self._store = store

    def _line(self, name: str) -> Line:
        line = self._dispatcher.lines.get(name)
        if line is None:
            names.check_queue(name)
            raise Refused.no_queue()
        return line

    async def _save(self, settings: Any) -> Any:
        packed = settings.SerializeToString(deterministic=True)
        queue_id = await self._dispatcher.writer.call(partial(self._store.save_queue, settings.name, packed))
        self._dispatcher.put_line(queue_id, settings)
        return settings

    async def get_queue(self, request: Any) -> Any:
        """Show a queue."""
        return self._line(request.name).settings

    async def list_queues(self, request: Any) -> Any:
        """Show the queues of a location, by name, page by page."""
        names.check_location(request.parent)
        if request.filter:
            raise Refused.unsupported("Filters of queues")
        size = min(request.page_size, LARGEST_PAGE) if request.page_size > 0 else LARGEST_PAGE
        after = read_token(request.page_token)
        found = sorted(name for name in self._dispatcher.lines if name.startswith(f"{request.parent}/queues/") and name > after)
        answer = messages.message("ListQueuesResponse")()
        answer.queues.extend(self._dispatcher.lines[name].settings for name in found[:size])
        if len(found) > size:
            answer.next_page_token = write_token(found[size - 1])
        return answer

    async def create_queue(self, request: Any) -> Any:
        """Make a queue. The name of a deleted one may be used again at once."""
        settings = request.queue
        names.check_queue(settings.name)
        if not settings.name.startswith(f"{request.parent}/queues/"):
            raise Refused.invalid(f"{settings.name} must begin with {request.parent}.")
        self._complete(settings)
        packed = settings.SerializeToString(deterministic=True)
        queue_id = await self._dispatcher.writer.call(partial(self._store.add_queue, settings.name, packed))
        if queue_id is None:
            raise Refused.queue_exists()
        self._dispatcher.put_line(queue_id, settings)
        return settings

    def _complete(self, settings: Any) -> None:
        for field in OUTPUT_ONLY:
            settings.ClearField(field)
        queues.complete(queues.with_default_doublings(settings))

    async def update_queue(self, request: Any) -> Any:
        """Change a queue, the fields of the mask only if there is one; make it when there is none."""
        names.check_queue(request.queue.name)
        line = self._dispatcher.lines.get(request.queue.name)
        settings = messages.Queue()
        if line is None:
            settings.CopyFrom(request.queue)
            self._complete(settings)
            return await self._save(settings)
        settings.CopyFrom(line.settings)
        paths = request.update_mask.paths or ["rate_limits", "retry_config", "stackdriver_logging_config"]
        mask = FieldMask(paths=[path for path in paths if path not in {"name", *OUTPUT_ONLY}])
        try:
            mask.MergeMessage(request.queue, settings, True)  # noqa: FBT003 - replace the message fields
        except ValueError:
            raise Refused.invalid("The update mask names a field that a queue does not have.") from None
        queues.complete(queues.with_default_doublings(settings))
        return await self._save(settings)

    async def delete_queue(self, request: Any) -> Any:
        """Remove a queue, its tasks and the names they blocked."""
        names.check_queue(request.name)
        line = self._dispatcher.lines.get(request.name)
        if line is None or not await self._dispatcher.writer.call(partial(self._store.drop_queue, line.id)):
            raise Refused.not_found()
        self._dispatcher.drop_line(line.name)
        return Empty()

    async def pause_queue(self, request: Any) -> Any:
        """Send nothing more of a queue; what is on its way goes on."""
        return await self._set_state(request.name, messages.PAUSED)

    async def resume_queue(self, request: Any) -> Any:
        """Go on sending."""
        return await self._set_state(request.name, messages.RUNNING)

    async def _set_state(self, name: str, state: int) -> Any:
        settings = messages.Queue()
        settings.CopyFrom(self._line(name).settings)
        settings.state = state
        return await self._save(settings)

    async def purge_queue(self, request: Any) -> Any:
        """End every task of a queue."""
        line = self._line(request.name)
        await self._dispatcher.writer.call(partial(self._store.purge, line.id))
        line.drop()
        settings = messages.Queue()
        settings.CopyFrom(line.settings)
        messages.set_time(settings.purge_time, time.time())
        return await self._save(settings)
