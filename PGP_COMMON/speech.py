"""This is the speech: one paced message of the bot to a chat, and what is known about it afterwards."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from PGP_COMMON.clients.telegram import Button, Telegram
from PGP_COMMON.errors import Lost, Refused
from PGP_COMMON.limits import Counters, Pacer

if TYPE_CHECKING:
    from PGP_COMMON.runtime import Runtime

# Who cannot be reached by trying again: he has to do something first.
UNREACHABLE = frozenset(
    {"blocked", "deactivated", "kicked", "not_member", "chat_deleted", "not_started", "chat_not_found", "user_not_found", "no_rights", "migrated", "forbidden"}
)
# A send without an answer is repeated at most twice with the same text (money.md 2).
RESENDS = 2
RESEND_WAIT_S = 15
LONGEST_PACE_MS = 2000


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a message: sent (with its id), unknown, undeliverable (with Telegram's reason), or later (nothing was sent)."""

    outcome: Literal["sent", "unknown", "undeliverable", "later"]
    message_id: int | None = None
    code: str = ""
    wait_s: int = 0


class Speaker:
    """The bot's voice, under one pacer for all instances."""

    def __init__(self, telegram: Telegram, pacer: Pacer) -> None:
        """Take the bot and its pacer."""
        self.telegram = telegram
        self._pacer = pacer

    def say(self, chat_id: int, text: str, *, buttons: Sequence[Sequence[Button]] | None = None, protect: bool = False) -> Said:
        """Send one message when its slot comes; raises TryAgain when Telegram did not take it, Refused when the message itself is at fault."""
        wait_ms = self._pacer.wait_ms(chat_id, longest_ms=LONGEST_PACE_MS)
        if wait_ms < 0:
            return Said("later", wait_s=max(1, -(wait_ms // 1000)))
        if wait_ms:
            time.sleep(wait_ms / 1000)
        try:
            return Said("sent", message_id=self.telegram.send_message(chat_id, text, buttons=buttons, protect=protect))
        except Lost:
            return Said("unknown")
        except Refused as error:
            if error.code not in UNREACHABLE:
                raise
            return Said("undeliverable", code=error.code or "")


def speaker(runtime: Runtime) -> Speaker:
    """The bot's voice as a service's settings say."""
    config = runtime.config
    telegram = Telegram(lambda: config.secret("TELEGRAM_BOT_TOKEN"), base_url=config.text("TELEGRAM_API_URL"))
    pacer = Pacer(
        Counters(runtime.db, config.text("REDIS_URL")),
        per_second=config.integer("TELEGRAM_PER_SECOND"),
        per_chat_per_second=config.integer("TELEGRAM_PER_CHAT_PER_SECOND"),
        per_group_per_minute=config.integer("TELEGRAM_PER_GROUP_PER_MINUTE"),
    )
    return Speaker(telegram, pacer)
