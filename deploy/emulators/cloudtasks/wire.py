"""This is the wire: the gRPC methods of google.cloud.tasks.v2.CloudTasks and the calls behind them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio

from deploy.emulators.cloudtasks import messages
from deploy.emulators.cloudtasks.queue_calls import QueueCalls
from deploy.emulators.cloudtasks.refusals import Refused
from deploy.emulators.cloudtasks.task_calls import TaskCalls

LOG: Final = logging.getLogger("cloudtasks")
SERVICE: Final = "google.cloud.tasks.v2.CloudTasks"
# A batch of tasks may be much longer than one; the default of gRPC is 4 MiB.
LONGEST_REQUEST: Final = 16 << 20
OPTIONS: Final = (
    ("grpc.max_receive_message_length", LONGEST_REQUEST),
    # A second process on the same port must fail, and not take every other call.
    ("grpc.so_reuseport", 0),
)

Call = Callable[[Any], Awaitable[Any]]


def table(tasks: TaskCalls, queues: QueueCalls) -> dict[str, Call]:
    """List the methods; gRPC answers UNIMPLEMENTED to every other (IAM, CMEK, locations)."""
    return {
        "ListQueues": queues.list_queues,
        "GetQueue": queues.get_queue,
        "CreateQueue": queues.create_queue,
        "UpdateQueue": queues.update_queue,
        "DeleteQueue": queues.delete_queue,
        "PurgeQueue": queues.purge_queue,
        "PauseQueue": queues.pause_queue,
        "ResumeQueue": queues.resume_queue,
        "ListTasks": tasks.list_tasks,
        "GetTask": tasks.get_task,
        "CreateTask": tasks.create_task,
        "BatchCreateTasks": tasks.batch_create_tasks,
        "DeleteTask": tasks.delete_task,
        "BatchDeleteTasks": tasks.batch_delete_tasks,
        "RunTask": tasks.run_task,
    }


def answering(call: Call, *, whole: bool) -> Callable[[Any, Any], Awaitable[Any]]:
    """Turn a refusal into its gRPC status, and a bug into INTERNAL without its text.

    A caller that goes away cancels its call; a `whole` one goes on to its end, so that what is in memory follows what was written.
    """

    async def answer(request: Any, context: Any) -> Any:
        try:
            return await (asyncio.shield(call(request)) if whole else call(request))
        except Refused as no:
            await context.abort(no.code, no.text)
        except Exception:
            LOG.exception("a call failed")
            await context.abort(grpc.StatusCode.INTERNAL, "Internal error.")

    return answer


def serve(tasks: TaskCalls, queues: QueueCalls) -> Any:
    """Make the gRPC server; it is neither bound nor started."""
    # CreateTask, the busy one, needs no shield: the writer itself tells the dispatcher what was stored.
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            answering(call, whole=name != "CreateTask"),
            request_deserializer=messages.message(f"{name}Request").FromString,
            response_serializer=lambda answer: answer.SerializeToString(),
        )
        for name, call in table(tasks, queues).items()
    }
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    return server
