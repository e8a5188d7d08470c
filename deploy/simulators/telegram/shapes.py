"""Writes the world's rows as the Bot API's objects (Bot API 10.0: User, Chat, ChatMember, ChatInviteLink, ...)."""

from __future__ import annotations

from typing import Any

from deploy.simulators.books import Row
from deploy.simulators.telegram.world import Account, World

Json = dict[str, Any]


def user(row: Row) -> Json:
    """Write a User; optional fields that are not known are left out, as the server does."""
    shape: Json = {"id": row["id"], "is_bot": bool(row.get("is_bot")), "first_name": row["first_name"]}
    return shape | {name: row[name] for name in ("last_name", "username", "language_code") if row.get(name)}


def somebody(world: World, user_id: int) -> Json:
    """Write a User by his id, known or not."""
    return user(world.user(user_id) or {"id": user_id, "first_name": ""})


def me(account: Account) -> Json:
    """Write the User that getMe answers with."""
    return {
        "id": account.id,
        "is_bot": True,
        "first_name": account.first_name,
        "username": account.username,
        "can_join_groups": True,
        "can_read_all_group_messages": False,
        "supports_inline_queries": False,
        "can_connect_to_business": False,
        "has_main_web_app": False,
    }


def chat(world: World, row: Row) -> Json:
    """Write the Chat that stands in messages and updates."""
    if row["type"] == "private":
        person = somebody(world, row["id"])
        kept: Json = {name: person[name] for name in ("first_name", "last_name", "username") if name in person}
        return {"id": row["id"], **kept, "type": "private"}
    public = {"username": row["username"]} if row["username"] else {}
    return {"id": row["id"], "title": row["title"], **public, "type": row["type"]}


def full_chat(world: World, row: Row) -> Json:
    """Write the ChatFullInfo that getChat answers with."""
    gifts = dict.fromkeys(("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False)
    shape = chat(world, row) | {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}
    if row["description"]:
        shape["description"] = row["description"]
    primary = world.books.one("SELECT link FROM links WHERE chat_id = ? AND is_primary AND NOT is_revoked", (row["id"],))
    if primary and world.may(row["id"], "can_invite_users"):
        shape["invite_link"] = primary["link"]
    return shape


def member(world: World, row: Row) -> Json:
    """Write a ChatMember."""
    shape: Json = {"user": somebody(world, row["user_id"]), "status": row["status"]}
    match row["status"]:
        case "creator":
            return shape | {"is_anonymous": bool(row["rights"].get("is_anonymous"))}
        case "administrator" | "restricted":
            return {**shape, **row["rights"]}
        case "kicked":
            return shape | {"until_date": row["until_date"]}
        case "member" if row["until_date"]:
            return shape | {"until_date": row["until_date"]}
    return shape


def link(world: World, row: Row) -> Json:
    """Write a ChatInviteLink."""
    shape: Json = {
        "invite_link": row["link"],
        "creator": somebody(world, row["creator_id"]),
        "creates_join_request": bool(row["creates_join_request"]),
        "is_primary": bool(row["is_primary"]),
        "is_revoked": bool(row["is_revoked"]),
    }
    optional = ("name", "expire_date", "member_limit", "subscription_period", "subscription_price")
    shape |= {name: row[name] for name in optional if row[name]}
    pending = world.books.one("SELECT count(*) AS n FROM joins WHERE link = ? AND state = 'pending'", (row["link"],))
    return shape | ({"pending_join_request_count": pending["n"]} if pending and pending["n"] else {})
