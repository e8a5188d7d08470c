"""The methods that write, change and delete messages."""

from __future__ import annotations

import secrets
from typing import Any

from deploy.simulators.books import Row
from deploy.simulators.telegram import shapes
from deploy.simulators.telegram.access import Need, check_may_send, find_chat
from deploy.simulators.telegram.errors import NOT_MODIFIED, bad_request
from deploy.simulators.telegram.formatting import read_caption, read_text
from deploy.simulators.telegram.keyboards import read_keyboard
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.telegram import Method, Telegram
from deploy.simulators.telegram.world import World

Json = dict[str, Any]

# A message can be deleted for everybody in its first two days only.
DELETABLE_S = 48 * 3600
CHAT_ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "record_audio",
    "upload_audio",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
# What makes two messages say the same.
CONTENT = ("text", "entities", "photo", "caption", "caption_entities")


def send_message(telegram: Telegram, params: Params) -> Json:
    """Send a text."""
    text, entities = read_text(params)
    content: Json = {"text": text} | ({"entities": entities} if entities else {})
    return send(telegram, params, content)


def send_photo(telegram: Telegram, params: Params) -> Json:
    """Send a picture; an address is believed, not fetched."""
    photo = params.text("photo")
    if not photo:
        raise bad_request("there is no photo in the request")
    if "://" in photo and not photo.startswith(("http://", "https://", "attach://")):
        raise bad_request("wrong file identifier/HTTP URL specified")
    caption, entities = read_caption(params)
    known = "://" not in photo
    file_id = photo if known else secrets.token_urlsafe(40)
    size = {"file_id": file_id, "file_unique_id": file_id[-12:], "width": 800, "height": 600, "file_size": 50_000}
    content: Json = {"photo": [size]} | ({"caption": caption} if caption else {})
    return send(telegram, params, content | ({"caption_entities": entities} if entities else {}))


def send(telegram: Telegram, params: Params, content: Json) -> Json:
    """Put a message with this content into the chat that the call names."""
    world = telegram.world
    keyboard = read_keyboard(params)
    chat = find_chat(world, params, Need.WRITE)
    check_may_send(world, chat)
    body = new_message(world, chat, sender(world, chat)) | reply(world, params, chat) | content
    if params.flag("protect_content"):
        body["has_protected_content"] = True
    if keyboard:
        body["reply_markup"] = keyboard
    world.put_message(body, outgoing=True)
    return body


def new_message(world: World, chat: Row, from_whom: Json) -> Json:
    """Begin a message: its number, who wrote it, where and when."""
    return {"message_id": world.next_message_id(chat["id"]), **from_whom, "chat": shapes.chat(world, chat), "date": world.now()}


def sender(world: World, chat: Row) -> Json:
    """Say who a message of the bot is from: in a channel it is the channel itself."""
    if chat["type"] == "channel":
        return {"sender_chat": shapes.chat(world, chat)}
    return {"from": shapes.somebody(world, world.account.id)}


def reply(world: World, params: Params, chat: Row) -> Json:
    """Read what the message is a reply to."""
    given = params.json("reply_parameters", "reply parameters") or {}
    if not isinstance(given, dict):
        raise bad_request("object expected as reply parameters")
    number = given.get("message_id") or params.integer("reply_to_message_id")
    if not number:
        return {}
    if not isinstance(number, int) or abs(number) >= 2**53:
        raise bad_request("message to be replied not found")
    lenient = given.get("allow_sending_without_reply") or params.flag("allow_sending_without_reply")
    known = world.books.one("SELECT 1 FROM messages WHERE chat_id = ? AND message_id = ? AND NOT deleted", (chat["id"], number))
    if known is None and lenient:
        return {}
    body, _ = world.message(chat["id"], number, "message to be replied")
    body.pop("reply_to_message", None)
    return {"reply_to_message": body}


def own_message(telegram: Telegram, params: Params) -> Json:
    """Read the message that an edit names; raises ApiError when it is not the bot's."""
    chat = find_chat(telegram.world, params, Need.EDIT)
    body, outgoing = telegram.world.message(chat["id"], params.integer("message_id"), "message to edit")
    if not outgoing:
        raise bad_request("message can't be edited")
    return body


def change(telegram: Telegram, body: Json, content: Json, params: Params) -> Json:
    """Give a message new content and the keyboard of this call; one without a keyboard loses it."""
    keyboard = read_keyboard(params)
    kept = {name: value for name, value in body.items() if name not in {"reply_markup", "edit_date", *content}}
    changed = kept | {name: value for name, value in content.items() if value} | ({"reply_markup": keyboard} if keyboard else {})
    if changed == {name: value for name, value in body.items() if name != "edit_date"}:
        raise bad_request(NOT_MODIFIED)
    changed["edit_date"] = telegram.world.now()
    telegram.world.put_message(changed, outgoing=True)
    return changed


def edit_text(telegram: Telegram, params: Params) -> Json:
    """Change a text."""
    text, entities = read_text(params)
    body = own_message(telegram, params)
    if "text" not in body:
        raise bad_request("there is no text in the message to edit")
    return change(telegram, body, {"text": text, "entities": entities}, params)


def edit_caption(telegram: Telegram, params: Params) -> Json:
    """Change what stands under a picture."""
    caption, entities = read_caption(params)
    body = own_message(telegram, params)
    if "photo" not in body:
        raise bad_request("there is no caption in the message to edit")
    return change(telegram, body, {"caption": caption, "caption_entities": entities}, params)


def edit_keyboard(telegram: Telegram, params: Params) -> Json:
    """Change a message's buttons only."""
    return change(telegram, own_message(telegram, params), {}, params)


def delete_message(telegram: Telegram, params: Params) -> bool:
    """Delete one message: the bot's own, any in a private chat, any where the bot has the right."""
    if not params.text("chat_id"):
        raise bad_request("chat identifier is not specified")
    number = params.integer("message_id")
    if not number:
        raise bad_request("message identifier is not specified")
    world = telegram.world
    chat = find_chat(world, params, Need.WRITE)
    body, outgoing = world.message(chat["id"], number, "message to delete")
    if not outgoing and chat["type"] != "private" and not world.may(chat["id"], "can_delete_messages"):
        raise bad_request("message can't be deleted")
    if body["date"] < world.now() - DELETABLE_S and not world.may(chat["id"], "can_delete_messages"):
        raise bad_request("message can't be deleted for everyone")
    mark_deleted(world, chat["id"], [number])
    return True


def delete_messages(telegram: Telegram, params: Params) -> bool:
    """Delete up to a hundred messages; the ones that are not there are passed over."""
    numbers = params.json("message_ids", "message identifiers")
    if not isinstance(numbers, list) or not numbers:
        raise bad_request("message identifiers are not specified")
    if len(numbers) > 100:
        raise bad_request("too many message identifiers specified")
    chat = find_chat(telegram.world, params, Need.WRITE)
    mark_deleted(telegram.world, chat["id"], [number for number in numbers if isinstance(number, int)])
    return True


def mark_deleted(world: World, chat_id: int, numbers: list[int]) -> None:
    for number in numbers:
        world.books.run("UPDATE messages SET deleted = 1 WHERE chat_id = ? AND message_id = ?", (chat_id, number))


def copied(telegram: Telegram, params: Params) -> Json:
    """Read the message that a copy or forward names."""
    source = find_chat(telegram.world, params, Need.READ, "from_chat_id")
    body, _ = telegram.world.message(source["id"], params.integer("message_id"), "message to copy")
    if body.get("has_protected_content"):
        raise bad_request("message can't be copied")
    return body


def copy_message(telegram: Telegram, params: Params) -> Json:
    """Send the same content again without saying where it is from."""
    body = copied(telegram, params)
    content: Json = {name: body[name] for name in CONTENT if name in body}
    return {"message_id": send(telegram, params, content)["message_id"]}


def forward_message(telegram: Telegram, params: Params) -> Json:
    """Send the same content again and say where it is from."""
    body = copied(telegram, params)
    content: Json = {name: body[name] for name in CONTENT if name in body}
    if "sender_chat" in body:
        origin = {"type": "channel", "chat": body["sender_chat"], "message_id": body["message_id"], "date": body["date"]}
    else:
        origin = {"type": "user", "sender_user": body["from"], "date": body["date"]}
    return send(telegram, params, content | {"forward_origin": origin})


def send_chat_action(telegram: Telegram, params: Params) -> bool:
    """Show that the bot is busy; nothing is kept."""
    if params.text("action").lower() not in CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")
    check_may_send(telegram.world, find_chat(telegram.world, params, Need.WRITE))
    return True


def pin_message(telegram: Telegram, params: Params) -> bool:
    """Accept a pin; the world shows no pins."""
    chat = find_chat(telegram.world, params, Need.WRITE)
    telegram.world.message(chat["id"], params.integer("message_id"), "message to pin")
    right = "can_edit_messages" if chat["type"] == "channel" else "can_pin_messages"
    if chat["type"] != "private" and not telegram.world.may(chat["id"], right):
        raise bad_request("not enough rights to manage pinned messages in the chat")
    return True


METHODS: dict[str, Method] = {
    "sendMessage": send_message,
    "sendPhoto": send_photo,
    "editMessageText": edit_text,
    "editMessageCaption": edit_caption,
    "editMessageReplyMarkup": edit_keyboard,
    "deleteMessage": delete_message,
    "deleteMessages": delete_messages,
    "copyMessage": copy_message,
    "forwardMessage": forward_message,
    "sendChatAction": send_chat_action,
    "pinChatMessage": pin_message,
}
