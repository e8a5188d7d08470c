"""Make the link, keep it, send it: each known before the next, so that nobody gets two ways in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from PGP_COMMON.clients.telegram import Button, Telegram
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Next, Outcome
from PGP_COMMON.errors import NotFound, Refused
from PGP_COMMON.money_machines import access, owners
from PGP_COMMON.speech import RESEND_WAIT_S, RESENDS, Said, Speaker


@dataclass(frozen=True)
class Clients:
    """The bot's voice."""

    speaker: Speaker


def _invite(job: Job[Clients]) -> access.InviteRow:
    with job.db.reading() as tx:
        found = access.invite(tx, int(job.subject.partition("/")[0]))
    if found is None:
        raise NotFound(f"there is no invite {job.subject}")
    return found


def _is_waited_for(job: Job[Clients], invite: access.InviteRow) -> bool:
    """Whether an invite has to be sent: it never was, or (with the hour in the subject) its buyer needs a new link."""
    return invite.state in {"planned", "linked"} or (invite.state != "expired" and "/" in job.subject)


def make_link(job: Job[Clients]) -> Commit:
    """Have a link: the channel's one join-request link, or one for this buyer alone. An unknown link was sent to nobody."""
    invite = _invite(job)
    if not _is_waited_for(job, invite):
        return lambda _tx: Done(f"the invite is {invite.state}")
    if not invite.live:
        return lambda tx: _over(tx, invite)
    if invite.link is not None and not invite.link_is_over:
        return lambda _tx: Next("send")
    kept = invite.join_link
    if invite.state == "planned" and invite.mode == "join_request" and kept is not None:
        # The channel keeps its link: nothing needs to be written down between knowing it and sending it.
        said = _say(job.clients.speaker, invite, kept)
        return lambda tx: _link_and_record(tx, invite, kept, said)
    try:
        link = _new_link(job.clients.speaker.telegram, invite)
    except Refused as error:
        code, todo = error.code or error.reason, f"the bot cannot make links for {invite.closed_channel_id}: make it an administrator who may invite people"
        return lambda _tx: Dead(code, {"next": todo})
    return lambda tx: _keep(tx, invite, link)


def _new_link(telegram: Telegram, invite: access.InviteRow) -> str:
    if invite.mode == "single_use":
        until = datetime.now(UTC) + timedelta(seconds=invite.link_lifetime_s)
        return telegram.create_single_use_link(invite.closed_channel_id, name=f"PGP {invite.id}"[:32], expires_at=until)
    return invite.join_link or telegram.create_join_link(invite.closed_channel_id, name="PayGatePrime")


def _keep(tx: Transaction, invite: access.InviteRow, link: str) -> Outcome:
    """Write the link down before anybody is sent it; of two join-request links of a channel the first one stays."""
    if invite.mode == "join_request":
        access.mark_linked(tx, invite.id, link=owners.remember_join_link(tx, invite.channel_id, link=link), lifetime_s=None)
    elif invite.state == "planned":
        access.mark_linked(tx, invite.id, link=link, lifetime_s=invite.link_lifetime_s)
    else:
        access.renew_link(tx, invite.id, link=link, lifetime_s=invite.link_lifetime_s)
    return Next("send")


def _over(tx: Transaction, invite: access.InviteRow) -> Outcome:
    access.expire_invite(tx, invite.id)
    return Done("his time is over")


def send_link(job: Job[Clients]) -> Commit:
    """Send the kept link, the same one every time; who is in already hears only that he may stay longer."""
    invite = _invite(job)
    if not _is_waited_for(job, invite) or invite.link is None:
        return lambda _tx: Done(f"the invite is {invite.state}")
    if not invite.live:
        return lambda tx: _over(tx, invite)
    if invite.link_is_over:
        # It waited for longer than the link lives.
        return lambda _tx: Next("start")
    said = _say(job.clients.speaker, invite, invite.link)
    return lambda tx: _record(tx, invite, said)


def _say(speaker: Speaker, invite: access.InviteRow, link: str) -> Said:
    until = f"{invite.ends_at:%d %B %Y, %H:%M} UTC"
    if invite.present:
        return speaker.say(invite.buyer_id, f"🔁 Your access to {invite.closed_title} now lasts until {until}.")
    how = "and ask to join; you are let in at once." if invite.mode == "join_request" else "within 48 hours; the link works once."
    text = f"🔑 You have access to {invite.closed_title} until {until}.\nPress the button {how}"
    return speaker.say(invite.buyer_id, text, buttons=[[Button("Join", url=link)]], protect=True)


def _link_and_record(tx: Transaction, invite: access.InviteRow, link: str, said: Said) -> Outcome:
    """Give the invite the channel's link, and write down what became of the message that carried it."""
    access.mark_linked(tx, invite.id, link=link, lifetime_s=None)
    return _record(tx, invite, said)


def _record(tx: Transaction, invite: access.InviteRow, said: Said) -> Outcome:
    """Write down what became of the message. Who cannot be written to finds the link in the bot and on the payment page."""
    if said.outcome == "later":
        return Later(said.wait_s, "pacing")
    if said.outcome == "unknown" and access.count_unknown_send(tx, invite.id) <= RESENDS:
        return Later(RESEND_WAIT_S, "no answer; once more with the same text")
    if said.outcome == "undeliverable":
        access.mark_blocked(tx, invite.id)
        return Done(f"cannot be written to: {said.code}")
    access.mark_sent(tx, invite.id, message_id=said.message_id)
    return Done()
