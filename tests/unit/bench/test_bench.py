"""The benchmark's own parts: its client, its notices, its page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench import client, tables
from bench.counting import Questions
from bench.fleet import Start
from bench.intake import Intake, Notices, Rate
from bench.payments import Delays, Run
from bench.sizes import Weight
from PGP_NP_IPN_v1 import canonical

SECRET = "first"
NOTICE = b'{"payment_id":5800567260,"payment_status":"waiting","updated_at":1765249461097}'


class Door(BaseHTTPRequestHandler):
    """Takes what begins with "good", and keeps its connections."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if body.startswith(b"good") else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("pace", [None, 500.0])
def test_every_request_is_sent_once_and_its_answer_counted(door: str, pace: float | None) -> None:
    requests = [client.post(door, body, {}) for body in (b"good", b"bad", b"good" + b"x" * 100_000) * 5]
    told = client.steadily(door, requests, per_second=pace, connections=3) if pace else client.burst(door, requests, connections=3)
    assert told.answers == {200: 10, 401: 5}
    assert len(told.delays_s) == len(requests)
    assert told.per_second == pytest.approx(10 / told.took_s)


def test_no_two_notices_are_alike_and_each_is_signed() -> None:
    made = Notices([NOTICE], f"{SECRET},second").requests("http://127.0.0.1:1/", 20)
    parts = [request.partition(b"\r\n\r\n") for request in made]
    assert len({body for _, _, body in parts}) == len(made)
    for head, _, body in parts:
        signature = next(line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"x-nowpayments-sig"))
        assert canonical.verify(body, signature.decode(), [SECRET])
        assert json.loads(body)["payment_id"] == 5800567260


def test_the_page_has_every_table_and_says_how_it_was_made() -> None:
    delays, rate = Delays.of([0.5, 0.25, 1.0]), Rate(1000.0, 5.0, 9.0, 0.5, 0)
    run = Run(3, 50.0, delays, delays, delays, delays, {"postgres": 6.0, "pgp-invite-v1": 4.0, "idle": 0.0})
    questions = Questions(3, {"pgp-invite-v1": 7.0}, {"pgp-invite-v1": 2.0}, {"pgp-invite-v1": 1.0}, {"telegram sendMessage": 2.0})
    intake = Intake.of([rate] * 3, [Rate(800.0, 6.0, 9.0, 0.6, 1)] * 3, rate, notices=10)
    machine = tables.Machine("2026-03-01", 2, "x86_64", "3.11.7", "18.0")
    page = tables.page(tables.Measured(machine, Start(20.0, 15.0), 40.0, intake, run, run, questions, [Weight("pgp-invite-v1", "service", 100.0, 80.0, 1.5)]))
    assert "python -m bench --write" in page
    assert "two cores" in page
    assert "| pgp-np-ipn-v1 | 800 (3 refused) | 6.0 | 9.0 | 0.60 | 0.80 of the bare view |" in page
    assert "| pgp-invite-v1 | 4.00 | 7.0 (2.0) | 1.0 |" in page
    assert "| idle |" not in page
    assert page.count("\n## ") == 6
