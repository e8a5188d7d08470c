"""Say one notice, send one mail: once, or at most three times when no answer came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PGP_BROADCAST_v1 import store, texts
from PGP_COMMON import deeplinks
from PGP_COMMON.clients.sendgrid import SendGrid
from PGP_COMMON.clients.telegram import Button
from PGP_COMMON.database import Transaction
from PGP_COMMON.directory import service_named
from PGP_COMMON.engine import Commit, Done, Job, Later, Outcome
from PGP_COMMON.errors import BrokenRule, Lost, NotFound
from PGP_COMMON.money_machines import mails, notices
from PGP_COMMON.speech import RESEND_WAIT_S, RESENDS, Said, Speaker

Buttons = Sequence[Sequence[Button]] | None


@dataclass(frozen=True)
class Clients:
    """The bot's voice and the mail vendor."""

    speaker: Speaker
    mail: SendGrid


def say_notice(job: Job[Clients]) -> Commit:
    """Say a notice to the person it is for."""
    with job.db.reading() as tx:
        notice = notices.notice(tx, job.id)
        if notice is None:
            raise NotFound(f"there is no notice {job.subject}")
        if notice.state != "planned":
            return lambda _tx: Done("said before")
        words = _words(tx, notice, job)
    if words is None:
        return lambda tx: _finish(tx, notice, Said("undeliverable", code="taken_back"))
    if notice.chat_id is None:
        return lambda tx: _finish(tx, notice, Said("undeliverable", code="not_linked"))
    said = job.clients.speaker.say(notice.chat_id, words[0], buttons=words[1])
    return lambda tx: _finish(tx, notice, said)


def _finish(tx: Transaction, notice: notices.Notice, said: Said) -> Outcome:
    """Write down what became of a notice; one whose answer was lost goes out at most twice more."""
    if said.outcome == "later":
        return Later(said.wait_s, "pacing")
    if said.outcome == "unknown" and notices.count_unknown_send(tx, notice.id) <= RESENDS:
        return Later(RESEND_WAIT_S, "no answer; once more with the same text")
    notices.mark(tx, notice.id, state="undeliverable" if said.outcome == "undeliverable" else "sent", message_id=said.message_id)
    return Done(said.code)


def _words(tx: Transaction, notice: notices.Notice, job: Job[Clients]) -> tuple[str, Buttons] | None:
    """A notice's text and buttons, from the rows it is about; None for a changed address that was taken back before anybody was told."""
    kind, subject = notice.kind, notice.subject
    if kind in {"sale", "donation", "part_paid"} and (sold := store.sale(tx, subject)):
        return texts.sale(kind, sold), None
    if kind == "payout_settled" and (paid := store.payout(tx, subject)):
        return texts.payout_settled(paid, job.config.text("EXPLORER_URL")), None
    if kind == "payout_released" and (back := store.payout(tx, subject)):
        return texts.payout_released(back), None
    if kind in {"reminder", "access_ended"} and (ending := store.ending(tx, subject)):
        text = texts.reminder(ending) if kind == "reminder" else texts.access_ended(ending)
        link = deeplinks.channel(job.config.text("TELEGRAM_BOT_USERNAME"), ending.channel_id)
        return text, [[Button("Renew", url=link)]]
    if kind == "address_changed":
        changed = store.address(tx, subject)
        return (texts.address_changed(changed), None) if changed else None
    raise BrokenRule(f"notice {notice.id} ({kind}) is about {subject}, which is not there")


def send_mail(job: Job[Clients]) -> Commit:
    """Send a mail; one whose answer was lost goes out at most twice more."""
    with job.db.reading() as tx:
        mail = mails.mail(tx, job.id)
    if mail is None:
        raise NotFound(f"there is no mail {job.subject}")
    if mail.sent:
        return lambda _tx: Done("sent before")
    subject, text = texts.mail(mail, job.config.public_url(service_named("pgp-webapi-v1"), "/app"))
    try:
        job.clients.mail.send(mail.email, subject=subject, text=text, custom_args={"mail": str(mail.id)})
    except Lost:
        return lambda tx: _unanswered(tx, mail)
    return lambda tx: _sent(tx, mail)


def _unanswered(tx: Transaction, mail: mails.Mail) -> Outcome:
    if mails.count_unknown_send(tx, mail.id) <= RESENDS:
        return Later(RESEND_WAIT_S, "no answer; once more with the same text")
    return _sent(tx, mail)


def _sent(tx: Transaction, mail: mails.Mail) -> Outcome:
    mails.mark_sent(tx, mail.id)
    return Done()
