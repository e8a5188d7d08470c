"""Every simulator's control door arms faults that do what they say, and its server keeps connections sound."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from flask import Flask, jsonify, request

from deploy.simulators.books import Books
from deploy.simulators.desk import Desk, same
from deploy.simulators.server import Server
from tests.support.simulators import ROOT


@pytest.fixture
def done():
    return []


@pytest.fixture
def http(done):
    app = Flask("shop")

    @app.post("/v1/order")
    def order():
        done.append(request.get_json())
        return jsonify(number=len(done)), 201

    @app.get("/v1/order/<int:number>")
    def look(number):
        return jsonify(number=number)

    desk = Desk("shop", {"orders": lambda: [{"order": one} for one in done]}, webhooks=("bell",), on_reset=lambda books: books and done.clear())
    server = Server("127.0.0.1", 0, desk.attach(app))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=5) as client:
        yield client
    server.shutdown()
    server.server_close()


def arm(http, operation, mode, **more):
    return http.post("/_control/faults", json={"operation": operation, "mode": mode} | more)


def order(http):
    return http.post("/v1/order", json={"a": 1})


def test_calls_are_counted_by_operation_and_the_door_itself_is_not(http, done):
    order(http)
    order(http)
    http.get("/v1/order/7")
    http.get("/nowhere")
    assert http.get("/_control/calls").json() == {"POST /v1/order": 2, "GET /v1/order/{}": 1, "unknown": 1}


def test_a_status_fault_answers_without_doing_and_is_used_up(http, done):
    arm(http, "POST /v1/order", "status", value=503, times=2)
    assert [order(http).status_code for _ in range(3)] == [503, 503, 201]
    assert len(done) == 1


def test_the_door_says_which_faults_were_met_and_how_often(http):
    arm(http, "POST /v1/order", "status", value=503, times=2)
    arm(http, "GET /v1/order/{id}", "delay", value=0, times=3)
    for _ in range(3):
        order(http)
    http.get("/v1/order/7")
    http.post("/_control/reset")
    assert http.get("/_control/met").json() == [
        {"operation": "GET /v1/order/{}", "mode": "delay", "times": 1},
        {"operation": "POST /v1/order", "mode": "status", "times": 2},
    ]


def test_a_status_fault_can_carry_any_text(http, done):
    arm(http, "POST /v1/order", "status", value={"status": 200, "body": "<html>"})
    assert (order(http).text, done) == ("<html>", [])


def test_a_lost_answer_is_done_and_not_answered(http, done):
    arm(http, "POST /v1/order", "lost_answer")
    with pytest.raises(httpx.RemoteProtocolError):
        order(http)
    assert len(done) == 1
    assert order(http).status_code == 201


def test_a_timeout_holds_without_doing(http, done):
    arm(http, "POST /v1/order", "timeout", value=0.2)
    started = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        order(http)
    assert time.monotonic() - started >= 0.2
    assert done == []


def test_a_timeout_ends_when_the_requester_gives_up(http, done):
    arm(http, "POST /v1/order", "timeout", value=30)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/order", json={}, timeout=0.2)
    assert done == []


def test_a_duplicate_is_done_twice_and_answered_once(http, done):
    arm(http, "POST /v1/order", "duplicate")
    assert order(http).json() == {"number": 2}
    assert done == [{"a": 1}, {"a": 1}]


def test_a_delay_is_done_later(http):
    arm(http, "POST /v1/order", "delay", value=0.2)
    started = time.monotonic()
    assert order(http).status_code == 201
    assert time.monotonic() - started >= 0.2


def test_a_fault_finds_its_operation_whatever_the_paths_part_is_called(http):
    arm(http, "GET /v1/order/{id}", "status", value=500)
    assert order(http).status_code == 201
    assert http.get("/v1/order/7").status_code == 500


def test_faults_meet_requests_in_the_order_in_which_they_were_armed(http):
    for status in (500, 429):
        arm(http, "POST /v1/order", "status", value=status)
    assert [order(http).status_code for _ in range(3)] == [500, 429, 201]


@pytest.mark.parametrize(
    "bad",
    [
        {"operation": "POST /v1/nothing", "mode": "status"},
        {"operation": "POST /v1/order", "mode": "explode"},
        {"operation": "POST /v1/order", "mode": "reorder"},
        {"operation": "POST /v1/order", "mode": "delay", "value": "long"},
        {"mode": "status"},
        [],
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(http, bad):
    assert http.post("/_control/faults", json=bad).status_code == 400


def test_reset_disarms_and_forgets_only_when_asked(http, done):
    arm(http, "POST /v1/order", "status", value=503, times=None)
    order(http)
    http.post("/_control/reset")
    order(http)
    assert http.get("/_control/books").json() == {"orders": [{"order": {"a": 1}}]}
    assert http.get("/_control/faults").json() == []
    http.post("/_control/reset", json={"books": True})
    assert http.get("/_control/books/orders").json() == []


def test_operations_are_written_in_one_way():
    assert same("GET /v1/payment/{id}?a=b") == same("GET /v1/payment/<int:payment_id>") == "GET /v1/payment/{}"


def test_one_connection_carries_many_requests(http):
    port = http.base_url.port
    with socket.create_connection(("127.0.0.1", port)) as line:
        for body in (b"GET /v1/order/1 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc") * 3:
            line.sendall(body)
            answer = line.recv(65536)
            assert answer.startswith(b"HTTP/1.1 ")
            assert b"Connection: close" not in answer


def test_a_chunked_body_arrives_whole(http, done):
    http.post("/v1/order", content=iter([b'{"a"', b": 2}"]), headers={"Content-Type": "application/json"})
    assert done == [{"a": 2}]


@pytest.mark.parametrize("length", ["-1", "x", "99999999999"])
def test_a_length_that_makes_no_sense_is_refused(http, length):
    with socket.create_connection(("127.0.0.1", http.base_url.port)) as line:
        line.sendall(f"POST /v1/order HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_program_says_where_it_listens_and_ends_on_sigterm(tmp_path):
    command = [sys.executable, "-m", "deploy.simulators.changenow", "--state-dir", str(tmp_path), "--api-key", "x"]
    program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    url = json.loads(program.stdout.readline())["listening"]
    assert httpx.get(f"{url}/_control/books").status_code == 200
    program.terminate()
    assert program.wait(5) == 0


def test_what_fails_in_a_transaction_leaves_nothing(tmp_path):
    books = Books(tmp_path / "deep" / "b.sqlite", "CREATE TABLE IF NOT EXISTS t (x INTEGER)")

    def fail():
        with books.write():
            books.run("INSERT INTO t VALUES (1)")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    books.run("INSERT INTO t VALUES (2)")
    assert Books(tmp_path / "deep" / "b.sqlite", "").all("SELECT x FROM t") == [{"x": 2}]


def test_writers_in_many_threads_wait_for_each_other(tmp_path):
    books = Books(tmp_path / "b.sqlite", "CREATE TABLE IF NOT EXISTS t (x INTEGER); INSERT INTO t VALUES (0)")

    def add():
        for _ in range(50):
            with books.write():
                books.run("UPDATE t SET x = ?", (books.one("SELECT x FROM t")["x"] + 1,))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books.one("SELECT x FROM t") == {"x": 400}
