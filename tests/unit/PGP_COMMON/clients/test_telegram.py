"""Telegram's client from many threads, through bad networks, and what it makes of updates."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON import failpoints, http
from PGP_COMMON.clients import telegram_loop
from PGP_COMMON.clients.telegram import Telegram, parse_update
from PGP_COMMON.errors import AnswerLost, BadInput, Lost, Throttled, VendorDown
from PGP_COMMON.http import OnLost
from tests.support.raw_server import answering, http_answer, raw_server

TOKEN = "1234567:test-token"
SENT = {"ok": True, "result": {"message_id": 42, "date": 1700000000, "chat": {"id": 777, "type": "private"}, "text": "x"}}

pytestmark = pytest.mark.filterwarnings("ignore:Deprecated since version v22.2:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    monkeypatch.setattr(http, "READ_PAUSES_S", ())


def bot(handler: Any, **more: Any) -> Telegram:
    return Telegram(lambda: TOKEN, transport=httpx.MockTransport(handler), **more)


def raising(error: Exception) -> Telegram:
    def handle(_request: httpx.Request) -> httpx.Response:
        raise error

    return bot(handle)


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")])
def test_without_a_connection_nothing_was_sent(error: Exception):
    with pytest.raises(VendorDown):
        raising(error).send_message(777, "x")


@pytest.mark.parametrize("error", [httpx.ReadTimeout("x"), httpx.WriteTimeout("x"), httpx.ReadError("x"), httpx.RemoteProtocolError("x"), RuntimeError("x")])
def test_a_message_without_an_answer_may_have_arrived(error: Exception):
    with pytest.raises(AnswerLost) as lost:
        raising(error).send_message(777, "x")
    assert lost.value.data["on_lost"] is OnLost.RESEND_LIMITED


@pytest.mark.parametrize(("retry_after", "seconds"), [(5, 5), (1, 1), (999_999, 3600)])
def test_the_wait_that_telegram_asks_for_is_kept(retry_after: int, seconds: int):
    body = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": retry_after}}
    with pytest.raises(Throttled) as throttled:
        bot(lambda _request: httpx.Response(429, json=body)).send_message(777, "x")
    assert throttled.value.retry_after_s == seconds


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"ok":true}', b'{"ok":true,"result":{}}', b'{"ok":true,"result":7}', b'{"ok":false}'])
def test_a_success_that_cannot_be_read_may_be_one(body: bytes):
    with pytest.raises(Lost):
        bot(lambda _request: httpx.Response(200, content=body)).send_message(777, "x")


def test_over_a_real_socket_a_closed_connection_is_a_lost_answer():
    with raw_server(lambda connection: connection.recv(65536)) as (url, _), pytest.raises(AnswerLost):
        Telegram(lambda: TOKEN, base_url=url).send_message(777, "x")
    with pytest.raises(VendorDown):
        Telegram(lambda: TOKEN, base_url="http://127.0.0.1:1").send_message(777, "x")


def test_over_a_real_socket_the_path_is_the_vendors():
    with raw_server(answering(http_answer(b'{"ok":true,"result":true}', headers="Content-Type: application/json\r\n"))) as (url, seen):
        Telegram(lambda: TOKEN, base_url=url + "/").delete_webhook()
        assert len(seen) == 1


def test_threads_share_one_loop_and_their_calls_run_at_once():
    loops: set[Any] = set()
    under_way: list[asyncio.Event] = []

    async def handle(_request: httpx.Request) -> httpx.Response:
        # Only once all eight are under way does any of them go on.
        loops.add(asyncio.get_running_loop())
        under_way.append(mine := asyncio.Event())
        if len(under_way) == 8:
            for waiting in under_way:
                waiting.set()
        async with asyncio.timeout(10):
            await mine.wait()
        return httpx.Response(200, json=SENT)

    shared = bot(handle)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: shared.send_message(777, str(i)), range(8))) == [42] * 8
    assert len(loops) == 1


def test_a_call_that_never_ends_is_given_up():
    async def never() -> None:
        await asyncio.sleep(60)

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        telegram_loop.run(never(), timeout_s=0.1)
    assert time.monotonic() - started < 5


def test_a_new_token_is_used_by_the_next_call():
    tokens, paths = iter(["1:old", "1:old", "1:new"]), []

    def handle(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json=SENT)

    telegram = Telegram(lambda: next(tokens), transport=httpx.MockTransport(handle))
    for _ in range(3):
        telegram.send_message(777, "x")
    assert paths == ["/bot1:old/sendMessage", "/bot1:old/sendMessage", "/bot1:new/sendMessage"]


def test_a_missing_token_waits_for_the_operator():
    with pytest.raises(VendorDown) as error:
        Telegram(str).send_message(777, "x")
    assert error.value.data["code"] == "key_refused"


def test_failpoints_stand_around_the_call():
    hits: list[str] = []
    failpoints.arm({"http.telegram.sent": lambda: hits.append("sent"), "http.telegram.answered": lambda: hits.append("answered")})
    try:
        bot(lambda _request: httpx.Response(200, json=SENT)).send_message(777, "x")
    finally:
        failpoints.disarm()
    assert hits == ["sent", "answered"]


def test_a_forked_process_gets_a_loop_of_its_own():
    program = """
import asyncio, os
from PGP_COMMON.clients import telegram_loop
async def one(): return 1
telegram_loop.run(one(), timeout_s=5)
child = os.fork()
if child == 0:
    os._exit(0 if telegram_loop.run(one(), timeout_s=5) == 1 else 1)
print(os.waitpid(child, 0)[1])
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout == "0\n"


# Updates.

MESSAGE = {
    "update_id": 7,
    "message": {
        "message_id": 1,
        "date": 1700000000,
        "chat": {"id": 777, "type": "private", "first_name": "A"},
        "from": {"id": 777, "is_bot": False, "first_name": "A"},
        "text": "/start s_1_1",
    },
}


def test_an_update_is_read_without_a_bot():
    update = parse_update(MESSAGE)
    assert update.update_id == 7
    assert update.effective_user is not None
    assert update.effective_user.id == 777
    with pytest.raises(RuntimeError):
        update.get_bot()


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {"update_id": "7"},
        {"update_id": True},
        {"update_id": None},
        {"update_id": 7, "message": {}},
        {"update_id": 7, "message": "x"},
        {"update_id": 7, "message": {**MESSAGE["message"], "date": "x"}},
        {"update_id": 7, "message": {**MESSAGE["message"], "date": 10**30}},
        {"update_id": 7, "callback_query": {"id": 1}},
        {"update_id": 7, "chat_join_request": {"chat": 1}},
    ],
)
def test_what_is_no_update_is_refused(body: object):
    with pytest.raises(BadInput):
        parse_update(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["chat", "from", "message", "date", "id", "type", "text", "entities", "user", "old_chat_member", "status"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from(["message", "callback_query", "chat_member", "my_chat_member", "chat_join_request", "poll", "inline_query", "unknown"]), JSON)
def test_any_update_is_read_or_refused(kind: str, body: Any):
    try:
        parse_update({"update_id": 1, kind: body})
    except BadInput:
        return
