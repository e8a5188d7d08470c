"""Updates come to the webhook as Telegram sends them: in order, again and again until taken, and never lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from deploy.simulators.telegram.courier import Pace
from tests.support.telegram_world import Hook, TelegramWorld, telegram_world

ANN = {"id": 42, "first_name": "Ann"}
BOB = {"id": 43, "first_name": "Bob"}


def say(world: TelegramWorld, user: dict[str, Any], text: str) -> dict[str, Any]:
    return world.control("/updates", {"user": user, "text": text})


def set_webhook(world: TelegramWorld, hook: Hook, **params: Any) -> None:
    world.result("setWebhook", url=hook.url, **params)


def settled(world: TelegramWorld, within_s: float = 5) -> None:
    """Wait until no update waits."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not world.result("getWebhookInfo")["pending_update_count"]:
            return
        time.sleep(0.01)
    raise AssertionError("updates still wait")


def gaps(hook: Hook) -> list[float]:
    return [later - earlier for earlier, later in zip(hook.times, hook.times[1:], strict=False)]


def test_an_update_comes_with_the_secret_that_was_given(world: TelegramWorld, hook: Hook):
    set_webhook(world, hook, secret_token="hush")
    said = say(world, ANN, "hi")
    assert hook.wait(1)[0]["update_id"] == said["update_id"]
    assert hook.secrets == ["hush"]


def test_without_a_secret_there_is_no_header(world: TelegramWorld, hook: Hook):
    set_webhook(world, hook)
    say(world, ANN, "hi")
    hook.wait(1)
    assert hook.secrets == [None]


def test_update_numbers_rise_by_one(world: TelegramWorld, hook: Hook):
    set_webhook(world, hook)
    for text in "abc":
        say(world, ANN, text)
    numbers = [update["update_id"] for update in hook.wait(3)]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]


def test_what_waited_before_the_webhook_was_set_comes_too(world: TelegramWorld, hook: Hook):
    say(world, ANN, "early")
    set_webhook(world, hook)
    hook.wait(1)
    assert hook.texts() == ["early"]


def test_dropped_updates_do_not_come(world: TelegramWorld, hook: Hook):
    say(world, ANN, "early")
    set_webhook(world, hook, drop_pending_updates=True)
    say(world, ANN, "late")
    hook.wait(1)
    settled(world)
    assert hook.texts() == ["late"]


def test_the_first_repeat_comes_at_once_and_the_waits_then_double(tmp_path: Path, hook: Hook):
    with telegram_world(tmp_path, pace=Pace(first_s=0.1, max_s=10, timeout_s=5)) as world:
        hook.answers = ["500 No"] * 4
        set_webhook(world, hook)
        say(world, ANN, "hi")
        hook.wait(5)
        settled(world)
    at_once, second, third, fourth = gaps(hook)
    assert at_once < 0.2 <= second
    assert third >= 0.4
    assert fourth >= 0.8


def test_the_waits_stop_growing(tmp_path: Path, hook: Hook):
    with telegram_world(tmp_path, pace=Pace(first_s=0.05, max_s=0.1, timeout_s=5)) as world:
        hook.answers = ["500 No"] * 6
        set_webhook(world, hook)
        say(world, ANN, "hi")
        hook.wait(7)
    # Twice as long each time would come to 3.2 seconds for the last.
    assert max(gaps(hook)) < 1.5


def test_any_2xx_takes_an_update_and_anything_else_does_not(world: TelegramWorld, hook: Hook):
    hook.answers = ["302 Found", "404 Not Found", "204 No Content"]
    set_webhook(world, hook)
    say(world, ANN, "hi")
    hook.wait(3)
    settled(world)
    assert hook.texts() == ["hi", "hi", "hi"]


def test_an_answer_may_ask_for_a_later_time(world: TelegramWorld, hook: Hook):
    hook.answers, hook.headers = ["503 Later"], [("Retry-After", "1")]
    set_webhook(world, hook)
    say(world, ANN, "hi")
    hook.wait(2)
    assert gaps(hook)[0] >= 1


def test_one_person_s_updates_wait_for_the_first_and_another_s_do_not(world: TelegramWorld, hook: Hook):
    stuck = True
    hook.refuses = lambda update: stuck and update["message"]["text"] == "a1"
    set_webhook(world, hook)
    for user, text in [(ANN, "a1"), (ANN, "a2"), (BOB, "b1"), (BOB, "b2")]:
        say(world, user, text)
    until = time.monotonic() + 5
    while {"b1", "b2"} - set(hook.texts()) and time.monotonic() < until:
        time.sleep(0.01)
    assert "a2" not in hook.texts()
    stuck = False
    settled(world)
    assert [text for text in hook.texts() if text.startswith("b")] == ["b1", "b2"]
    assert hook.texts()[-1] == "a2"


def test_only_as_many_deliveries_run_at_once_as_the_webhook_takes(world: TelegramWorld, hook: Hook):
    running, most = 0, 0

    def slow(update: dict[str, Any]) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.05)
        running -= 1
        return False

    hook.refuses = slow
    set_webhook(world, hook, max_connections=2)
    for number in range(8):
        say(world, {"id": 100 + number}, "hi")
    hook.wait(8)
    settled(world)
    assert most == 2


def test_an_update_that_nobody_takes_is_thrown_away_in_the_end(tmp_path: Path, hook: Hook):
    with telegram_world(tmp_path, update_life_s=0.6) as world:
        hook.refuses = lambda update: update["message"]["text"] == "bad"
        set_webhook(world, hook)
        say(world, ANN, "bad")
        say(world, ANN, "good")
        settled(world)
        ends = [update["ended"] for update in world.look("/books/updates")]
    assert ends[0] == "expired"


def test_a_webhook_that_is_down_is_reported_and_loses_nothing(world: TelegramWorld, hook: Hook):
    world.result("setWebhook", url="http://127.0.0.1:9/nowhere")
    say(world, ANN, "hi")
    until = time.monotonic() + 5
    while "last_error_message" not in world.result("getWebhookInfo") and time.monotonic() < until:
        time.sleep(0.01)
    info = world.result("getWebhookInfo")
    assert info["pending_update_count"] == 1
    assert info["last_error_message"] == "Connection refused"
    time.sleep(1)
    set_webhook(world, hook)
    hook.wait(1)
    assert hook.texts() == ["hi"]


def test_the_answer_to_an_update_may_hold_one_method(world: TelegramWorld, hook: Hook):
    hook.body = b'{"method": "sendMessage", "chat_id": 42, "text": "straight back"}'
    set_webhook(world, hook)
    say(world, ANN, "hi")
    settled(world)
    until = time.monotonic() + 5
    while len(world.look("/chats/42/messages")) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert world.look("/chats/42/messages")[1]["text"] == "straight back"


def test_the_answer_to_an_update_cannot_take_the_webhook_away(world: TelegramWorld, hook: Hook):
    hook.body = b'{"method": "deleteWebhook"}'
    set_webhook(world, hook)
    say(world, ANN, "hi")
    settled(world)
    assert world.result("getWebhookInfo")["url"] == hook.url


def test_without_a_webhook_updates_wait_for_polling(world: TelegramWorld, hook: Hook):
    set_webhook(world, hook)
    world.result("deleteWebhook")
    say(world, ANN, "hi")
    assert [update["message"]["text"] for update in world.result("getUpdates")] == ["hi"]
    assert hook.got == []


def test_the_earlier_choice_of_updates_stays_when_none_is_given(world: TelegramWorld, hook: Hook):
    set_webhook(world, hook, allowed_updates=["callback_query"])
    world.result("deleteWebhook")
    time.sleep(1)
    set_webhook(world, hook)
    assert say(world, ANN, "hi")["update_id"] is None
    world.result("deleteWebhook")
    time.sleep(1)
    set_webhook(world, hook, allowed_updates=[])
    assert say(world, ANN, "hi")["update_id"] is not None


@pytest.mark.parametrize(
    ("mode", "value", "seen"),
    [
        ("duplicate", None, ["a", "a", "b"]),
        ("lost_answer", None, ["a", "a", "b"]),
        ("status", 500, ["a", "b"]),
        ("timeout", 0, ["a", "b"]),
        ("delay", 0.2, ["a", "b"]),
        ("reorder", 0.2, ["b", "a"]),
    ],
)
def test_a_delivery_goes_wrong_as_it_was_ordered(world: TelegramWorld, hook: Hook, mode: str, value: Any, seen: list[str]):
    world.fault("webhook", mode, value)
    set_webhook(world, hook)
    say(world, ANN, "a")
    say(world, ANN, "b")
    settled(world)
    assert hook.texts() == seen


def test_an_update_can_be_made_by_hand_with_an_old_number(world: TelegramWorld, hook: Hook):
    set_webhook(world, hook)
    for _ in range(2):
        world.control("/updates", {"update": {"update_id": 5, "message": {"text": "odd"}}})
    hook.wait(2)
    assert [update["update_id"] for update in hook.got] == [5, 5]


def test_forgetting_the_world_keeps_the_webhook_and_the_count_of_updates(world: TelegramWorld, hook: Hook):
    set_webhook(world, hook)
    first = say(world, ANN, "a")["update_id"]
    settled(world)
    world.control("/reset", {"books": True})
    assert world.look("/books/messages") == []
    assert say(world, ANN, "b")["update_id"] == first + 1
    hook.wait(2)
    assert hook.texts() == ["a", "b"]
