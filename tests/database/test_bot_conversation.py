"""What people write to the bot and press, and what it answers."""

from __future__ import annotations

import json

import pytest

from PGP_COMMON import deeplinks
from PGP_SERVER_v1 import conversation, texts
from tests.support.town import Person, Town

ODD_AMOUNTS = [
    "nan",
    "inf",
    "-inf",
    "0",
    "-5",
    "4.98",
    "10000",
    "9999.999",
    "5_0",
    "٥",
    "1e3",
    "5,00",
    "0x10",
    "5.",
    ".5",
    "+5",
    "5 0",
    "",
    " ",
    "$",
    "5.00.0",
    "９９",
]


def start(person: Person, payload: str) -> list[str]:
    return person.asks(f"/start {payload}")


def orders(town: Town) -> list[tuple[object, ...]]:
    return town.rows("SELECT kind, price_usd::text, days, buyer_id, buyer_name, fee_percent::text, state FROM orders ORDER BY id")


def test_start_shows_every_channel_and_a_channel_shows_its_tiers(town: Town) -> None:
    owner, other = town.owner(tiers=2), town.owner()
    buyer = town.buyer()
    (menu,) = buyer.asks("/start")
    assert menu.startswith(texts.WELCOME)
    assert buyer.button(other.title)
    (offers,) = buyer.presses(owner.title)
    assert owner.title in offers
    assert buyer.button("Tier 1: 30 days for $10")
    assert buyer.button("Tier 2: 60 days for $20")
    assert buyer.button("Donate")


def test_start_without_anything_on_offer_says_so(town: Town) -> None:
    (said,) = town.buyer().asks("/start")
    assert texts.NOTHING in said


def test_a_tier_becomes_an_order_an_invoice_at_the_vendor_and_a_link(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer("Bea")
    preparing, offer = start(buyer, f"s_{deeplinks.base36(owner.channel_id)}_{deeplinks.base36(owner.tiers[0])}")
    assert preparing == texts.PREPARING
    assert offer.startswith(f"30 days of {owner.title}: $10.")
    assert orders(town) == [("subscription", "10.00", 30, buyer.id, "Bea", "3.00", "invoiced")]
    (invoice,) = town.outside.nowpayments.book("invoices")
    unique_id = town.value("SELECT unique_id FROM orders")
    assert invoice["order_id"] == f"PGP-{buyer.id}|{owner.open_chat}|{unique_id}"
    assert invoice["ipn_callback_url"] == "https://pay.test/webhooks/nowpayments-ipn"
    assert invoice["success_url"].startswith("https://pay.test/webhooks/success?t=")
    assert buyer.button("Pay")["url"] == town.value("SELECT url FROM invoice")
    assert town.letters() == []


def test_a_donation_is_asked_for_typed_or_pressed(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    assert texts.ASK_AMOUNT in start(buyer, f"d_{deeplinks.base36(owner.channel_id)}")[0]
    assert buyer.asks("$12.50")[0] == texts.PREPARING
    buyer.asks("/start")
    buyer.presses(owner.title)
    buyer.presses("Donate")
    pressed = buyer.presses("$25")
    assert pressed[1].startswith(f"Your donation to {owner.title}: $25.")
    assert [(row[0], row[1], row[2]) for row in orders(town)] == [("donation", "12.50", None), ("donation", "25.00", None)]
    # The question is answered: a number alone means nothing any more.
    assert buyer.asks("15") == [texts.HELP]


@pytest.mark.parametrize("amount", ["4.99", "9999.99", " 7 ", "$5.5"])
def test_an_amount_within_the_bounds_is_taken(town: Town, amount: str) -> None:
    owner, buyer = town.owner(), town.buyer()
    start(buyer, f"d_{deeplinks.base36(owner.channel_id)}")
    assert buyer.asks(amount)[0] == texts.PREPARING


def test_any_other_amount_is_asked_for_again_and_nothing_is_ordered(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    start(buyer, f"d_{deeplinks.base36(owner.channel_id)}")
    for amount in ODD_AMOUNTS:
        assert buyer.asks(amount) == [texts.BAD_AMOUNT], amount
        assert buyer.forges(f"a:{owner.channel_id}:{amount}") == [texts.BAD_AMOUNT], amount
    assert orders(town) == []
    # He is still being asked.
    assert buyer.asks("5")[0] == texts.PREPARING


def test_forged_buttons_order_nothing_that_is_not_on_offer(town: Town) -> None:
    owner, other, buyer = town.owner(), town.owner(), town.buyer()
    other.api("DELETE", f"/api/channels/{other.channel_id}")
    for data in (
        "",
        "x",
        "b",
        "b:",
        "b:1",
        "c:",
        "c:-1",
        "c:1e3",
        "c:99999999999999999999",
        "a",
        "d:٥",
        "b:1:2:3",
        "b:1:'; DROP TABLE orders",
        "donate_confirm",
        "🙂" * 16,
    ):
        assert buyer.forges(data) == [], data
    for data in (f"b:{owner.channel_id}:{other.tiers[0]}", f"b:{other.channel_id}:{other.tiers[0]}", "c:999999", "d:999999", "a:999999:25", "b:999999:1"):
        assert buyer.forges(data) == [texts.GONE], data
    assert orders(town) == []
    assert town.letters() == []


def test_the_same_update_twice_changes_nothing(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    buyer.says(f"/start s_{deeplinks.base36(owner.channel_id)}_{deeplinks.base36(owner.tiers[0])}")
    (update,) = town.telegram.result("getUpdates", offset=town._offset)
    for _ in range(3):
        assert town.knock(update).json == {"ok": True}
    town.settle(twice=True)
    assert len(orders(town)) == 1
    assert len(buyer.read()) == 2


def test_updates_in_another_order_are_all_taken(town: Town) -> None:
    buyer = town.buyer()
    for text in ("/start", "hello", "/start"):
        buyer.says(text)
    found = town.telegram.result("getUpdates", offset=town._offset)
    for update in reversed(found):
        town.knock(update)
    town.queue.run()
    assert town.value("SELECT count(*) FROM telegram_update") == 1 + 3
    assert len(buyer.read()) == 3


def test_bots_groups_edits_posts_and_other_kinds_are_none_of_its_business(town: Town) -> None:
    town.owner()
    before = town.value("SELECT count(*) FROM work")
    person, private = {"id": 77, "is_bot": False, "first_name": "A"}, {"id": 77, "type": "private"}
    said = {"message_id": 1, "date": 1, "text": "/start"}
    bodies = [
        {"message": {**said, "from": {**person, "is_bot": True}, "chat": private}},
        {"message": {**said, "from": person, "chat": {"id": -100, "type": "supergroup"}}},
        {"message": {**said, "chat": {"id": -100, "type": "channel"}, "sender_chat": {"id": -100, "type": "channel"}}},
        {"message": {**said, "from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}, "chat": {"id": -100, "type": "group"}}},
        {"message": {**said, "from": person, "chat": {**private, "id": 78}}},
        {"message": {"message_id": 1, "date": 1, "from": person, "chat": private, "photo": []}},
        {"message": {**said, "text": None, "from": person, "chat": private, "migrate_to_chat_id": -100}},
        {"edited_message": {**said, "from": person, "chat": private}},
        {"channel_post": {**said, "chat": {"id": -100, "type": "channel"}}},
        {"callback_query": {"id": "1", "from": person, "game_short_name": "x"}},
        {"inline_query": {"id": "1", "from": person, "query": "x"}},
        {"my_chat_member": {"chat": private, "from": person, "new_chat_member": {"status": "member", "user": person}}},
        {"chat_join_request": {"chat": private, "from": person}},
        {"chat_member": {"chat": {"id": -100, "type": "channel"}, "from": person, "new_chat_member": {"status": ["member"], "user": person}}},
        {"something_of_tomorrow": {"id": 1}},
        {},
    ]
    for number, body in enumerate(bodies, start=1):
        assert town.knock({"update_id": number, **body}).status_code == 200
    assert town.value("SELECT count(*) FROM work") == before
    assert town.value("SELECT count(*) FROM telegram_update") == len(bodies)
    assert town.letters() == []


def test_what_is_no_update_is_kept_for_a_person_and_never_asked_for_again(town: Town) -> None:
    for body in (b"", b"[]", b"null", b"{", b'{"update_id": "1"}', b'{"update_id": true}', b'{"update_id": -1}', b'{"update_id": 1e400}', b"[" * 50_000):
        assert town.knock(body).status_code == 200
    assert {source for source, _ in town.letters()} == {"pgp-server-v1 /telegram-webhook"}
    assert town.value("SELECT count(*) FROM telegram_update") == 0


def test_the_largest_numbers_break_nothing(town: Town) -> None:
    person = {"id": 2**52, "is_bot": False, "first_name": "A"}
    for number, chat in enumerate((-(2**53), -(10**30), 10**30, 2**63), start=1):
        for body in (
            {"chat_join_request": {"chat": {"id": chat, "type": "channel"}, "from": person}},
            {"chat_member": {"chat": {"id": chat, "type": "channel"}, "new_chat_member": {"status": "member", "user": person}}},
            {"message": {"from": person, "chat": {"id": chat, "type": "private"}, "text": "/start"}},
        ):
            assert town.knock({"update_id": 2**61 + number, **body}).status_code == 200
    assert town.letters() == []


@pytest.mark.parametrize("secret", ["", "x", "prefix"])
def test_only_telegram_gets_in(town: Town, secret: str) -> None:
    shown = town.settings["TELEGRAM_WEBHOOK_SECRET"][:-1] if secret == "prefix" else secret
    assert town.knock({"update_id": 1, "message": {}}, secret=shown).status_code == 401
    assert town.value("SELECT count(*) FROM telegram_update") == 0


def test_a_pressed_button_is_answered_with_the_call_that_stops_its_spinner(town: Town) -> None:
    update = {"update_id": 1, "callback_query": {"id": "4711", "from": {"id": 77, "first_name": "A"}, "data": "x"}}
    assert town.knock(update).json == {"method": "answerCallbackQuery", "callback_query_id": "4711"}
    assert town.knock(update).json == {"method": "answerCallbackQuery", "callback_query_id": "4711"}


def test_an_owners_link_code_works_once_and_is_in_the_audit_log(town: Town) -> None:
    owner, thief = town.owner(linked=False), town.buyer()
    start_of = owner.api("POST", "/api/account/telegram-link").json["url"].partition("start=")[2]
    assert start(owner.person, start_of) == [texts.LINKED]
    assert owner.api("GET", "/api/account").json["telegram_linked"] is True
    assert start(thief, start_of) == [texts.NOT_LINKED]
    assert start(thief, start_of[:-1] + "x") == [texts.NOT_LINKED]
    assert town.value("SELECT notify_chat_id FROM client_table") == owner.person.id
    entry = town.value("SELECT json_build_object('actor', actor, 'action', action, 'after', after) FROM audit_log")
    assert entry == {"actor": f"telegram user {owner.person.id}", "action": "link telegram", "after": {"telegram": owner.person.id}}


def test_an_owners_link_code_is_over_after_an_hour(town: Town) -> None:
    owner = town.owner(linked=False)
    code = owner.api("POST", "/api/account/telegram-link").json["url"].partition("start=")[2]
    town.later(3601)
    assert start(owner.person, code) == [texts.NOT_LINKED]


def test_nobody_gets_more_payment_links_in_an_hour_than_a_person_needs(town: Town) -> None:
    owner, buyer, other = town.owner(), town.buyer(), town.buyer()
    payload = f"s_{deeplinks.base36(owner.channel_id)}_{deeplinks.base36(owner.tiers[0])}"
    for _ in range(conversation.ORDERS_AN_HOUR):
        assert start(buyer, payload)[0] == texts.PREPARING
    assert start(buyer, payload) == [texts.TOO_MANY]
    assert start(other, payload)[0] == texts.PREPARING
    town.later(3601)
    assert start(buyer, payload)[0] == texts.PREPARING


@pytest.mark.parametrize("payload", ["x" * 64, "s_", "s_zzzzzzzzzzzz_zzzzzzzzzzzz", "s_1_1_1", "d_-1", "o_" + "x" * 60, "s_%31", "g_code", "../..", "s_1\n_1"])
def test_a_start_payload_that_is_none_of_ours_leads_to_a_sentence(town: Town, payload: str) -> None:
    buyer = town.buyer()
    assert len(start(buyer, payload)) == 1
    assert town.letters() == []


def test_other_words_that_begin_with_start_are_no_start(town: Town) -> None:
    buyer = town.buyer()
    assert buyer.asks("/started") == [texts.HELP]
    assert buyer.asks("/start@paygate_test_bot")[0].startswith(texts.WELCOME)
    assert buyer.asks("hello") == [texts.HELP]


def test_a_text_of_any_length_and_kind_is_answered(town: Town) -> None:
    buyer = town.buyer("\u202eevil\u2066 \x00\nname" + "x" * 200)
    assert buyer.asks("x" * 4096) == [texts.HELP]
    update = {
        "update_id": 2**40,
        "message": {"from": {"id": buyer.id, "first_name": "\ud800"}, "chat": {"id": buyer.id, "type": "private"}, "text": "\ud800\x00/start"},
    }
    assert town.knock(json.dumps(update).encode()).status_code == 200
    town.settle()
    assert buyer.read()[0].startswith(texts.WELCOME)


def test_a_conversation_is_forgotten_after_its_time(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    start(buyer, f"d_{deeplinks.base36(owner.channel_id)}")
    town.later(3601)
    assert buyer.asks("25") == [texts.HELP]


def test_a_closed_channel_or_withdrawn_tier_is_no_longer_sold(town: Town) -> None:
    owner, buyer = town.owner(tiers=2), town.buyer()
    buyer.asks("/start")
    buyer.presses(owner.title)
    owner.api("DELETE", f"/api/mappings/{owner.channel_id}/tiers/{owner.tiers[0]}")
    assert buyer.presses("Tier 1") == [texts.GONE]
    owner.api("DELETE", f"/api/channels/{owner.channel_id}")
    assert buyer.presses("Tier 2") == [texts.GONE]
    assert buyer.presses("Donate") == [texts.GONE]
    assert texts.NOTHING in buyer.asks("/start")[0]
