"""The control doors with which a test plays Telegram's users: they write, press buttons, join, leave, block; chats are made."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify, request

from deploy.simulators.books import Row
from deploy.simulators.telegram import shapes
from deploy.simulators.telegram.errors import ApiError
from deploy.simulators.telegram.html_text import units
from deploy.simulators.telegram.links import RefusedError, follow
from deploy.simulators.telegram.membership import move
from deploy.simulators.telegram.messages import new_message
from deploy.simulators.telegram.telegram import Telegram
from deploy.simulators.telegram.world import INSIDE, default_rights

Json = dict[str, Any]

CHAT_TYPES = {"channel", "supergroup", "group"}
# Who owns a chat when nobody is named.
OWNER = {"id": 1_000_000_001, "first_name": "Owner"}


class OrderError(ValueError):
    """The order makes no sense in this world."""


def doors(telegram: Telegram) -> Blueprint:
    """Make the doors."""
    door = Blueprint("world", __name__, url_prefix="/_control")

    def answer(work: Callable[[Json], object]) -> tuple[Response, int]:
        order = request.get_json(force=True, silent=True)
        if not isinstance(order, dict):
            return jsonify(error="a JSON object is expected"), 400
        try:
            return jsonify(telegram.transact(lambda: work(order))), 200
        except (RefusedError, ApiError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, sqlite3.Error) as error:
            return jsonify(error=str(error) or repr(error)), 400

    @door.post("/updates")
    def act() -> tuple[Response, int]:
        return answer(lambda order: play(telegram, order))

    @door.post("/chats")
    def make() -> tuple[Response, int]:
        return answer(lambda order: make_chat(telegram, order))

    @door.post("/chats/<int(signed=True):chat_id>/members")
    def put(chat_id: int) -> tuple[Response, int]:
        return answer(lambda order: put_member(telegram, known_chat(telegram, chat_id), order))

    _add_looks(telegram, door)
    return door


def _add_looks(telegram: Telegram, door: Blueprint) -> None:
    """Add the doors through which one only looks."""

    @door.get("/chats")
    def all_chats() -> Response:
        return jsonify([shapes.chat(telegram.world, row) for row in telegram.world.books.all("SELECT * FROM chats ORDER BY id")])

    @door.get("/chats/<int(signed=True):chat_id>/messages")
    def messages(chat_id: int) -> Response:
        rows = telegram.world.books.all(
            "SELECT * FROM messages WHERE chat_id = ? AND message_id > ? ORDER BY message_id", (chat_id, request.args.get("after", 0, int))
        )
        return jsonify([marked(row) for row in rows])

    @door.get("/messages")
    def everywhere() -> Response:
        rows = telegram.world.books.all("SELECT * FROM messages WHERE date >= ? ORDER BY date, chat_id, message_id", (request.args.get("since", 0, int),))
        return jsonify([marked(row) for row in rows])

    @door.get("/chats/<int(signed=True):chat_id>/members")
    def members(chat_id: int) -> Response:
        rows = telegram.world.books.all("SELECT user_id, link FROM members WHERE chat_id = ? ORDER BY user_id", (chat_id,))
        world = telegram.world
        return jsonify([shapes.member(world, world.member(chat_id, row["user_id"])) | {"invite_link": row["link"]} for row in rows])


def marked(row: Row) -> Json:
    """A message as it was sent, with whose it is and whether it is still there."""
    body: Json = json.loads(row["body"])
    return body | {"outgoing": bool(row["outgoing"]), "deleted": bool(row["deleted"])}


def play(telegram: Telegram, order: Json) -> Json:
    """Do what a user does: `user` and one of text, edit, callback, join, leave, block, deactivate; or a raw `update`."""
    if "update" in order:
        return {"update_id": telegram.updates.add_raw(order["update"], str(order.get("queue", "raw")))}
    person = telegram.world.meet(order["user"] if isinstance(order["user"], dict) else {"id": order["user"]})
    acts: dict[str, Callable[[Telegram, Row, Json], Json]] = {
        "text": write,
        "edit": rewrite,
        "callback": press,
        "join": join,
        "leave": leave,
        "block": block,
        "deactivate": deactivate,
    }
    for name, act in acts.items():
        if name in order:
            return act(telegram, person, order)
    return {"user": shapes.user(person)}


def write(telegram: Telegram, person: Row, order: Json) -> Json:
    """Write to the bot (which starts it and lifts a block), or into a chat."""
    world = telegram.world
    chat = known_chat(telegram, int(order.get("chat") or person["id"]))
    if chat["type"] == "private":
        unblock(telegram, person, chat)
        world.books.run("UPDATE users SET started = 1 WHERE id = ?", (person["id"],))
    elif world.member(chat["id"], person["id"])["status"] not in INSIDE:
        raise OrderError("he is not in that chat")
    text = str(order["text"])
    post = chat["type"] == "channel"
    author = {"sender_chat": shapes.chat(world, chat)} if post else {"from": shapes.user(person)}
    body = new_message(world, chat, author) | {"text": text} | command_entity(text)
    world.put_message(body, outgoing=False)
    update_id = telegram.updates.add("channel_post" if post else "message", f"chat:{chat['id']}", body)
    return {"update_id": update_id, "message_id": body["message_id"]}


def command_entity(text: str) -> Json:
    """Mark a command at the text's start, as the apps do."""
    first = text.split(maxsplit=1)[0] if text.startswith("/") else ""
    return {"entities": [{"offset": 0, "length": units(first), "type": "bot_command"}]} if len(first) > 1 else {}


def rewrite(telegram: Telegram, person: Row, order: Json) -> Json:
    """Change a message of his own."""
    chat_id = int(order.get("chat") or person["id"])
    body, outgoing = telegram.world.message(chat_id, int(order["edit"]["message_id"]), "message to edit")
    if outgoing or body.get("from", {}).get("id") != person["id"]:
        raise OrderError("that is not his message")
    text = str(order["edit"]["text"])
    body = {name: value for name, value in body.items() if name != "entities"} | {"text": text} | command_entity(text)
    body["edit_date"] = telegram.world.now()
    telegram.world.put_message(body, outgoing=False)
    return {"update_id": telegram.updates.add("edited_message", f"chat:{chat_id}", body), "message_id": body["message_id"]}


def press(telegram: Telegram, person: Row, order: Json) -> Json:
    """Press a button; `forged` sends data that no button has, as a home-made app can."""
    wish = order["callback"]
    world = telegram.world
    body, _ = world.message(int(wish.get("chat") or person["id"]), int(wish["message_id"]), "message")
    data = str(wish["data"])
    buttons = [button.get("callback_data") for row in body.get("reply_markup", {}).get("inline_keyboard", []) for button in row]
    if data not in buttons and not wish.get("forged"):
        raise OrderError(f"no such button; there are {buttons}")
    number = str(secrets.randbits(62))
    world.books.run(
        "INSERT INTO callbacks (id, user_id, chat_id, message_id, data, date) VALUES (?, ?, ?, ?, ?, ?)",
        (number, person["id"], body["chat"]["id"], body["message_id"], data, world.now()),
    )
    said = {"id": number, "from": shapes.user(person), "message": body, "chat_instance": str(body["chat"]["id"] * 7919), "data": data}
    return {"update_id": telegram.updates.add("callback_query", f"callback:{person['id']}", said), "callback_query_id": number}


def join(telegram: Telegram, person: Row, order: Json) -> Json:
    """Follow an invite link."""
    return follow(telegram, int(person["id"]), str(order["join"]))


def leave(telegram: Telegram, person: Row, order: Json) -> Json:
    """Leave a chat."""
    chat = known_chat(telegram, int(order["leave"]))
    if telegram.world.member(chat["id"], person["id"])["status"] not in INSIDE:
        raise OrderError("he is not in that chat")
    return {"update_id": move(telegram, chat, person["id"], "left", by=person["id"])}


def block(telegram: Telegram, person: Row, order: Json) -> Json:
    """Block the bot, or lift the block."""
    chat = known_chat(telegram, person["id"])
    if not order["block"]:
        return {"update_id": unblock(telegram, person, chat)}
    telegram.world.books.run("UPDATE users SET blocked = 1 WHERE id = ?", (person["id"],))
    telegram.world.put_member(bot_in(chat, telegram, "member"))
    return {"update_id": move(telegram, chat, telegram.world.account.id, "kicked", by=person["id"])}


def bot_in(chat: Row, telegram: Telegram, status: str) -> Row:
    """Write what the bot is in a private chat; until somebody blocks it, nothing is kept of that."""
    return {"chat_id": chat["id"], "user_id": telegram.world.account.id, "status": status, "rights": {}, "until_date": 0, "link": None}


def unblock(telegram: Telegram, person: Row, chat: Row) -> int | None:
    """Let the bot write again; it hears of that only when it was blocked."""
    if not person["blocked"]:
        return None
    telegram.world.books.run("UPDATE users SET blocked = 0 WHERE id = ?", (person["id"],))
    return move(telegram, chat, telegram.world.account.id, "member", by=person["id"])


def deactivate(telegram: Telegram, person: Row, order: Json) -> Json:
    """Delete his account, or bring it back; nobody is told."""
    telegram.world.books.run("UPDATE users SET deactivated = ? WHERE id = ?", (bool(order["deactivate"]), person["id"]))
    return {"user": shapes.user(person)}


def make_chat(telegram: Telegram, order: Json) -> Json:
    """Make a chat, or change one: {id, type, title, username?, description?, owner?, bot?: {status, rights}, migrate_to?, deleted?}."""
    world = telegram.world
    chat_id = order["id"]
    known = world.chat(chat_id) or {"type": "channel", "title": f"Chat {chat_id}"}
    kept = ("type", "title", "username", "description", "deleted")
    said = {name: order.get(name, known.get(name)) for name in kept} | {"migrated_to": order.get("migrate_to", known.get("migrated_to"))}
    if not isinstance(chat_id, int) or chat_id >= 0 or said["type"] not in CHAT_TYPES:
        raise OrderError("a chat is {id, type, title}; its id is negative, its type channel, supergroup or group")
    world.books.run(
        "INSERT INTO chats (id, type, title, username, description, deleted, migrated_to)"
        " VALUES (:id, :type, :title, :username, :description, :deleted, :migrated_to) ON CONFLICT (id) DO UPDATE SET type = :type,"
        " title = :title, username = :username, description = :description, deleted = :deleted, migrated_to = :migrated_to",
        {"id": chat_id, **said, "deleted": bool(said["deleted"])},
    )
    chat = known_chat(telegram, chat_id)
    owner = known_owner(telegram, chat, order)
    told = None
    if "bot" in order or "last_message_id" not in known:
        told = put_bot(telegram, chat, order.get("bot", {}), owner)
    return {"chat": shapes.chat(world, chat), "owner": owner, "update_id": told}


def known_owner(telegram: Telegram, chat: Row, order: Json) -> int:
    """Read who owns the chat, or make the named one its owner."""
    world = telegram.world
    row = world.books.one("SELECT user_id FROM members WHERE chat_id = ? AND status = 'creator'", (chat["id"],))
    if row is not None and "owner" not in order:
        return int(row["user_id"])
    wish = order.get("owner", OWNER)
    owner = world.meet(wish if isinstance(wish, dict) else {"id": wish})
    if row is not None and row["user_id"] != owner["id"]:
        move(telegram, chat, row["user_id"], "member", by=row["user_id"])
    move(telegram, chat, owner["id"], "creator", by=owner["id"])
    return int(owner["id"])


def put_bot(telegram: Telegram, chat: Row, wish: Json, owner: int) -> int | None:
    """Make the bot something in the chat: an administrator with every usual right, unless the wish says otherwise."""
    status = wish.get("status", "administrator")
    rights = rights_of(chat, status, wish.get("rights", {}))
    return move(telegram, chat, telegram.world.account.id, status, by=owner, rights=rights)


def put_member(telegram: Telegram, chat: Row, order: Json) -> Json:
    """Make a user something in the chat: {user, status?, rights?, until_date?}; done by the chat's owner."""
    person = telegram.world.meet(order["user"] if isinstance(order["user"], dict) else {"id": order["user"]})
    status = order.get("status", "member")
    rights = rights_of(chat, status, order.get("rights", {}))
    until = int(order.get("until_date", 0))
    owner = known_owner(telegram, chat, {})
    return {"update_id": move(telegram, chat, person["id"], status, by=owner, rights=rights, until_date=until)}


def rights_of(chat: Row, status: str, said: Json) -> Json:
    """Read the rights that go with a status."""
    if status not in {*INSIDE, "left", "kicked"}:
        raise OrderError("a status is creator, administrator, member, restricted, left or kicked")
    if status == "restricted":
        return {"is_member": True, "until_date": 0, "can_send_messages": False} | said
    return default_rights(chat["type"]) | said if status == "administrator" else dict(said)


def known_chat(telegram: Telegram, chat_id: int) -> Row:
    """Read a chat; raises OrderError."""
    chat = telegram.world.chat(chat_id)
    if chat is None:
        raise OrderError(f"no such chat: {chat_id}")
    return chat
