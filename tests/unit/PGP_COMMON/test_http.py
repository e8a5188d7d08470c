"""The one outbound call: what each failure means for what happens next."""

from __future__ import annotations

import json
import logging
import sys
import time
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON import failpoints, http
from PGP_COMMON.errors import AnswerLost, Misconfigured, Refused, Throttled, VendorDown
from PGP_COMMON.http import EFFECTS, Http, OnLost, dumps, effect, parsed, read, redacted, refusal, was_not_done
from tests.support.raw_server import answering, http_answer, raw_server

QUICK = {"connect_timeout_s": 0.5, "read_timeout_s": 0.3}


def vendor(handler: Any) -> Http:
    return Http("shop", "https://shop.example/v1", transport=httpx.MockTransport(handler))


def status(code: int, **headers: str) -> Http:
    return vendor(lambda _request: httpx.Response(code, headers={name.replace("_", "-"): value for name, value in headers.items()}, text="{}"))


def raising(error: Exception) -> Http:
    def handle(_request: httpx.Request) -> httpx.Response:
        raise error

    return vendor(handle)


@pytest.mark.parametrize("code", [200, 201, 202, 204, 301, 302, 400, 401, 403, 404, 409, 422])
def test_what_the_vendor_says_about_the_request_is_for_its_own_client_to_read(code: int):
    answer = status(code).call("POST", "/x")
    assert answer.status == code
    assert answer.ok == (code < 300)


@pytest.mark.parametrize("code", [500, 501, 503, 521, 522, 599, 408, 425])
def test_a_vendor_in_trouble_is_to_be_left_alone_and_may_have_done_it(code: int):
    with pytest.raises(VendorDown) as error:
        status(code).call("POST", "/x")
    assert error.value.vendor == "shop"
    assert not was_not_done(error.value)


@pytest.mark.parametrize("code", [502, 504, 520, 524])
def test_a_gateway_that_lost_the_answer_may_have_passed_the_request_on(code: int):
    with pytest.raises(AnswerLost):
        status(code).call("POST", "/x")
    with pytest.raises(VendorDown):
        status(code).call("GET", "/x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0", 1), ("999999999999", 3600), ("", None), ("soon", None), ("-5", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 1)],
)
def test_too_many_requests_carry_the_wait(text: str, seconds: int | None):
    with pytest.raises(Throttled) as error:
        status(429, Retry_After=text).call("GET", "/x")
    assert error.value.retry_after_s == seconds
    assert was_not_done(error.value)


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")])
def test_without_a_connection_nothing_happened(error: Exception):
    with pytest.raises(VendorDown) as down:
        raising(error).call("POST", "/x")
    assert was_not_done(down.value)


@pytest.mark.parametrize(
    "error", [httpx.ReadTimeout("x"), httpx.ReadError("x"), httpx.WriteError("x"), httpx.RemoteProtocolError("x"), httpx.WriteTimeout("x")]
)
def test_once_it_is_sent_a_missing_answer_is_a_lost_one(error: Exception):
    with pytest.raises(AnswerLost) as lost:
        raising(error).call("POST", "/x")
    assert lost.value.vendor == "shop"


def test_nobody_listening_is_no_connection():
    with pytest.raises(VendorDown):
        Http("shop", "http://127.0.0.1:1", **QUICK).call("POST", "/x")


@pytest.mark.parametrize(
    "behave",
    [
        pytest.param(lambda connection: connection.recv(65536), id="closes without a word"),
        pytest.param(lambda connection: time.sleep(1), id="says nothing"),
        pytest.param(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), id="stops in the middle"),
        pytest.param(answering(b"\x16\x03\x01 no HTTP at all\r\n\r\n"), id="speaks something else"),
        pytest.param(answering(http_answer(b"x" * 2048)), id="says too much"),
        pytest.param(answering(http_answer(b"\x1f\x8b\x08", headers="Content-Encoding: gzip\r\n")), id="packs its answer"),
    ],
)
def test_a_connection_that_breaks_after_sending_is_a_lost_answer(behave: Any):
    with raw_server(behave) as (url, _), pytest.raises(AnswerLost):
        Http("shop", url, max_bytes=1024, **QUICK).call("POST", "/x", body={"a": 1})


def test_an_answer_that_drips_is_given_up_though_each_drop_is_in_time():
    def drip(connection: Any) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    started = time.monotonic()
    with raw_server(drip) as (url, _), pytest.raises(AnswerLost, match="slow"):
        Http("shop", url, **QUICK).call("GET", "/x")
    assert time.monotonic() - started < 3


def test_connections_are_reused_and_redirects_are_not_followed():
    def serve(connection: Any) -> None:
        while connection.recv(65536):
            connection.sendall(http_answer(b"{}", status="302 Found", headers="Location: http://127.0.0.1:1/\r\n"))

    with raw_server(serve) as (url, seen):
        shop = Http("shop", url, **QUICK)
        assert [shop.call("GET", "/x").status for _ in range(5)] == [302] * 5
        assert len(seen) == 1
        shop.close()


def test_the_request_is_what_was_asked():
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    vendor(handle).call("POST", "/pay", params={"q": "a b"}, body={"amount": Decimal("0.00000010")}, headers={"x-key": "k"})
    (request,) = seen
    assert str(request.url) == "https://shop.example/v1/pay?q=a+b"
    assert request.content == b'{"amount":0.0000001}'
    assert request.headers["x-key"] == "k"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("key", ["bad\nkey", "bad\rkey: x"])
def test_a_key_that_no_header_can_carry_is_not_repeated_in_the_error(key: str):
    with raw_server(answering(http_answer(b"{}"))) as (url, _), pytest.raises(Misconfigured) as error:
        Http("shop", url, **QUICK).call("GET", "/x", headers={"x-key": key})
    assert "bad" not in str(error.value)
    assert error.value.__suppress_context__


def test_an_address_that_is_none_is_a_mistake_of_ours():
    with pytest.raises(Misconfigured):
        Http("shop", "ftp://shop.example").call("GET", "/x")


def test_neither_bodies_nor_keys_nor_values_reach_the_log(capsys, caplog):
    caplog.set_level(logging.DEBUG)
    http_ = vendor(lambda _request: httpx.Response(200, text='{"canary": "body-canary"}'))
    http_.call("POST", "/x?k=path-canary", params={"key": "query-canary"}, body={"b": "sent-canary"}, headers={"x-key": "header-canary"})
    assert "canary" not in caplog.text + capsys.readouterr().out
    assert "shop.example" not in repr(http_)
    assert "canary" not in repr(http_.call("GET", "/x"))


def test_a_target_is_written_without_values():
    assert redacted("/v1/payment?api_key=abc", {"limit": "1", "token": "xyz"}) == "/v1/payment?limit&token"
    assert redacted("/v1/payment") == "/v1/payment"


def test_failpoints_stand_before_the_sending_and_after_the_answer():
    hits: list[str] = []

    def handle(_request: httpx.Request) -> httpx.Response:
        hits.append("handled")
        return httpx.Response(200)

    failpoints.arm({"http.shop.sent": lambda: hits.append("sent"), "http.shop.answered": lambda: hits.append("answered")})
    try:
        vendor(handle).call("GET", "/x")
    finally:
        failpoints.disarm()
    assert hits == ["sent", "handled", "answered"]
    vendor(handle).call("GET", "/x")
    assert hits == ["sent", "handled", "answered", "handled"]


# Numbers.


def test_numbers_keep_every_digit():
    body = parsed(b'{"a":0.1,"b":12345678901234567890,"c":1e-8,"d":1.10}')
    assert body == {"a": Decimal("0.1"), "b": 12345678901234567890, "c": Decimal("1E-8"), "d": Decimal("1.10")}
    assert isinstance(body["b"], int)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", '{"a":NaN}', "", "<html>", "\xff"])
def test_what_is_no_json_is_a_lost_answer(text: str):
    answer = vendor(lambda _request: httpx.Response(200, content=text.encode("latin-1"))).call("GET", "/x")
    with pytest.raises(AnswerLost):
        answer.json()
    assert answer.problem() == {}


def test_json_that_is_too_deep_is_a_lost_answer():
    # Another test of this process may have imported a library that raises the limit.
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    answer = vendor(lambda _request: httpx.Response(200, text="[" * 100_000)).call("GET", "/x")
    try:
        with pytest.raises(AnswerLost):
            answer.json()
    finally:
        sys.setrecursionlimit(before)


def test_a_float_is_never_written():
    with pytest.raises(TypeError):
        dumps({"amount": 0.1})


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_is_written_as_the_library_would(value: Any):
    assert json.loads(dumps(value)) == value


@given(st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=0, max_value=10**12))
def test_a_decimal_comes_back_as_it_was(value: Decimal):
    assert parsed(dumps(value)) == value


# Refusals.


def test_a_refused_key_is_not_final_but_any_other_refusal_is():
    for code in (401, 403):
        error = refusal(status(code).call("GET", "/x"), code="INVALID")
        assert isinstance(error, VendorDown)
        assert error.data == {"status": code, "code": "key_refused", "vendor_code": "INVALID"}
        assert was_not_done(error)
    error = refusal(status(404).call("GET", "/x"))
    assert isinstance(error, Refused)
    assert (error.status, error.code) == (404, "http_404")


# Effects.


def test_every_client_method_is_declared_with_what_follows_a_lost_answer():
    import PGP_COMMON.clients.changenow
    import PGP_COMMON.clients.ethereum
    import PGP_COMMON.clients.nowpayments
    import PGP_COMMON.clients.prices
    import PGP_COMMON.clients.secrets
    import PGP_COMMON.clients.sendgrid
    import PGP_COMMON.clients.telegram  # noqa: F401

    declared = {key: found.on_lost for key, found in EFFECTS.items()}
    assert declared["nowpayments", "create_invoice"] is OnLost.REPEAT
    assert declared["changenow", "create_exchange"] is OnLost.REPEAT
    assert declared["ethereum", "send_raw"] is OnLost.SAME_BYTES
    assert declared["telegram", "send_message"] is OnLost.RESEND_LIMITED
    assert declared["sendgrid", "send"] is OnLost.RESEND_LIMITED
    assert declared["telegram", "approve_join"] is OnLost.REPEAT
    assert all(found.reason for found in EFFECTS.values())


def test_a_lost_answer_carries_its_declaration_and_calls_are_counted():
    @effect(OnLost.RESEND_LIMITED, reason="a test")
    def send() -> None:
        raise AnswerLost(vendor="shop")

    key = (__name__.rpartition(".")[2], "send")
    try:
        before = http.CALLS[key]
        with pytest.raises(AnswerLost) as lost:
            send()
        assert lost.value.data["on_lost"] is OnLost.RESEND_LIMITED
        assert http.CALLS[key] == before + 1
    finally:
        del EFFECTS[key], http.CALLS[key]


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (VendorDown("x", vendor="shop", fast=True), 3),
        (AnswerLost("x", vendor="shop", fast=True), 3),
        (AnswerLost("x", vendor="shop"), 1),
        (VendorDown("x", vendor="shop"), 1),
        (Throttled("x", vendor="shop"), 1),
        (Refused("x", vendor="shop"), 1),
    ],
)
def test_only_a_read_that_failed_fast_is_repeated_at_once(monkeypatch, error: Exception, times: int):
    monkeypatch.setattr(http, "READ_PAUSES_S", (0, 0))
    asked = []

    @read
    def look() -> None:
        asked.append(1)
        raise error

    try:
        with pytest.raises(type(error)):
            look()
    finally:
        del EFFECTS[(__name__.rpartition(".")[2], "look")]
    assert len(asked) == times


def test_a_read_that_works_the_second_time_is_an_answer(monkeypatch):
    monkeypatch.setattr(http, "READ_PAUSES_S", (0, 0))
    outcomes = iter([VendorDown("x", vendor="shop", fast=True), None])

    @read
    def look() -> str:
        if error := next(outcomes):
            raise error
        return "seen"

    assert look() == "seen"
    del EFFECTS[(__name__.rpartition(".")[2], "look")]
