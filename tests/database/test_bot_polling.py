"""Updates that are fetched where Telegram cannot call."""

from __future__ import annotations

from PGP_SERVER_v1 import polling, texts
from tests.support.town import Town


def fetch(town: Town, offset: int | None = None) -> int | None:
    return polling.fetch(town.apps["server"].extensions["pgp"], offset, wait_s=0)


def newest(town: Town) -> int | None:
    found = town.telegram.result("getUpdates", offset=-1)
    return int(found[-1]["update_id"]) + 1 if found else None


def test_what_is_fetched_goes_through_the_same_door(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    offset = fetch(town, newest(town))
    buyer.says("/start")
    offset = fetch(town, offset)
    town.queue.run()
    buyer.read()
    message, button = buyer._found(owner.title)
    pressed = buyer.acts(callback={"message_id": message["message_id"], "data": button["callback_data"]})
    offset = fetch(town, offset)
    town.queue.run()
    assert buyer.button("Tier 1")
    # The button has stopped spinning.
    (query,) = [row for row in town.telegram.look("/books/callbacks") if row["id"] == pressed["callback_query_id"]]
    assert query["answer"] is not None
    assert fetch(town, offset) == offset


def test_the_same_updates_again_change_nothing(town: Town) -> None:
    buyer = town.buyer()
    offset = newest(town)
    buyer.says("hello")
    for _ in range(3):
        fetch(town, offset)
    town.queue.run()
    assert buyer.read() == [texts.HELP]


def test_an_update_that_makes_no_sense_is_kept_and_does_not_come_for_ever(town: Town) -> None:
    buyer = town.buyer()
    offset = newest(town)
    buyer.says("first")
    # The database refuses what the first one leads to.
    town.run("ALTER TABLE bot_message ADD CONSTRAINT never CHECK (chat_id < 0) NOT VALID")
    after = fetch(town, offset)
    town.run("ALTER TABLE bot_message DROP CONSTRAINT never")
    assert after is not None
    assert town.letters() == [("pgp-server-v1 updates", "broken_rule")]
    buyer.says("second")
    fetch(town, after)
    town.queue.run()
    assert buyer.read() == [texts.HELP]


def test_a_button_that_cannot_be_answered_is_taken_all_the_same(town: Town) -> None:
    owner, buyer = town.owner(), town.buyer()
    buyer.asks("/start")
    offset = newest(town)
    message, button = buyer._found(owner.title)
    buyer.acts(callback={"message_id": message["message_id"], "data": button["callback_data"]})
    town.telegram.fault("answerCallbackQuery", "status", 502)
    assert fetch(town, offset) is not None
    town.queue.run()
    assert buyer.button("Tier 1")
