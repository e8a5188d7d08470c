"""Reading updates: whatever comes, it is an event in our words, nothing, or refused as no update."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PGP_COMMON.errors import BadInput
from PGP_SERVER_v1 import updates
from PGP_SERVER_v1.updates import AsksToJoin, Person, Presence, Pressed, Written

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["private", "channel", "member", "/start", "\ud800\x00"])
)
ANYTHING = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8)
NAMES = ("id", "from", "chat", "user", "text", "data", "type", "is_bot", "first_name", "new_chat_member", "status", "is_member", "invite_link", "message")
# Bodies that are nearly updates: the right names, with anything in them.
NEARLY = st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner | ANYTHING, max_size=5), max_leaves=14)
KINDS = st.sampled_from([*updates.KINDS, "edited_message", "channel_post", "x"])
PERSON, PRIVATE, CHANNEL = {"id": 77, "first_name": "Ann"}, {"id": 77, "type": "private"}, {"id": -100, "type": "channel"}


def check(body: object) -> None:
    """Read a body as the door does."""
    try:
        updates.update_id(body)
    except BadInput:
        return
    assert isinstance(body, dict)
    event = updates.event(body)
    if event is None:
        return
    assert 1 <= event.person.id <= 2**52
    texts = [event.person.name]
    if isinstance(event, Written):
        texts.append(event.text)
        assert len(event.text) <= 4096
    elif isinstance(event, Pressed):
        texts += [event.data, event.query_id]
    else:
        assert -(2**52) < event.chat_id < 0
    for text in texts:
        # The database takes it.
        assert "\x00" not in text
        text.encode()


@settings(max_examples=300, deadline=None)
@given(ANYTHING | NEARLY)
def test_any_json_is_an_event_or_nothing_or_no_update(body: object) -> None:
    check(body)


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(KINDS, NEARLY, min_size=1, max_size=3), st.integers(min_value=0, max_value=2**62 - 1))
def test_what_nearly_is_an_update_is_an_event_or_nothing(body: dict[str, object], number: int) -> None:
    check({"update_id": number, **body})


@pytest.mark.parametrize("number", [-1, 2**62, 10**400, True, "1", 1.0, None, [1]])
def test_an_update_has_a_number_of_its_own(number: object) -> None:
    with pytest.raises(BadInput):
        updates.update_id({"update_id": number})
    with pytest.raises(BadInput):
        updates.update_id([{"update_id": 1}])


def test_a_message_a_button_a_request_and_a_member_are_read() -> None:
    ann = Person(77, "Ann")
    assert updates.event({"message": {"from": PERSON, "chat": PRIVATE, "text": " /start "}}) == Written(ann, " /start ")
    assert updates.event({"callback_query": {"from": PERSON, "id": "5", "data": "c:1"}}) == Pressed(ann, "5", "c:1")
    assert updates.event({"chat_join_request": {"from": PERSON, "chat": CHANNEL}}) == AsksToJoin(ann, -100)
    link = {"invite_link": "https://t.me/+x"}
    member = {"chat": CHANNEL, "from": PERSON, "new_chat_member": {"user": PERSON, "status": "member"}}
    assert updates.event({"chat_member": member}) == Presence(ann, -100, present=True)
    assert updates.event({"chat_member": member | {"invite_link": link}}) == Presence(ann, -100, present=True, link="https://t.me/+x")


@pytest.mark.parametrize(
    ("member", "present"),
    [
        ({"status": "creator"}, True),
        ({"status": "administrator"}, True),
        ({"status": "restricted", "is_member": True}, True),
        ({"status": "restricted", "is_member": False}, False),
        ({"status": "restricted"}, False),
        ({"status": "left"}, False),
        ({"status": "kicked"}, False),
        ({"status": "of tomorrow"}, False),
        ({"status": ["member"]}, False),
        ({}, False),
    ],
)
def test_a_member_is_in_or_out_by_his_status(member: dict[str, object], present: bool) -> None:
    event = updates.event({"chat_member": {"chat": CHANNEL, "new_chat_member": {"user": PERSON, **member}}})
    assert event == Presence(Person(77, "Ann"), -100, present=present)


def test_a_name_is_one_line_that_turns_no_text_around() -> None:
    name = json.loads('"\\u202e Ev\\u0000e\\n\\u2066x\\ud800\\u2069' + "y" * 100 + '"')
    event = updates.event({"message": {"from": {"id": 77, "first_name": name}, "chat": PRIVATE, "text": "x"}})
    assert event is not None
    assert event.person.name == ("Eve x" + "y" * 100)[:64]
    # Letters of every script, and emoji, stay as they are.
    for name in ("Жанна", "مریم", "李", "👨\u200d👩\u200d👧"):
        event = updates.event({"message": {"from": {"id": 77, "first_name": name}, "chat": PRIVATE, "text": "x"}})
        assert event is not None
        assert event.person.name == name
