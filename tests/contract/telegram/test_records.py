"""The simulator answers as the records say, and python-telegram-bot understands every answer as the records say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import telegram
import telegram.error
from telegram import Bot, BotCommand, InlineKeyboardMarkup, ReplyParameters

from deploy.simulators.telegram.app import METHODS
from tests.support.records import compare, fill, read_records
from tests.support.telegram_world import TOKEN, TelegramWorld

RECORDS = read_records(Path(__file__).parent, "messages", "access", "links", "members", "webhook", "updates")
# RetryAfter warns about its own future type whenever it is made.
pytestmark = pytest.mark.filterwarnings("ignore::telegram.warnings.PTBDeprecationWarning")
BY_NAME = pytest.mark.parametrize("record", RECORDS, ids=[record["name"] for record in RECORDS])


def prepare(world: TelegramWorld, record: dict[str, Any]) -> dict[str, Any]:
    """Do what the record says came before; gives the request with the answers of that filled in."""
    known: dict[str, Any] = {}
    for step in record.get("given", []):
        body = fill(step.get("body", step.get("params")), known)
        answer = world.control(step["control"], body) if "control" in step else world.call(step["method"], **body)[1]
        for name, path in step.get("keep", {}).items():
            value = answer
            for key in path.split("."):
                value = value[key]
            known[name] = value
    if "fault" in record:
        world.fault(**record["fault"])
    return known


@BY_NAME
def test_the_answer_is_the_recorded_one(world: TelegramWorld, record: dict[str, Any]):
    known = prepare(world, record)
    request = fill(record["request"], known)
    status, body = world.call(request["method"], record.get("token", TOKEN), **request["params"])
    assert status == record["answer"]["status"], body
    compare(body, fill(record["answer"]["body"], known))


@BY_NAME
def test_the_client_understands_the_answer_as_recorded(world: TelegramWorld, record: dict[str, Any]):
    request = fill(record["request"], prepare(world, record))
    call = lambda: world.ask(lambda bot: as_client(bot, request), token=record.get("token", TOKEN))  # noqa: E731
    if "raises" not in record:
        call()
        return
    with pytest.raises(telegram.error.TelegramError) as raised:
        call()
    assert type(raised.value).__name__ == record["raises"]["error"]
    assert raised.value.message == record["raises"]["says"]


def as_client(bot: Bot, request: dict[str, Any]) -> Any:
    """Call a method as our own code would."""
    params = dict(request["params"])
    if "reply_markup" in params:
        params["reply_markup"] = InlineKeyboardMarkup.de_json(params["reply_markup"], bot)
    if "reply_parameters" in params:
        params["reply_parameters"] = ReplyParameters(**params["reply_parameters"])
    if "commands" in params:
        params["commands"] = [BotCommand(**command) for command in params["commands"]]
    method = getattr(bot, re.sub("([A-Z])", r"_\1", request["method"]).lower(), None)
    return method(**params) if method else bot.do_api_request(request["method"], api_kwargs=params)


def test_every_method_has_a_record_of_its_success():
    recorded = {record["request"]["method"] for record in RECORDS if record["answer"]["status"] == 200}
    assert recorded == {*METHODS, "getUpdates"}


def test_every_record_says_where_it_is_from():
    assert all(record["source"] for record in RECORDS)


def test_no_two_records_have_one_name():
    assert len({record["name"] for record in RECORDS}) == len(RECORDS)
