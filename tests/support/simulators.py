"""Starts simulators as the programs they are, and listens for what they send."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy.simulators.server import Server

ROOT = Path(__file__).parents[2]


@dataclass
class Simulator:
    """A running simulator."""

    url: str
    process: subprocess.Popen[str]
    http: httpx.Client

    def control(self, path: str, **body: Any) -> Any:
        """Knock at the control door; fails the test when it refuses."""
        answer = self.http.post(f"/_control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def book(self, name: str) -> list[dict[str, Any]]:
        """Read one of the vendor's books."""
        return self.http.get(f"/_control/books/{name}").json()

    def fault(self, operation: str, mode: str, value: Any = None, times: int | None = 1) -> None:
        """Arm a fault."""
        self.control("faults", operation=operation, mode=mode, value=value, times=times)

    def kill(self) -> None:
        """Stop it as a power cut would."""
        self.process.kill()
        self.process.wait()


@contextmanager
def simulator(module: str, *flags: str | Path, headers: dict[str, str] | None = None) -> Iterator[Simulator]:
    """Run `python -m deploy.simulators.<module>` on a free port."""
    command = [sys.executable, "-m", f"deploy.simulators.{module}", "--port", "0", *map(str, flags)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["listening"]
        with httpx.Client(base_url=url, headers=headers, timeout=10) as http:
            yield Simulator(url, process, http)
    finally:
        process.kill()
        process.wait()


@dataclass
class Listener:
    """An HTTP endpoint that keeps what it is sent and answers as told."""

    url: str
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    delay_s: float = 0

    def application(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        """Answer 200, or what `answers` holds next."""
        headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
        headers["content-type"] = environ.get("CONTENT_TYPE", "")
        self.heard.append((headers, environ["wsgi.input"].read()))
        time.sleep(self.delay_s)
        start(f"{self.answers.pop(0) if self.answers else 200} X", [])
        return [b"{}"]

    def bodies(self) -> list[dict[str, Any]]:
        """Give what was heard, read as JSON."""
        return [json.loads(body) for _, body in self.heard]

    def wait_for(self, count: int, seconds: float = 10) -> list[dict[str, Any]]:
        """Wait until so many messages have come."""
        eventually(lambda: len(self.heard) >= count, seconds)
        return self.bodies()


@contextmanager
def listener() -> Iterator[Listener]:
    """Listen on a free port."""
    ear = Listener("")
    server = Server("127.0.0.1", 0, ear.application)
    ear.url = f"http://127.0.0.1:{server.port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield ear
    finally:
        server.shutdown()
        server.server_close()


def eventually(claim: Callable[[], Any], seconds: float = 10) -> Any:
    """Wait until a claim holds and give what it gave; fails the test when it never does."""
    last = time.monotonic() + seconds
    while True:
        value = claim()
        if value:
            return value
        assert time.monotonic() < last, "it did not happen in time"
        time.sleep(0.03)
