"""Invite links: the methods that make, change and revoke them, and what happens when somebody follows one."""

from __future__ import annotations

import secrets
from typing import Any

from deploy.simulators.books import Row
from deploy.simulators.telegram import shapes
from deploy.simulators.telegram.access import Need, find_chat
from deploy.simulators.telegram.errors import bad_request
from deploy.simulators.telegram.membership import move
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.telegram import Method, Telegram
from deploy.simulators.telegram.world import INSIDE, World

Json = dict[str, Any]

NAME_LIMIT = 32
MEMBER_LIMIT = 99_999
# The only period that Telegram sells, in seconds, and the bounds of its price in Stars.
SUBSCRIPTION_PERIOD = 2_592_000
SUBSCRIPTION_PRICES = (1, 10_000)


class RefusedError(Exception):
    """What the app says to somebody whose link does not work."""


def create(telegram: Telegram, params: Params) -> Json:
    """Make one more link."""
    chat = administered(telegram, params)
    return add(telegram, chat, wishes(params))


def create_subscription(telegram: Telegram, params: Params) -> Json:
    """Make a link that costs Stars every month; channels only."""
    chat = administered(telegram, params)
    period, price = params.integer("subscription_period"), params.integer("subscription_price")
    if chat["type"] != "channel":
        raise bad_request("the method is available only for channel chats")
    if period != SUBSCRIPTION_PERIOD:
        raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
    if not SUBSCRIPTION_PRICES[0] <= price <= SUBSCRIPTION_PRICES[1]:
        raise bad_request("STARS_AMOUNT_INVALID")
    return add(telegram, chat, {"name": params.text("name")[:NAME_LIMIT], "subscription_period": period, "subscription_price": price})


def export(telegram: Telegram, params: Params) -> str:
    """Make a new primary link; the old one is revoked."""
    chat = administered(telegram, params)
    telegram.world.books.run("UPDATE links SET is_revoked = 1 WHERE chat_id = ? AND is_primary AND creator_id = ?", (chat["id"], telegram.world.account.id))
    return str(add(telegram, chat, {"is_primary": 1})["invite_link"])


def edit(telegram: Telegram, params: Params) -> Json:
    """Change a link; what the call leaves out is taken off it."""
    chat = administered(telegram, params)
    row = own_link(telegram, chat, params)
    if row["subscription_period"]:
        row |= {"name": params.text("name")[:NAME_LIMIT]}
    else:
        row |= {"name": "", "expire_date": 0, "member_limit": 0, "creates_join_request": 0} | wishes(params)
    return store(telegram.world, row)


def revoke(telegram: Telegram, params: Params) -> Json:
    """Make a link useless; a primary link is replaced by a new one."""
    chat = administered(telegram, params)
    row = own_link(telegram, chat, params)
    if row["is_primary"]:
        add(telegram, chat, {"is_primary": 1})
    return store(telegram.world, row | {"is_revoked": 1})


def administered(telegram: Telegram, params: Params) -> Row:
    """Read the chat whose links the bot wants to touch; raises ApiError when it may not."""
    chat = find_chat(telegram.world, params, Need.WRITE)
    if chat["type"] == "private":
        raise bad_request("can't invite members to a private chat")
    if not telegram.world.may(chat["id"], "can_invite_users"):
        raise bad_request("not enough rights to manage chat invite link")
    return chat


def wishes(params: Params) -> Json:
    """Read what a link should be like; odd numbers are clamped silently."""
    limit = params.integer("member_limit", 0, 0, MEMBER_LIMIT)
    asks = params.flag("creates_join_request")
    if asks and limit:
        raise bad_request("member limit can't be specified for links requiring administrator approval")
    return {
        "name": params.text("name").strip()[:NAME_LIMIT],
        "expire_date": params.integer("expire_date", 0, 0),
        "member_limit": limit,
        "creates_join_request": int(asks),
    }


def add(telegram: Telegram, chat: Row, wanted: Json) -> Json:
    world = telegram.world
    empty = dict.fromkeys(("expire_date", "member_limit", "creates_join_request", "is_primary", "is_revoked", "subscription_period", "subscription_price"), 0)
    address = f"https://t.me/+{secrets.token_urlsafe(12)}"
    mine = {"link": address, "chat_id": chat["id"], "creator_id": world.account.id, "name": "", "created": world.now()}
    return store(world, empty | mine | wanted)


def store(world: World, row: Row) -> Json:
    world.books.run(
        "INSERT OR REPLACE INTO links VALUES (:link, :chat_id, :creator_id, :name, :expire_date, :member_limit, :creates_join_request,"
        " :is_primary, :is_revoked, :subscription_period, :subscription_price, :created)",
        row,
    )
    return shapes.link(world, row)


def own_link(telegram: Telegram, chat: Row, params: Params) -> Row:
    """Read the bot's own living link that the call names."""
    row = telegram.world.books.one(
        "SELECT * FROM links WHERE link = ? AND chat_id = ? AND creator_id = ? AND NOT is_revoked",
        (params.text("invite_link"), chat["id"], telegram.world.account.id),
    )
    if row is None:
        raise bad_request("INVITE_HASH_EXPIRED")
    return row


def follow(telegram: Telegram, user_id: int, address: str) -> Json:
    """Let somebody follow a link: he is in, or his request waits. Raises RefusedError with what his app would say."""
    world = telegram.world
    row = usable(world, address)
    chat = world.chat(row["chat_id"])
    assert chat is not None
    status = world.member(chat["id"], user_id)["status"]
    if status in INSIDE:
        raise RefusedError("USER_ALREADY_PARTICIPANT")
    if status == "kicked":
        raise RefusedError("INVITE_HASH_EXPIRED")
    if row["creates_join_request"]:
        return {"state": "requested", "update_id": ask(telegram, chat, row, user_id)}
    update_id = move(telegram, chat, user_id, "member", by=user_id, link=address)
    return {"state": "member", "update_id": update_id}


def usable(world: World, address: str) -> Row:
    """Read a link that still lets people in: the seats are those of present members who came by it."""
    row = world.books.one("SELECT * FROM links WHERE link = ?", (address,))
    if row is None or row["is_revoked"] or 0 < row["expire_date"] <= world.now():
        raise RefusedError("INVITE_HASH_EXPIRED")
    if row["member_limit"]:
        taken = world.books.one("SELECT count(*) AS n FROM members WHERE link = ? AND status IN ('member', 'restricted')", (address,))
        if taken and taken["n"] >= row["member_limit"]:
            raise RefusedError("INVITE_HASH_EXPIRED")
    return row


def ask(telegram: Telegram, chat: Row, row: Row, user_id: int) -> int | None:
    """Write down a request to join and tell the bot; somebody who asks again while he waits is not heard twice."""
    world = telegram.world
    made = world.books.run(
        "INSERT OR IGNORE INTO joins (chat_id, user_id, link, state, date) VALUES (?, ?, ?, 'pending', ?)",
        (chat["id"], user_id, row["link"], world.now()),
    )
    if not made or not world.may(chat["id"], "can_invite_users"):
        return None
    said = {
        "chat": shapes.chat(world, chat),
        "from": shapes.somebody(world, user_id),
        "user_chat_id": user_id,
        "date": world.now(),
        "invite_link": shapes.link(world, row),
    }
    return telegram.updates.add("chat_join_request", f"member:{user_id}", said)


METHODS: dict[str, Method] = {
    "createChatInviteLink": create,
    "createChatSubscriptionInviteLink": create_subscription,
    "exportChatInviteLink": export,
    "editChatInviteLink": edit,
    "editChatSubscriptionInviteLink": edit,
    "revokeChatInviteLink": revoke,
}
