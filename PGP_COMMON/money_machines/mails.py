"""Mails: one row each, written with what it is about, sent as work. SQL of mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row

# verify_email and reset_password carry a token until they are gone.
Kind = Literal["verify_email", "reset_password", "password_changed", "address_changed"]


def send(tx: Transaction, kind: Kind, account_id: int, *, token: str | None = None) -> None:
    """Write a mail to an account's address down and ask for it to be sent."""
    mail_id = tx.value("INSERT INTO mail (account_id, kind, token) VALUES (:id, :kind, :token) RETURNING id", id=account_id, kind=kind, token=token)
    tx.send("mail.send", mail_id)


@dataclass(frozen=True)
class Mail(Row):
    """One mail that waits to be sent."""

    id: int
    kind: str
    email: str
    token: str | None
    sent: bool
    unknown_sends: int


def mail(tx: Transaction, mail_id: int) -> Mail | None:
    """A mail with its address."""
    return tx.one(
        Mail,
        """
        SELECT m.id, m.kind, a.email, m.token, m.sent_at IS NOT NULL AS sent, m.unknown_sends
          FROM mail m JOIN account a ON a.id = m.account_id WHERE m.id = :id
        """,
        id=mail_id,
    )


def count_unknown_send(tx: Transaction, mail_id: int) -> int:
    """Note that a mail was handed over and no answer came; gives back how often."""
    return int(tx.value("UPDATE mail SET unknown_sends = unknown_sends + 1 WHERE id = :id RETURNING unknown_sends", id=mail_id))


def mark_sent(tx: Transaction, mail_id: int) -> None:
    """Note that a mail is gone, and strike out the token it carried."""
    tx.run("UPDATE mail SET sent_at = pgp_now(), token = NULL WHERE id = :id AND sent_at IS NULL", id=mail_id)
