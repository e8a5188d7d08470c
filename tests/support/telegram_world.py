"""Runs the Telegram simulator within a test, and a small webhook that remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import requests
from telegram import Bot
from telegram.request import HTTPXRequest

from deploy.simulators.server import Server
from deploy.simulators.telegram.app import build
from deploy.simulators.telegram.courier import Pace
from deploy.simulators.telegram.world import Account

TOKEN = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
T = TypeVar("T")
ACCOUNT = Account(token=TOKEN, id=123456, username="paygate_test_bot", first_name="PayGatePrime")


@dataclass
class TelegramWorld:
    """A running simulator."""

    url: str

    def control(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Use a control door; what it refuses fails the test."""
        answer = requests.post(f"{self.url}/_control{path}", json=body, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def refused(self, path: str, body: dict[str, Any]) -> str:
        """Use a control door that must refuse, and give its reason."""
        answer = requests.post(f"{self.url}/_control{path}", json=body, timeout=10)
        assert answer.status_code == 400, answer.text
        return str(answer.json()["error"])

    def look(self, path: str) -> Any:
        return requests.get(f"{self.url}/_control{path}", timeout=10).json()

    def call(self, method: str, token: str = TOKEN, **params: Any) -> tuple[int, dict[str, Any]]:
        """Call a method with a JSON body, as plainly as possible."""
        answer = requests.post(f"{self.url}/bot{token}/{method}", json=params, timeout=10)
        return answer.status_code, answer.json()

    def result(self, method: str, **params: Any) -> Any:
        """Call a method that must work."""
        status, body = self.call(method, **params)
        assert status == 200, body
        return body["result"]

    def fault(self, operation: str, mode: str, value: Any = None, times: int | None = 1) -> None:
        self.control("/faults", {"operation": operation, "mode": mode, "value": value, "times": times})

    def ask(self, work: Callable[[Bot], Awaitable[T]], *, token: str = TOKEN, read_timeout_s: float = 5) -> T:
        """Do something with the real client, python-telegram-bot, which raises what it raises in production."""

        async def run() -> T:
            # Loading the certificates of the world, which plain HTTP does not need, would take longer than the test.
            async with HTTPXRequest(read_timeout=read_timeout_s, httpx_kwargs={"verify": False}) as sender:
                return await work(Bot(token, base_url=f"{self.url}/bot", request=sender, get_updates_request=sender))

        return asyncio.run(run())


@contextmanager
def telegram_world(state_dir: Path, **flags: Any) -> Iterator[TelegramWorld]:
    """Run the simulator in this process, with its webhook sender."""
    flags.setdefault("pace", Pace(first_s=0.05, max_s=0.4, timeout_s=5))
    app, courier = build(state_dir, ACCOUNT, **flags)
    server = Server("127.0.0.1", 0, app)
    stop = threading.Event()
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,)), threading.Thread(target=courier.run, args=(stop,))]
    for thread in threads:
        thread.start()
    try:
        yield TelegramWorld(f"http://127.0.0.1:{server.port}")
    finally:
        stop.set()
        courier.start_over()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


@dataclass
class Hook:
    """A webhook that remembers; `answers` says with what it answers next (200 when empty)."""

    url: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    # Says for one update whether it is to be refused.
    refuses: Callable[[dict[str, Any]], bool] = lambda update: False

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        update = json.loads(environ["wsgi.input"].read())
        self.times.append(time.monotonic())
        self.secrets.append(environ.get("HTTP_X_TELEGRAM_BOT_API_SECRET_TOKEN"))
        self.got.append(update)
        refused = "500 No" if self.refuses(update) else "200 OK"
        start(self.answers.pop(0) if self.answers else refused, self.headers)
        return [self.body]

    def wait(self, count: int, within_s: float = 5) -> list[dict[str, Any]]:
        """Wait until so many updates came, and give them."""
        until = time.monotonic() + within_s
        while len(self.got) < count and time.monotonic() < until:
            time.sleep(0.005)
        assert len(self.got) >= count, f"{len(self.got)} of {count} updates came"
        return self.got

    def texts(self) -> list[str]:
        return [update["message"]["text"] for update in self.got]


@contextmanager
def webhook() -> Iterator[Hook]:
    """Run a webhook."""
    hook = Hook()
    server = Server("127.0.0.1", 0, hook)
    hook.url = f"http://127.0.0.1:{server.port}/telegram-webhook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
