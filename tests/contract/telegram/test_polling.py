"""getUpdates hands out what waits, once, to one process."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.support.telegram_world import TelegramWorld

ANN = {"id": 42, "first_name": "Ann"}


def say(world: TelegramWorld, text: str) -> int:
    return int(world.control("/updates", {"user": ANN, "text": text})["update_id"])


def texts(updates: list[dict[str, Any]]) -> list[str]:
    return [update["message"]["text"] for update in updates]


def test_an_update_comes_again_until_a_higher_offset_confirms_it(world: TelegramWorld):
    number = say(world, "a")
    assert texts(world.result("getUpdates")) == texts(world.result("getUpdates", offset=number)) == ["a"]
    assert world.result("getUpdates", offset=number + 1) == []
    assert world.result("getUpdates") == []


def test_a_negative_offset_keeps_only_the_last_ones(world: TelegramWorld):
    for text in "abc":
        say(world, text)
    assert texts(world.result("getUpdates", offset=-1)) == ["c"]
    assert texts(world.result("getUpdates")) == ["c"]


def test_a_limit_is_kept(world: TelegramWorld):
    for text in "abc":
        say(world, text)
    assert texts(world.result("getUpdates", limit=2)) == ["a", "b"]


def test_a_poll_waits_for_what_comes(world: TelegramWorld):
    threading.Timer(0.2, lambda: say(world, "late")).start()
    begun = time.monotonic()
    assert texts(world.result("getUpdates", timeout=10)) == ["late"]
    assert 0.1 < time.monotonic() - begun < 5


def poll(world: TelegramWorld, answers: list[Any]) -> threading.Thread:
    """Poll in the background, and be surely waiting when this returns."""
    thread = threading.Thread(target=lambda: answers.append(world.call("getUpdates", timeout=10)))
    thread.start()
    time.sleep(0.3)
    return thread


def test_a_second_poll_ends_the_first(world: TelegramWorld):
    answers: list[Any] = []
    first, second = poll(world, answers), poll(world, answers)
    first.join()
    assert answers[0][0] == 409
    assert answers[0][1]["description"].startswith("Conflict: terminated by other getUpdates request")
    say(world, "a")
    second.join()
    assert answers[1][0] == 200


def test_a_webhook_ends_a_poll(world: TelegramWorld):
    answers: list[Any] = []
    thread = poll(world, answers)
    world.result("setWebhook", url="http://127.0.0.1:9/")
    thread.join()
    assert answers[0][1] == {"ok": False, "error_code": 409, "description": "Conflict: terminated by setWebhook request"}
