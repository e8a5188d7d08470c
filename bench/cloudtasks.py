"""This is the bench of the Cloud Tasks emulator: tasks a second, CPU a task, and milliseconds from create to delivery."""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import Pool
from pathlib import Path
from typing import IO, Any, ClassVar, cast

import grpc
import psutil
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

QUEUE = "projects/bench/locations/here/queues/bench"
CREATORS = 3
BODY = b'{"v":1,"step":"payout.fund","subject":"' + b"a" * 150 + b'"}'


class Receiver(asyncio.Protocol):
    """As little of an HTTP server as keep-alive needs, so that what is measured is the emulator."""

    arrived: ClassVar[dict[str, float]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:])
            length = int(headers.get("Content-Length", 0))
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.arrived[headers["X-CloudTasks-TaskName"]] = time.time()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")


def receive(ready: list[int]) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
        ready.append(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def postgres_cpu() -> dict[int, float]:
    return {p.pid: cpu(p) for p in psutil.process_iter(["name"]) if p.info["name"] == "postgres"}


def offer(address: str, url: str, numbers: range, start: float, rate: float) -> dict[str, tuple[float, float]]:
    """One process of creators: the google client alone would keep a single one busy."""
    channel = grpc.insecure_channel(address)
    client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
    created: dict[str, tuple[float, float]] = {}

    def one(index: int) -> None:
        time.sleep(max(0.0, start + (index / rate if rate else 0.0) - time.time()))
        name = f"{QUEUE}/tasks/{time.time_ns():x}{index}"
        task: Any = {
            "name": name,
            "http_request": {"url": url, "body": BODY, "headers": {"Content-Type": "application/json", "PGP-Sig": "v1=k:" + "0" * 64}},
        }
        begun = time.time()
        client.create_task(parent=QUEUE, task=task)
        created[name.rpartition("/")[2]] = (begun, time.time())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, numbers))
    return created


def measure(pool: Pool, address: str, process: psutil.Process, url: str, *, count: int, rate: float) -> None:
    Receiver.arrived.clear()
    before, pg = cpu(process), postgres_cpu()
    start = time.time() + 0.3
    parts = [(address, url, range(first, count, CREATORS), start, rate) for first in range(CREATORS)]
    created = {name: times for part in pool.starmap(offer, parts) for name, times in part.items()}
    while len(Receiver.arrived) < count:
        time.sleep(0.01)
    took = max(Receiver.arrived.values()) - start
    time.sleep(0.2)
    used = cpu(process) - before
    pg_used = sum(value - pg.get(pid, 0.0) for pid, value in postgres_cpu().items())
    creates = sorted(1000 * (end - begun) for begun, end in created.values())
    latency = sorted(1000 * (Receiver.arrived[name] - begun) for name, (begun, _) in created.items())
    print(
        f"offered {rate or 'all at once':>11}  tasks/s {count / took:6.0f}  emulator {1000 * used / count:5.2f} ms CPU/task"
        f"  postgres {1000 * pg_used / count:5.2f}  create ms p50 {statistics.median(creates):5.1f} p99 {creates[int(0.99 * count)]:6.1f}"
        f"  create→delivery ms p50 {statistics.median(latency):5.1f} p99 {latency[int(0.99 * count)]:6.1f}"
        f"  RSS {process.memory_info().rss / 2**20:.0f} MiB"
    )


def measure_backlog(pool: Pool, address: str, process: psutil.Process, url: str, *, count: int) -> None:
    """What gathered while the queue was paused, worked off."""
    client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=grpc.insecure_channel(address)))
    client.pause_queue(name=QUEUE)
    pool.starmap(offer, [(address, url, range(first, count, CREATORS), time.time(), 0) for first in range(CREATORS)])
    Receiver.arrived.clear()
    before, start = cpu(process), time.time()
    client.resume_queue(name=QUEUE)
    while len(Receiver.arrived) < count:
        time.sleep(0.01)
    took = max(Receiver.arrived.values()) - start
    time.sleep(0.2)
    print(f"backlog of {count}  tasks/s {count / took:6.0f} (the limit is 500)  emulator {1000 * (cpu(process) - before) / count:5.2f} ms CPU/task")


def measure_idle(process: psutil.Process) -> None:
    """What it costs to wait."""
    before = cpu(process)
    time.sleep(10)
    print(f"idle  {100 * (cpu(process) - before) / 10:.1f} % of a core  RSS {process.memory_info().rss / 2**20:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rates", type=float, nargs="*", default=[50, 150, 300, 0])
    asked = parser.parse_args()
    ready: list[int] = []
    threading.Thread(target=receive, args=(ready,), daemon=True).start()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as listed:
        json.dump([{"name": QUEUE, "max_concurrent_dispatches": 50}], listed)
        listed.flush()
        emulator = subprocess.Popen(
            [sys.executable, "-m", "deploy.emulators.cloudtasks", "--database-url", asked.database_url, "--listen", "127.0.0.1:0", "--queues", listed.name],
            cwd=Path(__file__).resolve().parents[1],
            stdout=subprocess.PIPE,
        )
        address = json.loads(cast("IO[bytes]", emulator.stdout).readline())["listening"]
    pool = multiprocessing.get_context("spawn").Pool(CREATORS)
    process = psutil.Process(emulator.pid)
    print(f"idle RSS {process.memory_info().rss / 2**20:.0f} MiB")
    try:
        for rate in asked.rates:
            count = min(asked.count, int(rate * 10)) if rate else asked.count
            measure(pool, address, process, f"http://127.0.0.1:{ready[0]}/task", count=count, rate=rate)
        measure_backlog(pool, address, process, f"http://127.0.0.1:{ready[0]}/task", count=asked.count)
        measure_idle(process)
    finally:
        pool.terminate()
        emulator.terminate()
        emulator.wait(10)


if __name__ == "__main__":
    main()
