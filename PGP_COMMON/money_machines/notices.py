"""What people are told: one row a notice, written with the event that it is about. SQL of notification."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row

# What a notice of each kind is about, whose id its subject is:
# sale, donation, part_paid: a payment (to the owner)
# payout_settled, payout_released: a payout (to the owner)      access_ended, reminder: an entitlement (to the buyer)
# address_changed: the new payout details (to the owner)
Kind = Literal["sale", "donation", "part_paid", "payout_settled", "payout_released", "access_ended", "reminder", "address_changed"]


def tell(tx: Transaction, kind: Kind, subject: int, chat_id: int | None) -> None:
    """Tell a person something once: a second call for the same kind and subject does nothing.

    `chat_id` is the Telegram id of the person, None when he has not linked one: the row stands then, and says so.
    """
    notice_id = tx.value(
        "INSERT INTO notification (kind, subject, chat_id) VALUES (:kind, :subject, :chat_id) ON CONFLICT (kind, subject) DO NOTHING RETURNING id",
        kind=kind,
        subject=subject,
        chat_id=chat_id,
    )
    if notice_id is not None:
        tx.send("notify.send", notice_id)


@dataclass(frozen=True)
class Notice(Row):
    """One notice that waits to be said."""

    id: int
    kind: str
    subject: int
    chat_id: int | None
    state: str


def notice(tx: Transaction, notice_id: int) -> Notice | None:
    """A notice."""
    return tx.one(Notice, "SELECT id, kind, subject, chat_id, state FROM notification WHERE id = :id", id=notice_id)


def mark(tx: Transaction, notice_id: int, *, state: Literal["sent", "undeliverable"], message_id: int | None) -> None:
    """Note that a notice was said, or cannot be."""
    tx.run(
        "UPDATE notification SET state = :state, message_id = CAST(:message AS bigint), sent_at = pgp_now() WHERE id = :id AND state = 'planned'",
        id=notice_id,
        state=state,
        message=message_id,
    )


def count_unknown_send(tx: Transaction, notice_id: int) -> int:
    """Note that a notice was sent and no answer came; gives back how often."""
    return int(tx.value("UPDATE notification SET unknown_sends = unknown_sends + 1 WHERE id = :id RETURNING unknown_sends", id=notice_id))
