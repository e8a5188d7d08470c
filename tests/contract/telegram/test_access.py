"""People come in and go out of chats as they do in Telegram, and the bot is told."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.telegram_world import TelegramWorld

ANN = {"id": 42, "first_name": "Ann"}
BOB = {"id": 43, "first_name": "Bob"}
VIP = -1001234567890
EVERYTHING = ["message", "callback_query", "my_chat_member", "chat_member", "chat_join_request"]


@pytest.fixture
def channel(world: TelegramWorld) -> TelegramWorld:
    world.result("getUpdates", allowed_updates=EVERYTHING)
    world.control("/chats", {"id": VIP, "type": "channel", "title": "VIP"})
    return world


def status(world: TelegramWorld, user_id: int) -> str:
    return str(world.result("getChatMember", chat_id=VIP, user_id=user_id)["status"])


def last_update(world: TelegramWorld) -> dict[str, Any]:
    return dict(world.result("getUpdates")[-1])


def link(world: TelegramWorld, **params: Any) -> str:
    return str(world.result("createChatInviteLink", chat_id=VIP, **params)["invite_link"])


def join(world: TelegramWorld, user: dict[str, Any], address: str) -> dict[str, Any]:
    return world.control("/updates", {"user": user, "join": address})


def test_somebody_asks_is_approved_and_is_in(channel: TelegramWorld):
    address = link(channel, creates_join_request=True)
    assert join(channel, ANN, address)["state"] == "requested"
    assert last_update(channel)["chat_join_request"]["from"]["id"] == 42
    assert status(channel, 42) == "left"
    channel.result("approveChatJoinRequest", chat_id=VIP, user_id=42)
    assert status(channel, 42) == "member"
    told = last_update(channel)["chat_member"]
    assert told["from"]["is_bot"]
    assert told["invite_link"]["invite_link"] == address
    assert [join["state"] for join in channel.look("/books/joins")] == ["approved"]


def test_somebody_declined_is_out_and_may_ask_again(channel: TelegramWorld):
    address = link(channel, creates_join_request=True)
    join(channel, ANN, address)
    channel.result("declineChatJoinRequest", chat_id=VIP, user_id=42)
    assert status(channel, 42) == "left"
    assert join(channel, ANN, address)["update_id"] is not None


def test_a_repeated_request_is_heard_once(channel: TelegramWorld):
    address = link(channel, creates_join_request=True)
    assert join(channel, ANN, address)["update_id"] is not None
    assert join(channel, ANN, address)["update_id"] is None


def test_a_request_approved_twice_is_refused_the_second_time(channel: TelegramWorld):
    join(channel, ANN, link(channel, creates_join_request=True))
    channel.result("approveChatJoinRequest", chat_id=VIP, user_id=42)
    _, body = channel.call("approveChatJoinRequest", chat_id=VIP, user_id=42)
    assert body["description"] == "Bad Request: USER_ALREADY_PARTICIPANT"


def test_who_asked_to_join_can_be_written_to_while_the_request_waits(channel: TelegramWorld):
    join(channel, ANN, link(channel, creates_join_request=True))
    channel.result("sendMessage", chat_id=42, text="A moment please")
    channel.result("declineChatJoinRequest", chat_id=VIP, user_id=42)
    assert channel.call("sendMessage", chat_id=42, text="Sorry")[1]["description"] == "Forbidden: bot can't initiate conversation with a user"


def test_a_link_with_one_seat_lets_one_in_at_a_time(channel: TelegramWorld):
    address = link(channel, member_limit=1)
    assert join(channel, ANN, address)["state"] == "member"
    assert channel.refused("/updates", {"user": BOB, "join": address}) == "INVITE_HASH_EXPIRED"
    channel.control("/updates", {"user": ANN, "leave": VIP})
    assert join(channel, BOB, address)["state"] == "member"


@pytest.mark.parametrize("spoil", ["revoked", "expired", "unknown", "banned"])
def test_a_link_that_is_no_good_lets_nobody_in(channel: TelegramWorld, spoil: str):
    address = link(channel, **({"expire_date": 1_000_000_000} if spoil == "expired" else {}))
    if spoil == "revoked":
        channel.result("revokeChatInviteLink", chat_id=VIP, invite_link=address)
    if spoil == "banned":
        channel.control(f"/chats/{VIP}/members", {"user": ANN, "status": "kicked"})
    address = "https://t.me/+nothing" if spoil == "unknown" else address
    assert channel.refused("/updates", {"user": ANN, "join": address}) == "INVITE_HASH_EXPIRED"


def test_a_member_cannot_join_again(channel: TelegramWorld):
    address = link(channel)
    join(channel, ANN, address)
    assert channel.refused("/updates", {"user": ANN, "join": address}) == "USER_ALREADY_PARTICIPANT"


def test_a_ban_and_its_lifting_put_somebody_out_and_let_him_return(channel: TelegramWorld):
    address = link(channel)
    join(channel, ANN, address)
    channel.result("banChatMember", chat_id=VIP, user_id=42)
    assert status(channel, 42) == "kicked"
    channel.result("unbanChatMember", chat_id=VIP, user_id=42, only_if_banned=True)
    assert status(channel, 42) == "left"
    told = [update["chat_member"]["new_chat_member"]["status"] for update in channel.result("getUpdates") if "chat_member" in update]
    assert told[-3:] == ["member", "kicked", "left"]
    assert join(channel, ANN, address)["state"] == "member"


def test_lifting_a_ban_alone_puts_a_present_member_out(channel: TelegramWorld):
    join(channel, ANN, link(channel))
    channel.result("unbanChatMember", chat_id=VIP, user_id=42)
    assert status(channel, 42) == "left"


def test_lifting_only_a_ban_leaves_a_present_member_alone(channel: TelegramWorld):
    join(channel, ANN, link(channel))
    channel.result("unbanChatMember", chat_id=VIP, user_id=42, only_if_banned=True)
    assert status(channel, 42) == "member"


def test_a_ban_takes_a_waiting_request_away(channel: TelegramWorld):
    join(channel, ANN, link(channel, creates_join_request=True))
    channel.result("banChatMember", chat_id=VIP, user_id=42)
    assert [join["state"] for join in channel.look("/books/joins")] == ["declined"]


def test_a_new_primary_link_ends_the_old_one(channel: TelegramWorld):
    old = channel.result("exportChatInviteLink", chat_id=VIP)
    new = channel.result("exportChatInviteLink", chat_id=VIP)
    assert channel.result("getChat", chat_id=VIP)["invite_link"] == new
    assert channel.refused("/updates", {"user": ANN, "join": old}) == "INVITE_HASH_EXPIRED"


def test_the_bot_is_told_what_becomes_of_it(channel: TelegramWorld):
    channel.control("/chats", {"id": VIP, "bot": {"status": "administrator", "rights": {"can_invite_users": False}}})
    told = last_update(channel)["my_chat_member"]
    assert told["old_chat_member"]["can_invite_users"]
    assert not told["new_chat_member"]["can_invite_users"]
    channel.control("/chats", {"id": VIP, "bot": {"status": "kicked"}})
    assert last_update(channel)["my_chat_member"]["new_chat_member"]["status"] == "kicked"


def test_writing_to_the_bot_lifts_a_block(channel: TelegramWorld):
    for order in ({"text": "/start"}, {"block": True}):
        channel.control("/updates", {"user": ANN, **order})
    assert channel.call("sendMessage", chat_id=42, text="x")[0] == 403
    channel.control("/updates", {"user": ANN, "text": "/start"})
    channel.result("sendMessage", chat_id=42, text="x")
    told = [update["my_chat_member"]["new_chat_member"]["status"] for update in channel.result("getUpdates") if "my_chat_member" in update]
    assert told[-2:] == ["kicked", "member"]


def test_who_is_no_administrator_is_not_told_who_comes(channel: TelegramWorld):
    channel.control("/chats", {"id": VIP, "bot": {"status": "member"}})
    assert channel.control(f"/chats/{VIP}/members", {"user": ANN})["update_id"] is None


def test_the_doors_show_who_is_in_and_by_which_link(channel: TelegramWorld):
    address = link(channel)
    join(channel, ANN, address)
    shown = {member["user"]["id"]: (member["status"], member["invite_link"]) for member in channel.look(f"/chats/{VIP}/members")}
    assert shown[42] == ("member", address)
    assert shown[123456] == ("administrator", None)
    assert shown[1_000_000_001] == ("creator", None)


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("/updates", {"text": "hi"}),
        ("/updates", {"user": {"id": 0}, "text": "hi"}),
        ("/updates", {"user": {"id": 123456}, "text": "hi"}),
        ("/updates", {"user": {"id": "42"}, "text": "hi"}),
        ("/updates", {"user": ANN, "leave": VIP}),
        ("/updates", {"user": ANN, "leave": -5}),
        ("/updates", {"user": ANN, "text": "hi", "chat": VIP}),
        ("/updates", {"user": ANN, "callback": {"message_id": 9, "data": "x"}}),
        ("/chats", {"id": 5, "type": "channel"}),
        ("/chats", {"id": -5, "type": "cave"}),
        (f"/chats/{VIP}/members", {"user": ANN, "status": "king"}),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(channel: TelegramWorld, path: str, order: dict[str, Any]):
    assert channel.refused(path, order)


def test_only_a_forged_press_needs_no_button(channel: TelegramWorld):
    channel.control("/updates", {"user": ANN, "text": "/start"})
    message = channel.result("sendMessage", chat_id=42, text="x", reply_markup={"inline_keyboard": [[{"text": "a", "callback_data": "a"}]]})
    wish = {"message_id": message["message_id"], "data": "donate_confirm"}
    assert "no such button" in channel.refused("/updates", {"user": ANN, "callback": wish})
    channel.control("/updates", {"user": ANN, "callback": wish | {"forged": True}})
    assert last_update(channel)["callback_query"]["data"] == "donate_confirm"


def test_an_edit_and_a_post_are_told_as_such(channel: TelegramWorld):
    said = channel.control("/updates", {"user": ANN, "text": "helo"})
    channel.control("/updates", {"user": ANN, "edit": {"message_id": said["message_id"], "text": "hello"}})
    assert "edited_message" not in last_update(channel)
    channel.result("getUpdates", allowed_updates=["edited_message", "channel_post"])
    channel.control("/updates", {"user": ANN, "edit": {"message_id": said["message_id"], "text": "hello!"}})
    assert last_update(channel)["edited_message"]["text"] == "hello!"
    channel.control("/updates", {"user": {"id": 1_000_000_001}, "text": "News", "chat": VIP})
    assert last_update(channel)["channel_post"]["sender_chat"]["id"] == VIP
