"""What people are told: one row a notice, written with the event that it is about."""

from __future__ import annotations

from typing import Literal

from PGP_COMMON.database import Transaction

# What a notice of each kind is about, whose id its subject is:
# sale, donation, part_paid: a payment (to the owner)          rest_link: an invoice (to the buyer)
# payout_settled, payout_released: a payout (to the owner)      access_ended, reminder: an entitlement (to the buyer)
# address_changed: the new payout details (to the owner)
Kind = Literal["sale", "donation", "part_paid", "rest_link", "payout_settled", "payout_released", "access_ended", "reminder", "address_changed"]


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
