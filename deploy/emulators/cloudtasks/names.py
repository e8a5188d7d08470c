"""This is the name: what queues and tasks may be called, and how a name is taken apart."""

from __future__ import annotations

import re
import secrets

from deploy.emulators.cloudtasks.refusals import Refused

LOCATION = re.compile(r"projects/[A-Za-z0-9:.-]+/locations/[A-Za-z0-9-]+")
QUEUE = re.compile(LOCATION.pattern + r"/queues/[A-Za-z0-9-]{1,100}")
TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,500}")


def check_location(name: str) -> None:
    """Raise Refused unless this names a location."""
    if not LOCATION.fullmatch(name):
        raise Refused.invalid("Invalid resource field value in the request.")


def check_queue(name: str) -> None:
    """Raise Refused unless this names a queue."""
    if not QUEUE.fullmatch(name):
        raise Refused.invalid('Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".')


def split_task(name: str) -> tuple[str, str]:
    """Take a task's name apart into its queue's name and its id. Raises Refused for anything else."""
    queue, separator, task_id = name.partition("/tasks/")
    if not separator or not QUEUE.fullmatch(queue) or not task_id:
        raise Refused.invalid('Task name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>"')
    if not TASK_ID.fullmatch(task_id):
        raise Refused.invalid(
            f'Task ID "{task_id}" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores (_). '
            "Task ID must between 1 and 500 characters."
        )
    return queue, task_id


def short(name: str) -> str:
    """Give the last part of a name: what the delivery headers carry."""
    return name.rpartition("/")[2]


def new_task_id() -> str:
    """Make up an id for a task that came without a name: decimal digits, as the real service does."""
    return str(secrets.randbits(63))
