"""A real service that is told to end: what it has begun it ends, what comes next it hands on, and it is gone within the grace of the cloud."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from PGP_COMMON.cli.serve import GRACE_S, command
from PGP_COMMON.directory import service_named
from PGP_COMMON.money_machines import wallet
from PGP_COMMON.outbox import message
from PGP_COMMON.tokens import HEADER, BaseTokenManager
from tests.support.cloudtasks import CHECKOUT, wait_for
from tests.support.engines import Bench
from tests.support.settings import environ

SERVICE = service_named("pgp-hostpay2-v1")
STEP, SUBJECT = "wallet.reconcile", "2026-03-02T09:00:00Z"
ADDRESS, CHAIN_ID = "0x" + "1" * 40, 31337


@dataclass
class SlowNode:
    """A chain with one block, which it is slow to give."""

    asked: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                node.asked.set()
                node.go_on.wait(10)
                block = {"number": "0x0", "hash": "0x" + "a" * 64, "parentHash": "0x" + "0" * 64, "transactions": []}
                raw = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": block}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def node() -> Iterator[SlowNode]:
    made = SlowNode()
    server = ThreadingHTTPServer(("127.0.0.1", 0), made.handler())
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    made.go_on.set()
    server.shutdown()
    server.server_close()


@contextmanager
def served(settings: dict[str, str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service as `pgp serve` runs it."""
    needed = {name: value for name, value in settings.items() if value}
    process = subprocess.Popen(command(SERVICE, host="127.0.0.1", port=port), env={**os.environ, **needed}, cwd=CHECKOUT, stdout=sys.stderr)
    try:
        wait_for(lambda: process.poll() is None and _is_up(port), timeout_s=60)
        yield process
    finally:
        process.kill()
        process.wait()


def _is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=1).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_service_that_is_told_to_end_finishes_its_phase_and_gives_the_rest_back(database_url: str, node: SlowNode) -> None:
    bench = Bench(database_url)
    bench.send(SUBJECT, step=STEP)
    with bench.db.transaction() as tx:
        wallet.open(tx, address=ADDRESS, chain_id=CHAIN_ID, nonce=0, block=0, balances={})
    settings = environ(database_url, ETHEREUM_RPC_URL=node.url, HOST_WALLET_ETH_ADDRESS=ADDRESS, HOST_WALLET_USDT_ADDRESS=ADDRESS)
    keys = BaseTokenManager(lambda: settings["WEBHOOK_SIGNING_KEY"])
    body = message(STEP, SUBJECT)
    headers = {"Content-Type": "application/json", HEADER: keys.sign(SERVICE.name, f"{STEP}/{SUBJECT}", body)}
    port = _free_port()
    answers: list[int] = []
    with served(settings, port) as process:
        task = threading.Thread(
            target=lambda: answers.append(httpx.post(f"http://127.0.0.1:{port}/task", content=body, headers=headers, timeout=30).status_code)
        )
        task.start()
        assert node.asked.wait(20)
        process.send_signal(signal.SIGTERM)
        # The worker hears of it before the node answers.
        wait_for(lambda: not _is_up(port))
        node.go_on.set()
        # Cloud Run kills two seconds after that.
        process.wait(timeout=GRACE_S + 2)
        task.join(10)
    assert answers == [200]
    assert bench.value("SELECT point || ' ' || state FROM work") == "fence open"
    assert bench.value("SELECT lease_until IS NULL AND attempts = 0 FROM work")
    assert bench.value("SELECT count(*) FROM reconciliation WHERE job = 'chain'") == 1
    bench.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
