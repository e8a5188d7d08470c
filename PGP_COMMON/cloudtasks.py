"""This is the queue: wakes a service by the name of a step, and checks that a delivery is ours."""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from PGP_COMMON import log
from PGP_COMMON.directory import service_of
from PGP_COMMON.failpoints import failpoint
from PGP_COMMON.outbox import Wake, message
from PGP_COMMON.tokens import HEADER

if TYPE_CHECKING:
    from google.cloud import tasks_v2

logger = log.get(__name__)
# A request ends within 120 s (product.md 7.24); Cloud Tasks may stop listening a little later.
DISPATCH_DEADLINE_S = 130
CREATE_TIMEOUT_S = 5
BATCH = 50
# How long the publisher lets wake-ups gather: under load one call then carries many, alone nobody notices it.
GATHER_S = 0.02


def task_id(wake: Wake) -> str:
    """The task's name: a used one is blocked for an hour to a day, so every re-drive has its own generation."""
    return hashlib.sha256(f"{wake.step}/{wake.subject}/{wake.generation}".encode()).hexdigest()[:40]


class BaseCloudTasksClient:
    """Creates tasks through the google client. A subclass names nothing but its own defaults."""

    created = 0

    def __init__(self, *, project: str, location: str, endpoint: str, url_of: Callable[[str], str], service_account: str = "") -> None:
        """Take where the queues are (an emulator's host:port, or nothing for Google's) and how a service's address is found."""
        self._parent = f"projects/{project}/locations/{location}"
        self._endpoint = endpoint
        self._url_of = url_of
        self._service_account = service_account
        self._client: tasks_v2.CloudTasksClient | None = None
        self._lock = threading.Lock()

    @property
    def client(self) -> tasks_v2.CloudTasksClient:
        """The google client, made at first use: a channel must not be made before the process forks."""
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> tasks_v2.CloudTasksClient:
        from google.cloud import tasks_v2  # noqa: PLC0415 - 40 MiB that NP_IPN's page and WEBAPI's reads do not need

        if not self._endpoint:
            return tasks_v2.CloudTasksClient()
        import grpc  # noqa: PLC0415 - comes with the client
        from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport  # noqa: PLC0415

        # An emulator that was killed comes back within seconds; the default back-off would sleep for minutes.
        channel = grpc.insecure_channel(self._endpoint, options=(("grpc.max_reconnect_backoff_ms", 1000), ("grpc.initial_reconnect_backoff_ms", 100)))
        return tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))

    def _task(self, wake: Wake) -> tuple[str, Any]:
        service, step = service_of(wake.step)
        target = service.route(step.route).queue
        if target is None:
            raise RuntimeError(f"{wake.step} has no queue")
        parent = f"{self._parent}/queues/{target.name}"
        base = self._url_of(service.url_setting)
        request: dict[str, Any] = {
            "url": base.rstrip("/") + step.route,
            "http_method": "POST",
            "headers": {"Content-Type": "application/json", HEADER: wake.signature, "X-PGP-Correlation": wake.correlation},
            "body": message(wake.step, wake.subject),
        }
        if self._service_account:
            request["oidc_token"] = {"service_account_email": self._service_account, "audience": base}
        task: dict[str, Any] = {
            "name": f"{parent}/tasks/{task_id(wake)}",
            "http_request": request,
            "dispatch_deadline": {"seconds": DISPATCH_DEADLINE_S},
        }
        if wake.not_before is not None:
            task["schedule_time"] = wake.not_before
        return parent, task

    def wake(self, wakes: Iterable[Wake]) -> None:
        """Create the tasks. A failure is logged and left to the sweep: the row is the truth, the task a hint."""
        from google.api_core import exceptions  # noqa: PLC0415 - comes with the client

        for wake in wakes:
            parent, task = self._task(wake)
            failpoint(f"publish.{wake.step}.before")
            try:
                self.client.create_task(parent=parent, task=task, timeout=CREATE_TIMEOUT_S)
                BaseCloudTasksClient.created += 1
            except exceptions.AlreadyExists:
                pass
            except exceptions.GoogleAPIError as error:
                logger.warning("the queue did not take a wake-up; the sweep will", step=wake.step, subject=wake.subject, error=type(error).__name__)
            failpoint(f"publish.{wake.step}.after")

    def wake_batch(self, wakes: list[Wake]) -> None:
        """Create many tasks with one call a queue (BatchCreateTasks); what fails is left to the sweep."""
        from google.api_core import exceptions  # noqa: PLC0415 - comes with the client

        by_queue: dict[str, list[Any]] = defaultdict(list)
        for wake in wakes:
            parent, task = self._task(wake)
            by_queue[parent].append(task)
        for parent, tasks in by_queue.items():
            failpoint("publish.batch.before")
            requests = [{"parent": parent, "task": task} for task in tasks]
            try:
                self.client.batch_create_tasks(request={"parent": parent, "requests": requests}, timeout=CREATE_TIMEOUT_S)
                BaseCloudTasksClient.created += len(tasks)
            except exceptions.AlreadyExists:
                self.wake(wakes)
            except exceptions.GoogleAPIError as error:
                logger.warning("the queue did not take a batch; the sweep will wake it", size=len(tasks), error=type(error).__name__)


class AfterAnswer:
    """Publishes from one thread, in batches, after the answer has gone out: for the door whose vendor waits only 3 s."""

    def __init__(self, tasks: BaseCloudTasksClient) -> None:
        """Take the client; the thread starts with the first wake-up (after the fork)."""
        self._tasks = tasks
        self._waiting: queue.SimpleQueue[Wake] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def __call__(self, wakes: list[Wake]) -> None:
        """Take wake-ups and return at once; if the process dies now, the sweep finds their rows."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()
        for wake in wakes:
            self._waiting.put(wake)

    def _run(self) -> None:
        while True:
            batch = [self._waiting.get()]
            time.sleep(GATHER_S)
            while len(batch) < BATCH:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            try:
                self._tasks.wake(batch) if len(batch) == 1 else self._tasks.wake_batch(batch)
            except Exception:
                logger.exception("a batch of wake-ups was not published; the sweep will")
