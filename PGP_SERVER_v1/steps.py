"""What the bot does outside a conversation: say a message, make an invoice, let people in and see them out."""

from __future__ import annotations

from dataclasses import dataclass

from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.clients.telegram import Button
from PGP_COMMON.database import Transaction
from PGP_COMMON.directory import service_named
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Next, Outcome
from PGP_COMMON.errors import BadAnswer, Lost, NotFound, Refused
from PGP_COMMON.limits import forget_windows
from PGP_COMMON.money_machines import access, notices, orders, reconciliations
from PGP_COMMON.speech import RESEND_WAIT_S, RESENDS, Said, Speaker
from PGP_COMMON.tokens import BaseTokenManager
from PGP_SERVER_v1 import conversation, members_store, store, texts

# How many rows one run of a schedule takes; the next run, or the next minute, takes the rest.
PAGE = 500
# Each look is a call to Telegram.
PAGE_OF_LOOKS = 100
# The vendor takes payments for an invoice for seven days (contracts.md 1.6).
LINK_LIFETIME_S = 7 * 86400
# Invoices of one order that may stand without an answer, and the wait before the second is asked for, which doubles.
TWINS, FIRST_TWIN_S = 8, 5
# Who cannot be put out because he is not there, or there is nothing to be in.
GONE = frozenset({"user_not_found", "chat_not_found", "chat_deleted"})


@dataclass(frozen=True)
class Clients:
    """The bot's voice, the payment vendor, and the key of the links that bring buyers back."""

    speaker: Speaker
    nowpayments: NowPayments
    links: BaseTokenManager


def say_message(job: Job[Clients]) -> Commit:
    """Say one message of a conversation."""
    with job.db.reading() as tx:
        message = store.message(tx, job.id)
    if message is None:
        raise NotFound(f"there is no message {job.subject}")
    if message.sent:
        return lambda _tx: Done("said before")
    rows = [
        [Button(label, url=value if kind == "url" else None, data=value if kind == "data" else None) for label, kind, value in row] for row in message.buttons
    ]
    said = job.clients.speaker.say(message.chat_id, message.text, buttons=rows)
    return lambda tx: _record(tx, message, said)


def _record(tx: Transaction, message: store.BotMessage, said: Said) -> Outcome:
    """Write down what became of a message; one whose answer was lost goes out at most twice more."""
    if said.outcome == "later":
        return Later(said.wait_s, "pacing")
    if said.outcome == "unknown" and store.count_unknown_send(tx, message.id) <= RESENDS:
        return Later(RESEND_WAIT_S, "no answer; once more with the same text")
    store.mark_said(tx, message.id, sent_message_id=said.message_id or 0)
    return Done(said.code)


def create_invoice(job: Job[Clients]) -> Commit:
    """Ask the vendor for an invoice. Its answer lost: another row asks again, since both invoices can be paid."""
    with job.db.reading() as tx:
        wanted = orders.invoice(tx, job.id)
    if wanted is None:
        raise NotFound(f"there is no invoice {job.subject}")
    if wanted.url is not None:
        return lambda _tx: Done("made before")
    config = job.config
    token = job.clients.links.seal("success", wanted.unique_id, lifetime_s=LINK_LIFETIME_S)
    back = f"{config.public_url(service_named('pgp-orchestrator-v1'), '/webhooks/success')}?t={token}"
    try:
        made = job.clients.nowpayments.create_invoice(
            price_amount=wanted.price_usd,
            price_currency="usd",
            order_id=wanted.sent_id,
            order_description=f"PayGatePrime order {wanted.unique_id}",
            ipn_callback_url=config.public_url(service_named("pgp-np-ipn-v1"), "/webhooks/nowpayments-ipn"),
            success_url=back,
            cancel_url=back,
        )
    except Lost as lost:
        error = lost
        return lambda tx: _ask_again(tx, wanted, error)
    except (Refused, BadAnswer) as refusal:
        sentence, reason = str(refusal), refusal.reason
        return lambda tx: _give_up(tx, wanted, reason=reason, sentence=sentence)
    return lambda tx: _offer(tx, wanted, provider_id=made.id, url=made.url)


def _ask_again(tx: Transaction, wanted: orders.InvoiceRow, error: Lost) -> Outcome:
    """Keep the row whose invoice may exist, and ask for another after a while, each time a longer one."""
    waiting = store.unanswered_invoices(tx, wanted.order_id)
    if waiting >= TWINS:
        return _give_up(tx, wanted, reason="answers_lost", sentence=str(error))
    tx.send("invoice.create", orders.add_invoice(tx, wanted.order_id, price_usd=wanted.price_usd), after_s=FIRST_TWIN_S * 2 ** (waiting - 1))
    return Done("answer lost; asked again as another invoice")


def _give_up(tx: Transaction, wanted: orders.InvoiceRow, *, reason: str, sentence: str) -> Outcome:
    """Tell the buyer, and let a person look."""
    conversation.say(tx, wanted.buyer_id, texts.Say(texts.FAILED))
    return Dead(reason, {"sentence": sentence, "order": wanted.unique_id, "next": "the buyer has no link: when the vendor works again, `pgp dead retry`"})


def _offer(tx: Transaction, wanted: orders.InvoiceRow, *, provider_id: str, url: str) -> Outcome:
    """Write the vendor's invoice down and send the buyer its link."""
    if orders.attach_invoice(tx, wanted.id, provider_id=provider_id, url=url):
        rest = wanted.order_state == "part_paid"
        conversation.say(tx, wanted.buyer_id, texts.invoice(wanted.closed_title, wanted.price_usd, wanted.days, url, rest=rest))
    return Done()


def decide_join(job: Job[Clients]) -> Commit:
    """Let in exactly who holds a live entitlement; a leaked link gives nothing away."""
    chat_id, buyer_id, _ = (int(part) for part in job.subject.split(":"))
    with job.db.reading() as tx:
        known = store.is_ours(tx, closed_channel_id=chat_id)
        entitled = access.live_entitlement(tx, closed_channel_id=chat_id, buyer_id=buyer_id) is not None
    if not known:
        return lambda _tx: Done("not one of our channels")
    telegram = job.clients.speaker.telegram
    try:
        done = (telegram.approve_join if entitled else telegram.decline_join)(chat_id, buyer_id)
    except Refused as error:
        if error.code in GONE:
            return lambda _tx: Done("nobody there")
        return _dead(error, f"the bot could not answer a join request in {chat_id}: give it the right to invite people")

    def record(tx: Transaction) -> Outcome:
        if not entitled:
            return Done("declined")
        # He may be in already, or have taken his request back; the update about a member says which.
        if done:
            access.note_presence(tx, closed_channel_id=chat_id, buyer_id=buyer_id, present=True)
        # His time may have ended, and his removal been done, between the look and the approval.
        return Done("approved") if access.live_entitlement(tx, closed_channel_id=chat_id, buyer_id=buyer_id) else Next("undo")

    return record


def undo_join(job: Job[Clients]) -> Commit:
    """See out again who was let in when his time was just over."""
    chat_id, buyer_id, _ = (int(part) for part in job.subject.split(":"))
    with job.db.reading() as tx:
        entitled = access.live_entitlement(tx, closed_channel_id=chat_id, buyer_id=buyer_id) is not None
    if entitled:
        return lambda _tx: Done("approved")
    try:
        _put_out(job, chat_id, buyer_id)
    except Refused as error:
        return _dead(error, f"{buyer_id} is in {chat_id} without access: give the bot the right to ban people")
    return lambda tx: _note_absence(tx, chat_id, buyer_id)


def _note_absence(tx: Transaction, chat_id: int, buyer_id: int) -> Outcome:
    access.note_presence(tx, closed_channel_id=chat_id, buyer_id=buyer_id, present=False)
    return Done("his time was over; put out")


def _put_out(job: Job[Clients], chat_id: int, user_id: int) -> bool:
    """Ban and unban; False for an administrator, whom the bot cannot remove. Raises Refused when it may not."""
    telegram = job.clients.speaker.telegram
    try:
        telegram.ban(chat_id, user_id)
        telegram.unban(chat_id, user_id)
    except Refused as error:
        if error.code == "is_admin":
            return False
        if error.code not in GONE:
            raise
    return True


def use_link(job: Job[Clients]) -> Commit:
    """Make a link useless that was made for one person, now that somebody came by it; see out whoever that was, unless he has access."""
    invite_id, user_id, _ = (int(part) for part in job.subject.split(":"))
    with job.db.reading() as tx:
        invite = access.invite(tx, invite_id)
        entitled = invite is not None and access.live_entitlement(tx, closed_channel_id=invite.closed_channel_id, buyer_id=user_id) is not None
    if invite is None or invite.link is None:
        raise NotFound(f"there is no link of invite {invite_id}")
    try:
        if invite.link_is_over:
            job.clients.speaker.telegram.revoke_link(invite.closed_channel_id, invite.link)
        if not entitled:
            _put_out(job, invite.closed_channel_id, user_id)
    except Refused as error:
        return _dead(error, f"{user_id} came into {invite.closed_channel_id} by somebody else's link: give the bot the rights to invite and to ban people")
    return lambda _tx: Done("revoked" if entitled else "revoked, and a stranger put out")


def _dead(error: Refused, todo: str) -> Commit:
    reason, detail = error.code or error.reason, {"sentence": str(error), "next": todo}
    return lambda _tx: Dead(reason, detail)


def expire(job: Job[Clients]) -> Commit:
    """See a buyer out whose time is over, unless he has renewed since."""
    with job.db.transaction() as tx:
        ending = access.lock_ending(tx, job.id)
    if ending is None or ending.expired or not ending.over:
        return lambda _tx: Done("nothing to do")
    out = False
    if not ending.renewed:
        try:
            out = _put_out(job, ending.closed_channel_id, ending.buyer_id)
        except Refused as error:
            return _dead(error, f"the bot could not remove {ending.buyer_id} from {ending.closed_channel_id}: give it the right to ban people")
    return lambda tx: _close(tx, ending, out=out)


def _close(tx: Transaction, before: access.Ending, *, out: bool) -> Outcome:
    """Under the lock on the membership: a renewal either came before and is seen here, or comes after and invites anew."""
    now = access.lock_ending(tx, before.id)
    if now is None or not access.mark_expired(tx, before.id):
        return Done("ended before")
    if out:
        access.mark_removed(tx, now.membership_id)
    if now.renewed:
        if out:
            _show_way_back(tx, now)
        return Done("renewed")
    if not out:
        return Done("an administrator: he stays")
    notices.tell(tx, "access_ended", before.id, before.buyer_id)
    return Done("removed")


def _show_way_back(tx: Transaction, now: access.Ending) -> None:
    """He renewed while he was being put out. An invite that was sent meanwhile may have taken him for a member; one that was not will see that he is none."""
    for having in members_store.standing(tx, buyer_id=now.buyer_id):
        if having.membership_id == now.membership_id and having.usable:
            conversation.say(tx, now.buyer_id, texts.way_in(having))
        elif having.membership_id == now.membership_id and having.spent:
            tx.send("invite.send", f"{having.invite_id}/{store.hour(tx)}")


def plan_expiries(job: Job[Clients]) -> Commit:
    """Send out one unit of work for each entitlement whose time is over; mark orders that nobody paid."""
    _ = job

    def record(tx: Transaction) -> Outcome:
        due = members_store.due_to_expire(tx, limit=PAGE)
        for entitlement_id in due:
            tx.send("entitlement.expire", entitlement_id)
        orders.expire_due(tx, limit=PAGE)
        return Done(f"{len(due)} to expire")

    return record


def plan_reminders(job: Job[Clients]) -> Commit:
    """Remind, once, everybody whose time is nearly over and who has not renewed."""
    before_s = job.config.integer("REMIND_BEFORE_S")

    def record(tx: Transaction) -> Outcome:
        due = members_store.due_to_remind(tx, before_s=before_s, limit=PAGE)
        for reminder in due:
            if access.mark_reminded(tx, reminder.id):
                notices.tell(tx, "reminder", reminder.id, reminder.buyer_id)
        return Done(f"{len(due)} reminded")

    return record


def reconcile_members(job: Job[Clients]) -> Commit:
    """Ask Telegram about some of those who are in or should be: an update may have been lost. Forget what is old on the way.

    Nobody is put out here: an owner may keep whom he likes in his channel. Who has access and is not in has a way in while his invite is open, and is
    only counted; without one somebody has to look.
    """
    with job.db.reading() as tx:
        # In the order of their ids: two turns that overlap write to the same rows.
        looked_at = sorted(members_store.members(tx, turn=job.subject, limit=PAGE_OF_LOOKS), key=lambda row: row.id)
    inside = {row.id: _is_in(job, row) for row in looked_at}

    def record(tx: Transaction) -> Outcome:
        breaks: list[dict[str, object]] = []
        on_their_way = 0
        for row in looked_at:
            found = inside[row.id]
            if found is not None and found != row.present:
                access.note_presence(tx, closed_channel_id=row.closed_channel_id, buyer_id=row.buyer_id, present=found)
            on_their_way += found is False and row.entitled and row.has_way_in
            difference = _difference(row, is_in=found)
            if difference:
                breaks.append({"member": row.id, "found": difference})
        reconciliations.keep(tx, "members", compared=len(looked_at), breaks=breaks, seen={"on_their_way": on_their_way})
        store.forget_old(tx)
        forget_windows(tx)
        return Done(f"{len(looked_at)} looked at, {len(breaks)} breaks")

    return record


def _difference(row: members_store.Member, *, is_in: bool | None) -> str:
    """What does not fit about a member, or nothing."""
    if is_in is None:
        return "nobody could be asked"
    if is_in:
        return "" if row.entitled else "in without access"
    return "has access, is not in, and has no way in" if row.entitled and not row.has_way_in else ""


def _is_in(job: Job[Clients], row: members_store.Member) -> bool | None:
    """Whether somebody is in; None when the bot cannot see that."""
    try:
        return job.clients.speaker.telegram.get_member(row.closed_channel_id, row.buyer_id).is_in
    except Refused:
        return None
