"""Every SQL statement on updates, conversations and the bot's messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class BotMessage:
    """A message that waits to be said."""

    id: int
    chat_id: int
    text: str
    buttons: list[list[list[str]]]
    sent: bool
    unknown_sends: int


@dataclass(frozen=True)
class Conversation:
    """Where a person stands in a conversation."""

    state: str
    data: dict[str, Any]


def first_time(tx: Transaction, update_id: int) -> bool:
    """Whether an update is new; from now on it is not."""
    return tx.run("INSERT INTO telegram_update (update_id) VALUES (:id) ON CONFLICT DO NOTHING", id=update_id) == 1


def add_message(tx: Transaction, *, chat_id: int, text: str, buttons: Sequence[Sequence[tuple[str, str, str]]]) -> int:
    """Write down what the bot has to say; saying it is work."""
    return int(
        tx.value(
            "INSERT INTO bot_message (chat_id, text, buttons) VALUES (:chat_id, :text, CAST(:buttons AS jsonb)) RETURNING id",
            chat_id=chat_id,
            text=text,
            buttons=json.dumps([[list(button) for button in row] for row in buttons]),
        )
    )


def message(tx: Transaction, message_id: int) -> BotMessage | None:
    """A message."""
    return tx.one(
        BotMessage, "SELECT id, chat_id, text, buttons, sent_message_id IS NOT NULL AS sent, unknown_sends FROM bot_message WHERE id = :id", id=message_id
    )


def count_unknown_send(tx: Transaction, message_id: int) -> int:
    """Note that a message was sent and no answer came; gives back how often."""
    return int(tx.value("UPDATE bot_message SET unknown_sends = unknown_sends + 1 WHERE id = :id RETURNING unknown_sends", id=message_id))


def mark_said(tx: Transaction, message_id: int, *, sent_message_id: int) -> None:
    """Note that a message was said."""
    tx.run("UPDATE bot_message SET sent_message_id = :sent WHERE id = :id AND sent_message_id IS NULL", id=message_id, sent=sent_message_id)


def conversation(tx: Transaction, user_id: int, *, lifetime_s: int) -> Conversation | None:
    """Where a person stands, unless that was long ago; locks it, so that two messages at once are taken in turn."""
    return tx.one(
        Conversation,
        """
        SELECT state, data FROM conversation_state
         WHERE user_id = :user_id AND updated_at > pgp_now() - make_interval(secs => :lifetime) FOR UPDATE
        """,
        user_id=user_id,
        lifetime=lifetime_s,
    )


def set_conversation(tx: Transaction, user_id: int, *, state: str, data: dict[str, Any]) -> None:
    """Note where a person stands now."""
    tx.run(
        """
        INSERT INTO conversation_state (user_id, state, data) VALUES (:user_id, :state, CAST(:data AS jsonb))
        ON CONFLICT (user_id) DO UPDATE SET state = excluded.state, data = excluded.data, updated_at = pgp_now()
        """,
        user_id=user_id,
        state=state,
        data=json.dumps(data),
    )


def end_conversation(tx: Transaction, user_id: int) -> None:
    """Forget where a person stood."""
    tx.run("DELETE FROM conversation_state WHERE user_id = :user_id", user_id=user_id)


def orders_made_lately(tx: Transaction, *, buyer_id: int, within_s: int) -> int:
    """How many orders a person made in the last so many seconds."""
    return int(
        tx.value(
            "SELECT count(*) FROM orders WHERE buyer_id = :buyer_id AND created_at > pgp_now() - make_interval(secs => :within)",
            buyer_id=buyer_id,
            within=within_s,
        )
    )


def is_ours(tx: Transaction, *, closed_channel_id: int) -> bool:
    """Whether a chat is the closed channel of one of our owners."""
    return bool(tx.value("SELECT EXISTS (SELECT 1 FROM channel WHERE closed_channel_id = :id)", id=closed_channel_id))


def unanswered_invoices(tx: Transaction, order_id: int) -> int:
    """How many invoices of an order were asked for and have no answer (yet)."""
    return int(tx.value("SELECT count(*) FROM invoice WHERE order_id = :id AND provider_id IS NULL", id=order_id))


def hour(tx: Transaction) -> str:
    """The hour that it is, as part of a subject."""
    return str(tx.value("SELECT to_char(pgp_now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24')"))


def forget_old(tx: Transaction) -> int:
    """Remove what nobody asks for again: Telegram repeats an update for a day, and a conversation is over long before; gives back how many rows."""
    gone = tx.run("DELETE FROM telegram_update WHERE received_at < pgp_now() - interval '7 days'")
    return gone + tx.run("DELETE FROM conversation_state WHERE updated_at < pgp_now() - interval '7 days'")
