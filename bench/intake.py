"""The way in: signed notices that pgp-np-ipn-v1 keeps a second, beside a bare Flask view that does one INSERT."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
import psutil
import sqlalchemy as sa
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from bench import bare, client
from bench.fleet import Fleet
from deploy.local import files, probes, processes, report
from deploy.local.ports import HOST
from deploy.local.switch import inherited
from PGP_COMMON.cli.serve import command
from PGP_COMMON.directory import service_named
from PGP_COMMON.settings import CATALOGUE

SERVICE: Final = "pgp-np-ipn-v1"
ROUNDS: Final = 5
CONNECTIONS: Final = 8
WARM_UP: Final = 200
# A view is calm when it uses less of a core than this while one looks, and is not waited for longer than that.
LOOK_S, IDLE, CALM_S = 0.25, 0.1, 5.0
_UPDATED: Final = re.compile(rb'"updated_at":[0-9]+')
_count = itertools.count(int(time.time() * 1000))


@dataclass(frozen=True)
class Rate:
    """One burst: answers a second, milliseconds an answer, milliseconds of the process's own processor time a notice, and what was not 200."""

    per_second: float
    median_ms: float
    p99_ms: float
    cpu_ms: float
    refused: int


@dataclass(frozen=True)
class Intake:
    """The two views by turns, and the service once more while the notices are settled behind it. `ratio`: of the medians."""

    bare: list[Rate]
    service: list[Rate]
    busy: Rate
    notices: int
    connections: int

    @property
    def bare_per_second(self) -> float:
        """The bare view's median."""
        return statistics.median(rate.per_second for rate in self.bare)

    @property
    def service_per_second(self) -> float:
        """The service's median."""
        return statistics.median(rate.per_second for rate in self.service)

    @property
    def ratio(self) -> float:
        """How much of the bare view's rate the service reaches."""
        return self.service_per_second / self.bare_per_second


class Notices:
    """What the vendor might say again and again: notices that were sent, each time at another millisecond, signed anew."""

    def __init__(self, bodies: Sequence[bytes], secret: str) -> None:
        """Take bodies of the vendor's and its secret."""
        self._bodies = itertools.cycle(bodies)
        self._secret = secret.partition(",")[0].encode()

    def requests(self, url: str, count: int) -> list[bytes]:
        """So many requests, no two with the same body."""
        return [self._request(url, body) for body in itertools.islice(self._bodies, count)]

    def _request(self, url: str, body: bytes) -> bytes:
        body = _UPDATED.sub(b'"updated_at":%d' % next(_count), body)
        signature = hmac.new(self._secret, body, hashlib.sha512).hexdigest()
        return client.post(url, body, {"Content-Type": "application/json", "x-nowpayments-sig": signature})


def measure(fleet: Fleet, notices: Notices, *, count: int, settled: Callable[[], None]) -> Intake:
    """Burst by burst, the bare view and the service by turns while nothing is settled; then the service while everything is.

    `settled` waits until no notice waits any more.
    """
    ours = f"{fleet.world.services[SERVICE]}/"
    entry = next(entry for entry in fleet.programs if entry.name == SERVICE)
    service = psutil.Process(entry.pid)
    plain, kept = [], []
    with yardstick(fleet) as (url, other):
        with paused(fleet):
            for at, process in ((url, other), (ours, service)):
                _burst(at, process, notices, WARM_UP)
            for _ in range(ROUNDS):
                plain.append(_burst(url, other, notices, count))
                kept.append(_burst(ours, service, notices, count))
        settled()
        busy = _burst(ours, service, notices, count)
    settled()
    return Intake(plain, kept, busy, count, CONNECTIONS)


def _burst(url: str, process: psutil.Process, notices: Notices, count: int) -> Rate:
    requests = notices.requests(url, count)
    before = _cpu_s(process)
    told = client.burst(url, requests, connections=CONNECTIONS)
    _wait_calm(process)
    cpu_ms = 1000 * (_cpu_s(process) - before) / count
    delays = sorted(told.delays_s)
    refused = count - told.answers.get(200, 0)
    return Rate(told.per_second, 1000 * statistics.median(delays), 1000 * delays[int(0.99 * len(delays))], cpu_ms, refused)


def _wait_calm(process: psutil.Process) -> None:
    """Wait until a view has done what it does after its answers (wake-ups are published then), so that it counts as its own and not as the next one's."""
    deadline, before = time.monotonic() + CALM_S, _cpu_s(process)
    while time.monotonic() < deadline:
        time.sleep(LOOK_S)
        now = _cpu_s(process)
        if now - before < IDLE * LOOK_S:
            return
        before = now


def _cpu_s(leader: psutil.Process) -> float:
    return float(sum(times.user + times.system for times in (process.cpu_times() for process in report.family_of(leader))))


@contextmanager
def yardstick(fleet: Fleet) -> Iterator[tuple[str, psutil.Process]]:
    """The bare view under the service's own gunicorn settings; its table is dropped afterwards."""
    engine = sa.create_engine(fleet.known["DATABASE_URL"], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(bare.TABLE)
    port = _free_port()
    argv = [*command(service_named(SERVICE), host=HOST, port=port)[:-1], f"{bare.__name__}:create_app()"]
    child = subprocess.Popen(argv, env={**inherited(), "DATABASE_URL": fleet.known["DATABASE_URL"]}, cwd=files.CHECKOUT)
    try:
        if not processes.wait_until(lambda: probes.listens(port), 30):
            raise SystemExit("the bare view did not start")
        yield f"http://{HOST}:{port}/", psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait(15)
        with engine.connect() as connection:
            connection.execute(bare.DROP)
        engine.dispose()


def _free_port() -> int:
    with socket.socket() as held:
        held.bind((HOST, 0))
        return int(held.getsockname()[1])


@contextmanager
def paused(fleet: Fleet) -> Iterator[None]:
    """Let no notice be settled meanwhile, so that both views have the machine to themselves."""
    channel = grpc.insecure_channel(fleet.known["CLOUD_TASKS_ENDPOINT"])
    queues: Any = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    step_queue = service_named("pgp-orchestrator-v1").route("/process-validated-payment").queue
    if step_queue is None:
        raise SystemExit("notices have no queue")
    project, location = (fleet.known.get(name) or CATALOGUE[name].default for name in ("CLOUD_TASKS_PROJECT_ID", "CLOUD_TASKS_LOCATION"))
    name = queues.queue_path(project, location, step_queue.name)
    queues.pause_queue(name=name)
    try:
        yield
    finally:
        queues.resume_queue(name=name)
        channel.close()
