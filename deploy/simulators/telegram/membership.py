"""Moves people in and out of chats and tells the bot about it, and the methods with which the bot does so itself."""

from __future__ import annotations

from typing import Any

from deploy.simulators.books import Row
from deploy.simulators.telegram import shapes
from deploy.simulators.telegram.access import Need, find_chat
from deploy.simulators.telegram.errors import bad_request
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.telegram import Method, Telegram
from deploy.simulators.telegram.world import INSIDE

# A ban shorter than 30 seconds or longer than 366 days is for ever (banChatMember in the Bot API's documentation).
SHORTEST_BAN_S = 30
LONGEST_BAN_S = 366 * 24 * 3600


def move(
    telegram: Telegram,
    chat: Row,
    user_id: int,
    status: str,
    *,
    by: int,
    rights: dict[str, Any] | None = None,
    until_date: int = 0,
    link: str | None = None,
) -> int | None:
    """Make somebody something in a chat and tell the bot; gives the update's number, None when the bot was not told."""
    world = telegram.world
    old = world.member(chat["id"], user_id)
    new = {"chat_id": chat["id"], "user_id": user_id, "status": status, "rights": rights or {}, "until_date": until_date, "link": link}
    world.put_member(new)
    if old["status"] == status and old["rights"] == new["rights"] and old["until_date"] == until_date:
        return None
    mine = user_id == world.account.id
    if not mine and chat["type"] != "private" and world.me(chat["id"])["status"] not in {"administrator", "creator"}:
        return None
    said = {
        "chat": shapes.chat(world, chat),
        "from": shapes.somebody(world, by),
        "date": world.now(),
        "old_chat_member": shapes.member(world, old),
        "new_chat_member": shapes.member(world, new),
    }
    used = world.books.one("SELECT * FROM links WHERE link = ?", (link,)) if link else None
    if used is not None:
        said["invite_link"] = shapes.link(world, used)
    if mine:
        return telegram.updates.add("my_chat_member", f"my_member:{chat['id']}", said)
    return telegram.updates.add("chat_member", f"member:{user_id}", said)


def ban(telegram: Telegram, params: Params) -> bool:
    """Put somebody out and keep him out; his request to join, if there is one, is gone too."""
    chat, user_id = target(telegram, params)
    until = params.integer("until_date")
    left = until - telegram.world.now()
    until = until if SHORTEST_BAN_S <= left <= LONGEST_BAN_S else 0
    close_request(telegram, chat["id"], user_id, "declined")
    move(telegram, chat, user_id, "kicked", by=telegram.world.account.id, until_date=until)
    return True


def unban(telegram: Telegram, params: Params) -> bool:
    """Let somebody come back. Without only_if_banned this also puts a present member out, as Telegram does."""
    chat, user_id = target(telegram, params, supergroups_only=True)
    status = telegram.world.member(chat["id"], user_id)["status"]
    if status == "kicked" or (status in INSIDE and not params.flag("only_if_banned")):
        move(telegram, chat, user_id, "left", by=telegram.world.account.id)
    return True


def target(telegram: Telegram, params: Params, *, supergroups_only: bool = False) -> tuple[Row, int]:
    """Read whom the bot wants to put out or let back in; raises ApiError when it may not."""
    world = telegram.world
    user_id = params.user_id()
    chat = find_chat(world, params, Need.WRITE)
    if chat["type"] == "private":
        raise bad_request("can't ban members in private chats")
    if supergroups_only and chat["type"] == "group":
        raise bad_request("method is available for supergroup and channel chats only")
    if world.user(user_id) is None:
        raise bad_request("user not found")
    if user_id == world.account.id:
        raise bad_request("can't restrict self")
    if not world.may(chat["id"], "can_restrict_members"):
        raise bad_request("not enough rights to restrict/unrestrict chat member")
    status = world.member(chat["id"], user_id)["status"]
    if status == "creator":
        raise bad_request("can't remove chat owner")
    if status == "administrator":
        raise bad_request("user is an administrator of the chat")
    return chat, user_id


def approve(telegram: Telegram, params: Params) -> bool:
    """Let somebody in who asked."""
    chat, user_id = requester(telegram, params)
    request = close_request(telegram, chat["id"], user_id, "approved")
    if request is None:
        raise bad_request("HIDE_REQUESTER_MISSING")
    move(telegram, chat, user_id, "member", by=telegram.world.account.id, link=request["link"])
    return True


def decline(telegram: Telegram, params: Params) -> bool:
    """Turn somebody away who asked."""
    chat, user_id = requester(telegram, params)
    if close_request(telegram, chat["id"], user_id, "declined") is None:
        raise bad_request("HIDE_REQUESTER_MISSING")
    return True


def requester(telegram: Telegram, params: Params) -> tuple[Row, int]:
    world = telegram.world
    user_id = params.user_id()
    chat = find_chat(world, params, Need.WRITE)
    if chat["type"] == "private":
        raise bad_request("can't manage join requests in private chats")
    if not world.may(chat["id"], "can_invite_users"):
        raise bad_request("not enough rights to manage chat join requests")
    person = world.user(user_id)
    if person is None:
        raise bad_request("USER_ID_INVALID")
    if world.member(chat["id"], user_id)["status"] in INSIDE:
        raise bad_request("USER_ALREADY_PARTICIPANT")
    return chat, user_id


def close_request(telegram: Telegram, chat_id: int, user_id: int, state: str) -> Row | None:
    """Decide a request that waits; None when there is none."""
    return telegram.world.books.one(
        "UPDATE joins SET state = ?, decided = ? WHERE chat_id = ? AND user_id = ? AND state = 'pending' RETURNING *",
        (state, telegram.world.now(), chat_id, user_id),
    )


def leave_chat(telegram: Telegram, params: Params) -> bool:
    """Go away."""
    chat = find_chat(telegram.world, params, Need.READ)
    if chat["type"] == "private":
        raise bad_request("chat not found")
    move(telegram, chat, telegram.world.account.id, "left", by=telegram.world.account.id)
    return True


METHODS: dict[str, Method] = {
    "banChatMember": ban,
    "kickChatMember": ban,
    "unbanChatMember": unban,
    "approveChatJoinRequest": approve,
    "declineChatJoinRequest": decline,
    "leaveChat": leave_chat,
}
