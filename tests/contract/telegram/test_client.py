"""Telegram's client against what Telegram is known to answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from PGP_COMMON import http
from PGP_COMMON.clients.telegram import Button, Telegram
from tests.support.vendor_records import check, client_records, recorded

BUTTONS = [[Button("Join", url="https://t.me/+abc")], [Button("Stop", data="stop")]]

CALLS: dict[str, Callable[[Telegram], Any]] = {
    "send_message": lambda bot: bot.send_message(777, "Hello", buttons=BUTTONS, protect=True),
    "edit_message": lambda bot: bot.edit_message(777, 42, "New"),
    "answer_callback": lambda bot: bot.answer_callback("q1", text="Done"),
    "create_join_link": lambda bot: bot.create_join_link(-1001, name="PGP 1"),
    "create_single_use_link": lambda bot: bot.create_single_use_link(-1001, name="PGP 1", expires_at=datetime(2026, 1, 1, tzinfo=UTC)),
    "revoke_link": lambda bot: bot.revoke_link(-1001, "https://t.me/+abc"),
    "approve_join": lambda bot: bot.approve_join(-1001, 777),
    "decline_join": lambda bot: bot.decline_join(-1001, 777),
    "ban": lambda bot: bot.ban(-1001, 777),
    "unban": lambda bot: bot.unban(-1001, 777),
    "get_member": lambda bot: bot.get_member(-1001, 777),
    "get_chat": lambda bot: bot.get_chat(-1001),
    "get_me": lambda bot: bot.get_me(),
    "set_webhook": lambda bot: bot.set_webhook("https://pay.example/telegram-webhook", secret_token="s3cret", allowed_updates=["message", "chat_member"]),
    "delete_webhook": lambda bot: bot.delete_webhook(),
}


# The library warns of itself whenever it reads a 429.
@pytest.mark.filterwarnings("ignore:Deprecated since version v22.2:DeprecationWarning")
@pytest.mark.parametrize("record", client_records("telegram"))
def test_the_client_asks_and_reads_as_recorded(record: dict[str, Any], monkeypatch) -> None:
    monkeypatch.setattr(http, "READ_PAUSES_S", ())
    bot = Telegram(lambda: "1234567:test-token", transport=recorded(record))
    check(record, lambda: CALLS[record["call"]](bot))
