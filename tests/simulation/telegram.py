"""Telegram in memory: chats, messages, links and members; what the bot is told of goes out as updates."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx

BOT = 7_000_001


@dataclass
class Link:
    """An invite link."""

    url: str
    chat_id: int
    asks: bool
    revoked: bool = False


@dataclass
class Telegram:
    """The messenger's books."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    members: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    requests: set[tuple[int, int]] = field(default_factory=set)
    links: dict[str, Link] = field(default_factory=dict)
    bans: list[tuple[int, int]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._updates, self._messages, self._links = itertools.count(1000), itertools.count(1), itertools.count(1)

    # --- what the bot asks

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the Bot API does."""
        method = request.url.path.rpartition("/")[2]
        said = {name: _value(text) for name, text in parse_qsl(request.content.decode())}
        handler = getattr(self, f"_{method}", None)
        if handler is None:
            return httpx.Response(404, json={"ok": False, "error_code": 404, "description": f"Not Found: method {method} not found"})
        result = handler(said)
        if isinstance(result, str):
            return httpx.Response(400, json={"ok": False, "error_code": 400, "description": f"Bad Request: {result}"})
        return httpx.Response(200, json={"ok": True, "result": result})

    def _sendMessage(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the API's name
        made = {"message_id": next(self._messages), "date": 1_770_000_000, "chat": {"id": said["chat_id"], "type": "private"}, "text": said["text"]}
        self.messages.append({**made, "buttons": [button for row in (said.get("reply_markup") or {}).get("inline_keyboard", []) for button in row]})
        return made

    def _createChatInviteLink(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the API's name
        asks = bool(said.get("creates_join_request"))
        link = Link(f"https://t.me/+link{next(self._links)}", said["chat_id"], asks)
        self.links[link.url] = link
        creator = {"id": BOT, "is_bot": True, "first_name": "bot"}
        return {"invite_link": link.url, "creator": creator, "creates_join_request": asks, "is_primary": False, "is_revoked": False}

    def _revokeChatInviteLink(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the API's name
        link = self.links[said["invite_link"]]
        link.revoked = True
        creator = {"id": BOT, "is_bot": True, "first_name": "bot"}
        return {"invite_link": link.url, "creator": creator, "creates_join_request": link.asks, "is_primary": False, "is_revoked": True}

    def _approveChatJoinRequest(self, said: dict[str, Any]) -> bool | str:  # noqa: N802 - the API's name
        who = (said["chat_id"], said["user_id"])
        if who not in self.requests:
            return "USER_ALREADY_PARTICIPANT" if who[1] in self.members[who[0]] else "HIDE_REQUESTER_MISSING"
        self.requests.discard(who)
        self._enter(*who, link=None)
        return True

    def _declineChatJoinRequest(self, said: dict[str, Any]) -> bool | str:  # noqa: N802 - the API's name
        who = (said["chat_id"], said["user_id"])
        if who not in self.requests:
            return "HIDE_REQUESTER_MISSING"
        self.requests.discard(who)
        return True

    def _banChatMember(self, said: dict[str, Any]) -> bool:  # noqa: N802 - the API's name
        self.bans.append((said["chat_id"], said["user_id"]))
        self.members[said["chat_id"]].discard(said["user_id"])
        return True

    def _unbanChatMember(self, said: dict[str, Any]) -> bool:  # noqa: N802 - the API's name
        assert said.get("only_if_banned")
        return True

    def _getChatMember(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the API's name
        inside = said["user_id"] in self.members[said["chat_id"]]
        return {"status": "member" if inside else "left", "user": _user(said["user_id"])}

    # --- what people do

    def writes(self, user_id: int, text: str) -> None:
        """Somebody writes to the bot."""
        self._tell(message={"message_id": next(self._messages), "date": 1, "from": _user(user_id), "chat": {"id": user_id, "type": "private"}, "text": text})

    def follows(self, user_id: int, url: str) -> None:
        """Somebody follows an invite link: he asks to join, or is in."""
        link = self.links[url]
        assert not link.revoked, "the link is dead"
        if user_id in self.members[link.chat_id]:
            return
        if link.asks:
            self.requests.add((link.chat_id, user_id))
            self._tell(chat_join_request={"chat": {"id": link.chat_id, "type": "channel"}, "from": _user(user_id), "user_chat_id": user_id, "date": 1})
        else:
            self._enter(link.chat_id, user_id, link=link)

    def _enter(self, chat_id: int, user_id: int, *, link: Link | None) -> None:
        self.members[chat_id].add(user_id)
        user = _user(user_id)
        told: dict[str, Any] = {"chat": {"id": chat_id, "type": "channel"}, "from": user, "date": 1}
        told |= {"old_chat_member": {"status": "left", "user": user}, "new_chat_member": {"status": "member", "user": user}}
        if link is not None:
            told["invite_link"] = {"invite_link": link.url}
        self._tell(chat_member=told)

    def _tell(self, **what: Any) -> None:
        self.updates.append({"update_id": next(self._updates), **what})

    def buttons(self, user_id: int, label: str) -> list[str]:
        """The addresses behind every button with this label that somebody was shown, the newest last."""
        return [
            button["url"]
            for message in self.messages
            if message["chat"]["id"] == user_id
            for button in message["buttons"]
            if label in button["text"] and button.get("url")
        ]


def _user(user_id: int) -> dict[str, Any]:
    return {"id": user_id, "is_bot": False, "first_name": f"User {user_id}"}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
