"""The methods that read chats and the people in them."""

from __future__ import annotations

from typing import Any

from deploy.simulators.telegram import shapes
from deploy.simulators.telegram.access import Need, find_chat
from deploy.simulators.telegram.errors import bad_request
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.telegram import Method, Telegram

Json = dict[str, Any]


def get_chat(telegram: Telegram, params: Params) -> Json:
    """Read a chat."""
    return shapes.full_chat(telegram.world, find_chat(telegram.world, params, Need.READ))


def get_member(telegram: Telegram, params: Params) -> Json:
    """Read what somebody is in a chat; whoever Telegram knows and is not in it has left."""
    world = telegram.world
    user_id = params.user_id()
    chat = find_chat(world, params, Need.READ if user_id == world.account.id else Need.MEMBERS)
    if world.user(user_id) is None:
        raise bad_request("user not found")
    return shapes.member(world, world.member(chat["id"], user_id))


def get_administrators(telegram: Telegram, params: Params) -> list[Json]:
    """Read who administers a chat; other bots are left out, this one is not."""
    world = telegram.world
    chat = find_chat(world, params, Need.MEMBERS)
    if chat["type"] == "private":
        raise bad_request("there are no administrators in the private chat")
    rows = world.books.all(
        "SELECT user_id FROM members WHERE chat_id = ? AND status IN ('creator', 'administrator') ORDER BY status DESC, user_id",
        (chat["id"],),
    )
    return [shapes.member(world, world.member(chat["id"], row["user_id"])) for row in rows]


def count_members(telegram: Telegram, params: Params) -> int:
    """Count who is in a chat."""
    world = telegram.world
    chat = find_chat(world, params, Need.MEMBERS)
    if chat["type"] == "private":
        return 2
    row = world.books.one("SELECT count(*) AS n FROM members WHERE chat_id = ? AND status NOT IN ('left', 'kicked')", (chat["id"],))
    return int(row["n"]) if row else 0


METHODS: dict[str, Method] = {
    "getChat": get_chat,
    "getChatMember": get_member,
    "getChatAdministrators": get_administrators,
    "getChatMemberCount": count_members,
}
