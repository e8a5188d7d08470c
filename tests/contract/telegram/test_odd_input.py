"""Whatever a bot sends, the simulator answers as an API and stays on its feet."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.simulators.telegram.app import METHODS, build
from tests.support.telegram_world import ACCOUNT, TOKEN

NAMES = [
    "chat_id",
    "user_id",
    "message_id",
    "text",
    "parse_mode",
    "entities",
    "reply_markup",
    "reply_parameters",
    "url",
    "secret_token",
    "allowed_updates",
    "max_connections",
    "invite_link",
    "name",
    "expire_date",
    "member_limit",
    "creates_join_request",
    "commands",
    "scope",
    "callback_query_id",
    "photo",
    "caption",
    "message_ids",
    "from_chat_id",
    "action",
    "until_date",
    "offset",
    "limit",
    "subscription_period",
]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([42, -1001, "42", "@vip", "HTML", "\ud800"])
TREES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6)
KEYBOARDS = st.builds(
    lambda button: {"inline_keyboard": [[button]]},
    st.dictionaries(st.sampled_from(["text", "url", "callback_data", "web_app"]), PLAIN | st.just("http://["), max_size=4),
)


@pytest.fixture(scope="module")
def api() -> Iterator[FlaskClient]:
    with tempfile.TemporaryDirectory() as folder:
        app, _ = build(Path(folder), ACCOUNT, set_webhook_pause_s=0)
        client = app.test_client()
        client.post("/_control/chats", json={"id": -1001, "type": "channel", "title": "VIP", "username": "vip"})
        client.post("/_control/updates", json={"user": {"id": 42, "first_name": "Ann"}, "text": "/start"})
        yield client


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([*METHODS, "getUpdates"]), st.dictionaries(st.sampled_from(NAMES), TREES | KEYBOARDS, max_size=6))
def test_any_parameters_get_an_answer(api: FlaskClient, method: str, params: dict[str, Any]):
    answer = api.post(f"/bot{TOKEN}/{method}", json=params)
    body = answer.get_json()
    assert body["ok"] is (answer.status_code == 200)
    assert body["ok"] or 400 <= body["error_code"] == answer.status_code < 500


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["updates", "chats", "chats/-1001/members"]),
    st.dictionaries(
        st.sampled_from(["user", "text", "chat", "callback", "edit", "join", "leave", "block", "id", "type", "title", "bot", "owner", "status", "rights"]),
        TREES,
        max_size=5,
    ),
)
def test_any_order_at_the_control_doors_gets_an_answer(api: FlaskClient, door: str, order: dict[str, Any]):
    assert api.post(f"/_control/{door}", json=order).status_code in {200, 400}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"5", b'{"text": "\\ud800"}', b"\xff"])
def test_a_body_that_makes_no_sense_is_refused(api: FlaskClient, body: bytes):
    answer = api.post(f"/bot{TOKEN}/sendMessage", data=body, content_type="application/json")
    assert answer.status_code == 400


@pytest.mark.parametrize("path", ["/", "/bot", "/bot/", "/bot/getMe", "/bots", f"/bot{TOKEN}", f"/bot{TOKEN}/", f"/bot{TOKEN}/a/b"])
def test_other_paths_are_not_found(api: FlaskClient, path: str):
    answer = api.get(path)
    assert (answer.status_code, answer.get_json()["ok"]) == (404, False)


@pytest.mark.parametrize("kind", ["form", "query", "multipart"])
def test_parameters_may_come_in_any_way_and_the_method_s_name_in_any_case(api: FlaskClient, kind: str):
    params = {"chat_id": "42", "text": "hi"}
    sent = {
        "form": lambda: api.post(f"/bot{TOKEN}/SENDMESSAGE", data=params),
        "query": lambda: api.get(f"/bot{TOKEN}/sendmessage", query_string=params),
        "multipart": lambda: api.post(f"/bot{TOKEN}/sendMessage", data=params, content_type="multipart/form-data"),
    }[kind]()
    assert sent.get_json()["result"]["text"] == "hi"


def test_a_picture_may_be_uploaded(api: FlaskClient):
    data = {"chat_id": "42", "photo": (io.BytesIO(b"PNG"), "a.png")}
    sent = api.post(f"/bot{TOKEN}/sendPhoto", data=data, content_type="multipart/form-data")
    assert sent.get_json()["result"]["photo"][0]["file_id"]
