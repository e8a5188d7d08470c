"""What goes wrong on the way is seen by python-telegram-bot as in production, and the books know what really happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from telegram import Bot, Message
from telegram.error import BadRequest, ChatMigrated, Forbidden, NetworkError, RetryAfter, TimedOut

from deploy.simulators.telegram.errors import ApiError
from deploy.simulators.telegram.limits import FloodLimits
from tests.support.telegram_world import TelegramWorld, telegram_world

# RetryAfter warns about its own future type whenever it is made.
pytestmark = pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
ANN = {"id": 42, "first_name": "Ann"}


@pytest.fixture
def started(world: TelegramWorld) -> TelegramWorld:
    world.control("/updates", {"user": ANN, "text": "/start"})
    return world


async def hello(bot: Bot) -> Message:
    return await bot.send_message(42, "hello")


def sent(world: TelegramWorld) -> list[str]:
    return [message["text"] for message in world.look("/chats/42/messages") if message["outgoing"]]


def test_a_lost_answer_is_a_message_sent(started: TelegramWorld):
    started.fault("sendMessage", "lost_answer")
    with pytest.raises(NetworkError):
        started.ask(hello)
    assert sent(started) == ["hello"]


def test_a_lost_answer_may_come_as_a_time_out(started: TelegramWorld):
    started.fault("sendMessage", "lost_answer", 2)
    with pytest.raises(TimedOut):
        started.ask(hello, read_timeout_s=0.3)
    assert sent(started) == ["hello"]


def test_a_time_out_may_also_mean_that_nothing_was_sent(started: TelegramWorld):
    started.fault("sendMessage", "timeout", 2)
    with pytest.raises(TimedOut):
        started.ask(hello, read_timeout_s=0.3)
    assert sent(started) == []


def test_everybodys_messages_since_a_moment_can_be_read_at_once(world: TelegramWorld):
    for user in (ANN, {"id": 43, "first_name": "Bob"}):
        world.control("/updates", {"user": user, "text": "hello"})
    said = world.look("/messages")
    assert [(message["chat"]["id"], message["text"], message["outgoing"]) for message in said] == [(42, "hello", False), (43, "hello", False)]
    assert world.look(f"/messages?since={said[-1]['date']}")
    assert world.look(f"/messages?since={said[-1]['date'] + 1}") == []


def test_a_doubled_request_is_two_messages(started: TelegramWorld):
    started.fault("sendMessage", "duplicate")
    assert started.ask(hello).message_id == started.look("/chats/42/messages")[-1]["message_id"]
    assert sent(started) == ["hello", "hello"]


def test_too_many_requests_say_how_long_to_wait(started: TelegramWorld):
    started.fault("sendMessage", "status", {"status": 429, "retry_after": 3600})
    with pytest.raises(RetryAfter) as raised:
        started.ask(hello)
    assert raised.value.retry_after == 3600
    assert sent(started) == []


def test_a_fault_is_over_when_it_was_met(started: TelegramWorld):
    started.fault("sendMessage", "status", 403, times=2)
    for _ in range(2):
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            started.ask(hello)
    started.ask(hello)


def test_a_fault_can_have_any_words(started: TelegramWorld):
    started.fault("sendMessage", "status", {"status": 400, "description": "Bad Request: not enough rights to send text messages to the chat"})
    with pytest.raises(BadRequest, match="Not enough rights to send text messages to the chat"):
        started.ask(hello)


def test_a_fault_can_move_a_group(started: TelegramWorld):
    started.fault("sendMessage", "status", {"status": 400, "migrate_to_chat_id": -100777})
    with pytest.raises(ChatMigrated) as raised:
        started.ask(hello)
    assert raised.value.new_chat_id == -100777


def test_an_answer_can_be_no_json_at_all(started: TelegramWorld):
    started.fault("sendMessage", "status", {"status": 502, "body": "<html>Bad Gateway</html>"})
    with pytest.raises(NetworkError):
        started.ask(hello)


def test_a_fault_on_a_method_that_does_not_exist_is_refused(world: TelegramWorld):
    assert world.refused("/faults", {"operation": "sendLove", "mode": "status"})


@pytest.mark.parametrize("allowed", [{"chat_id": 42, "most": 5}, {"chat_id": -1001234567890, "most": 20}])
def test_the_flood_limits_hold_when_they_are_asked_for(tmp_path: Path, allowed: dict[str, int]):
    with telegram_world(tmp_path, enforce_limits=True) as world:
        world.control("/updates", {"user": ANN, "text": "/start"})
        world.control("/chats", {"id": -1001234567890, "type": "channel", "title": "VIP"})
        answers = [world.call("sendMessage", chat_id=allowed["chat_id"], text="x") for _ in range(allowed["most"] + 1)]
    assert [status for status, _ in answers] == [200] * allowed["most"] + [429]
    assert answers[-1][1]["parameters"]["retry_after"] >= 1


def test_nobody_may_send_more_than_thirty_messages_in_a_second():
    limits = FloodLimits()
    for number in range(30):
        limits.check("sendMessage", str(number))
    with pytest.raises(ApiError) as raised:
        limits.check("sendMessage", "31")
    assert raised.value.parameters == {"retry_after": 1}
    limits.check("getChat", "31")
