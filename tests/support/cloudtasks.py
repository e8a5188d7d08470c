"""The emulator of Cloud Tasks as a process, the google client that talks to it, and a target that notes what reaches it."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import grpc
import psutil
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

LOCATION = "projects/p/locations/l"
CHECKOUT = Path(__file__).resolve().parents[2]


def moment(seconds: float) -> datetime:
    """Give a time as the google client wants it."""
    return datetime.fromtimestamp(seconds, UTC)


def wait_for(claim: Callable[[], Any], *, timeout_s: float = 15.0) -> Any:
    """Ask until the claim holds and give what it gave. Raises AssertionError when it does not in time."""
    end = time.monotonic() + timeout_s
    while not (result := claim()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return result


class Emulator:
    """One emulator process on a database; it can be ended and started again."""

    def __init__(self, database_url: str, *flags: str, queues: list[dict[str, Any]] | None = None) -> None:
        """Take the database, further flags, and the queues of the file."""
        self._database_url = database_url
        self._flags = flags
        self._queues = queues or []
        self._process: subprocess.Popen[str] | None = None
        self._said = ""
        self._channel: Any = None
        self.client: Any = None

    def start(self) -> Emulator:
        """Start and wait until it listens. Raises RuntimeError with its words when it ends instead."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as listed:
            json.dump(self._queues, listed)
            listed.flush()
            self._process = self.spawn("--queues", listed.name)
            assert self._process.stdout is not None
            select.select([self._process.stdout], [], [], 20)
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(self._process.communicate()[1])
        self.address = str(json.loads(line)["listening"])
        self._channel = grpc.insecure_channel(self.address)
        self.client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=self._channel))
        return self

    def spawn(self, *more: str) -> subprocess.Popen[str]:
        """Start the process only."""
        given = ["--database-url", self._database_url, "--listen", "127.0.0.1:0", *self._flags, *more]
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.emulators.cloudtasks", *given],
            cwd=CHECKOUT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self, number: signal.Signals) -> str:
        """End it with a signal and give what it said on the way."""
        assert self._process is not None
        self._channel.close()
        self._process.send_signal(number)
        return self._process.communicate(timeout=15)[1]

    def kill(self) -> None:
        """End it without a warning."""
        self.end(signal.SIGKILL)

    def stop(self) -> str:
        """Ask it to stop; harmless when it has ended."""
        assert self._process is not None
        if self._process.poll() is None:
            self._said = self.end(signal.SIGTERM)
        return self._said

    @property
    def resident_mib(self) -> float:
        """Its memory."""
        assert self._process is not None
        return float(psutil.Process(self._process.pid).memory_info().rss) / 2**20

    def queue(self, *, rate: float = 0, concurrent: int = 0, **retry: Any) -> str:
        """Make a queue of a name of its own, with short waits unless asked otherwise; gives the name."""
        name = f"{LOCATION}/queues/q{uuid.uuid4().hex}"
        queue = tasks_v2.Queue(name=name)
        queue.rate_limits.max_dispatches_per_second = rate
        queue.rate_limits.max_concurrent_dispatches = concurrent
        queue.retry_config = tasks_v2.RetryConfig({"max_backoff": {"seconds": 0, "nanos": 100_000_000}, **retry})
        self.client.create_queue(parent=LOCATION, queue=queue)
        return name

    def create(self, queue: str, url: str, task_id: str = "", *, after_s: float = 0.0, **request: Any) -> tasks_v2.Task:
        """Create a task for an address."""
        task = tasks_v2.Task(http_request={"url": url, **request})
        if task_id:
            task.name = f"{queue}/tasks/{task_id}"
        if after_s:
            task.schedule_time = moment(time.time() + after_s)
        return cast("tasks_v2.Task", self.client.create_task(parent=queue, task=task))


@contextlib.contextmanager
def running(*arguments: Any, **options: Any) -> Iterator[Emulator]:
    """An emulator for as long as the block lasts."""
    emulator = Emulator(*arguments, **options).start()
    try:
        yield emulator
    except BaseException as error:
        error.add_note(f"the emulator said:\n{emulator.stop()}")
        raise
    finally:
        emulator.stop()


@dataclass(frozen=True)
class Delivery:
    """One request that reached the target."""

    at: float
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def task_id(self) -> str:
        """Whose delivery it is."""
        return self.headers["X-CloudTasks-TaskName"]


Script = Callable[[Delivery, int], "int | tuple[int, dict[str, str]]"]


def after(seconds: float, status: int) -> int:
    """Give a status, but not at once."""
    time.sleep(seconds)
    return status


def always_ok(_delivery: Delivery, _attempt: int) -> int:
    """Accept everything."""
    return 200


class Target:
    """A web server that notes what reaches it and answers as its script says: (delivery, how many came before for this task) → status."""

    def __init__(self) -> None:
        """Listen on a free port; `serve` has to run."""
        self.deliveries: list[Delivery] = []
        self.script: Script = always_ok
        self.most_at_once = 0
        self._at_once = 0
        self._counts: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                target.take(self, Delivery(time.time(), self.command, self.path, dict(self.headers.items()), body))

            do_POST = do_GET = do_PUT = do_DELETE = answer  # noqa: N815 - the names are http.server's

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/task"

    def take(self, handler: BaseHTTPRequestHandler, delivery: Delivery) -> None:
        """Note a delivery and answer it."""
        with self._lock:
            before = self._counts[delivery.task_id]
            self._counts[delivery.task_id] += 1
            self.deliveries.append(delivery)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            answer = self.script(delivery, before)
        finally:
            with self._lock:
                self._at_once -= 1
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        with contextlib.suppress(OSError):
            handler.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                handler.send_header(name, value)
            handler.end_headers()

    def of(self, task_id: str) -> list[Delivery]:
        """What reached it of one task."""
        return [delivery for delivery in list(self.deliveries) if delivery.task_id == task_id]

    def wait(self, count: int, *, timeout_s: float = 15.0) -> list[Delivery]:
        """Wait until so many deliveries have come; gives them all."""
        wait_for(lambda: len(self.deliveries) >= count, timeout_s=timeout_s)
        return list(self.deliveries)


@contextlib.contextmanager
def listening() -> Iterator[Target]:
    """A target for as long as the block lasts."""
    target = Target()
    thread = threading.Thread(target=target.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield target
    finally:
        target.server.shutdown()
        target.server.server_close()
        thread.join(5)
