"""Finds the chat that a call names and says whether the bot may do there what it wants (check_chat_access in Client.cpp)."""

from __future__ import annotations

import enum

from deploy.simulators.books import Row
from deploy.simulators.telegram.errors import bad_request, forbidden
from deploy.simulators.telegram.params import LEADING_INTEGER, Params
from deploy.simulators.telegram.world import INSIDE, World

# A bot may write to somebody who asked to join for this long, even if he never started the bot (ChatJoinRequest.user_chat_id).
JOIN_REQUEST_GRACE_S = 300


class Need(enum.IntEnum):
    """How much a call wants of a chat."""

    READ = 1
    MEMBERS = 2
    EDIT = 3
    WRITE = 4


def find_chat(world: World, params: Params, need: Need, name: str = "chat_id") -> Row:
    """Read the chat that the call names; raises ApiError when it does not exist for the bot or is closed to it."""
    given = params.text(name)
    if not given:
        raise bad_request("chat_id is empty")
    if given.startswith("@"):
        chat = world.named_chat(given[1:])
    else:
        number = LEADING_INTEGER.match(given)
        chat = world.chat(int(number.group())) if number else None
    if chat is None:
        raise bad_request("chat not found")
    if chat["type"] == "private":
        check_person(world, chat["id"], need)
    else:
        check_group(world, chat, need)
    return chat


def check_person(world: World, user_id: int, need: Need) -> None:
    """Refuse a private chat with somebody whose account is gone."""
    person = world.user(user_id)
    if person is not None and person["deactivated"] and need >= Need.EDIT:
        raise forbidden("user is deactivated")


def check_group(world: World, chat: Row, need: Need) -> None:
    """Refuse a group or channel that has moved, is gone, or that the bot is not in."""
    if chat["migrated_to"] and need >= Need.MEMBERS:
        raise bad_request("group chat was upgraded to a supergroup chat", migrate_to_chat_id=chat["migrated_to"])
    if chat["deleted"] and need >= Need.MEMBERS:
        raise forbidden("the group chat was deleted")
    status = world.me(chat["id"])["status"]
    if status == "kicked" and (chat["type"] != "group" or need >= Need.EDIT):
        raise forbidden(f"bot was kicked from the {chat['type']} chat")
    closed = need >= Need.EDIT or (chat["type"] != "group" and not chat["username"])
    if status not in INSIDE and closed:
        raise forbidden(f"bot is not a member of the {chat['type']} chat")
    if need is Need.MEMBERS and chat["type"] == "channel" and status not in {"administrator", "creator"}:
        raise bad_request("member list is inaccessible")


def check_may_send(world: World, chat: Row) -> None:
    """Refuse a message that Telegram would not take: blocked, never started, or no right to post."""
    if chat["type"] == "private":
        check_may_write_to(world, chat["id"])
    elif chat["type"] == "channel":
        if not world.may(chat["id"], "can_post_messages"):
            raise bad_request("need administrator rights in the channel chat")
    elif world.me(chat["id"])["rights"].get("can_send_messages") is False:
        raise bad_request("not enough rights to send text messages to the chat")


def check_may_write_to(world: World, user_id: int) -> None:
    """Refuse a private message to somebody who has blocked the bot or never spoke to it."""
    person = world.user(user_id)
    if person is None:
        raise bad_request("chat not found")
    if person["blocked"]:
        raise forbidden("bot was blocked by the user")
    if person["started"]:
        return
    asked = world.books.one("SELECT 1 FROM joins WHERE user_id = ? AND state = 'pending' AND date > ?", (user_id, world.now() - JOIN_REQUEST_GRACE_S))
    if asked is None:
        raise forbidden("bot can't initiate conversation with a user")
