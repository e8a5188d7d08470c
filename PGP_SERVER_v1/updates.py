"""What an update says, in our words: read leniently, since Telegram adds fields, and refused only when it is no update."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from PGP_COMMON.errors import BadInput

HIGHEST_USER = 2**52
# Groups and channels have negative ids of at most as many bits.
LOWEST_CHAT = -HIGHEST_USER
# What we ask Telegram to send; chat_member and chat_join_request do not come unasked (contracts.md 3.3).
KINDS = ("message", "callback_query", "chat_join_request", "chat_member", "my_chat_member")
# Signs of the direction of text that are no letters: a name with one of them could rewrite the sentence it stands in.
TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
INSIDE = frozenset({"creator", "administrator", "member"})


@dataclass(frozen=True)
class Person:
    """Who did it."""

    id: int
    name: str


@dataclass(frozen=True)
class Written:
    """A person wrote to the bot in private."""

    person: Person
    text: str


@dataclass(frozen=True)
class Pressed:
    """A person pressed one of our buttons."""

    person: Person
    query_id: str
    data: str


@dataclass(frozen=True)
class AsksToJoin:
    """A person asks to be let into a channel."""

    person: Person
    chat_id: int


@dataclass(frozen=True)
class Presence:
    """A person is in a chat now, or is no longer; `link` is the one he came by, if it was one of ours."""

    person: Person
    chat_id: int
    present: bool
    link: str = ""


Event = Written | Pressed | AsksToJoin | Presence


def update_id(body: Any) -> int:
    """The update's number; raises BadInput for what is no update."""
    number = body.get("update_id") if isinstance(body, dict) else None
    if type(number) is not int or not 0 <= number < 2**62:
        raise BadInput("not an update of Telegram")
    return number


def _person(row: Any) -> Person | None:
    if not isinstance(row, dict) or type(row.get("id")) is not int or not 1 <= row["id"] <= HIGHEST_USER or row.get("is_bot"):
        return None
    name = row.get("first_name")
    return Person(row["id"], _name(name) if isinstance(name, str) else "")


def _clean(text: str) -> str:
    """Text that the database and a reader can take: no NUL, no lone surrogate, no other control character."""
    return "".join(c for c in text if (ord(c) >= 32 or c == "\n") and not 0xD800 <= ord(c) <= 0xDFFF)  # noqa: PLR2004 - the first printable character


def _name(text: str) -> str:
    """A name on one line, without the signs that turn the text after it around."""
    return "".join(c for c in _clean(text).replace("\n", " ") if unicodedata.bidirectional(c) not in TURNS).strip()[:64]


def _chat(row: Any) -> tuple[int, str]:
    if not isinstance(row, dict) or type(row.get("id")) is not int or not LOWEST_CHAT < row["id"] <= HIGHEST_USER:
        return 0, ""
    return row["id"], str(row.get("type", ""))


def event(body: dict[str, Any]) -> Event | None:
    """What happened, or None for what does not concern us: edits, channel posts, other bots, group chatter."""
    for kind, read in (("message", _written), ("callback_query", _pressed), ("chat_join_request", _asks), ("chat_member", _presence)):
        if isinstance(body.get(kind), dict):
            return read(body[kind])
    return None


def _written(row: dict[str, Any]) -> Event | None:
    person, (chat_id, kind), text = _person(row.get("from")), _chat(row.get("chat")), row.get("text")
    if person is None or kind != "private" or chat_id != person.id or not isinstance(text, str):
        return None
    return Written(person, _clean(text)[:4096])


def _pressed(row: dict[str, Any]) -> Event | None:
    person, query, data = _person(row.get("from")), row.get("id"), row.get("data")
    if person is None or not isinstance(query, str) or not isinstance(data, str):
        return None
    return Pressed(person, query[:64], _clean(data)[:64])


def _asks(row: dict[str, Any]) -> Event | None:
    person, (chat_id, _) = _person(row.get("from")), _chat(row.get("chat"))
    return AsksToJoin(person, chat_id) if person is not None and chat_id < 0 else None


def _presence(row: dict[str, Any]) -> Event | None:
    (chat_id, _), member = _chat(row.get("chat")), row.get("new_chat_member")
    person = _person(member.get("user")) if isinstance(member, dict) else None
    if person is None or chat_id >= 0 or not isinstance(member, dict):
        return None
    status, invite = str(member.get("status")), row.get("invite_link")
    present = status in INSIDE or (status == "restricted" and bool(member.get("is_member")))
    link = invite.get("invite_link") if isinstance(invite, dict) else None
    return Presence(person, chat_id, present, _clean(link)[:256] if isinstance(link, str) else "")
