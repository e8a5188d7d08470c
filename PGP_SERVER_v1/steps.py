"""What the bot does outside a conversation: say a message, make an invoice, let people in and see them out."""

from __future__ import annotations

from dataclasses import dataclass

from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.clients.telegram import Button
from PGP_COMMON.database import Transaction
from PGP_COMMON.directory import service_named
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Outcome
from PGP_COMMON.errors import Lost, NotFound, Refused
from PGP_COMMON.money_machines import access, notices, orders
from PGP_COMMON.speech import Speaker
from PGP_COMMON.tokens import BaseTokenManager
from PGP_SERVER_v1 import conversation, store, texts

# How many rows one run of a schedule takes; the next run, or the next minute, takes the rest.
PAGE = 500
# Each look is a call to Telegram.
PAGE_OF_LOOKS = 100
# The vendor takes payments for an invoice for seven days (contracts.md 1.6).
LINK_LIFETIME_S = 7 * 86400


@dataclass(frozen=True)
class Clients:
    """The bot's voice, the payment vendor, and the key of the links that bring buyers back."""

    speaker: Speaker
    nowpayments: NowPayments
    links: BaseTokenManager


def say_message(job: Job[Clients]) -> Commit:
    """Say one message of a conversation; a lost answer is repeated at most twice by the engine."""
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
    if said.outcome == "later":
        return lambda _tx: Later(said.wait_s, "pacing")
    if said.outcome == "unknown" and job.attempts <= 2:  # noqa: PLR2004 - two resends (money.md 2)
        raise Lost("no answer to a message", vendor="telegram")

    def record(tx: Transaction) -> Outcome:
        store.mark_said(tx, message.id, sent_message_id=said.message_id or 0)
        return Done(said.code)

    return record


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
    except Lost:
        return lambda tx: _ask_again(tx, wanted)
    return lambda tx: _offer(tx, wanted, provider_id=made.id, url=made.url)


def _ask_again(tx: Transaction, wanted: orders.InvoiceRow) -> Outcome:
    """Keep the row whose invoice may exist, and ask for another."""
    tx.send("invoice.create", orders.add_invoice(tx, wanted.order_id, price_usd=wanted.price_usd))
    return Done("answer lost; asked again as another invoice")


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
    decided = telegram.approve_join if entitled else telegram.decline_join
    try:
        decided(chat_id, buyer_id)
    except Refused as error:
        return _dead(error, f"the bot could not answer a join request in {chat_id}: give it the right to invite people")

    def record(tx: Transaction) -> Outcome:
        if entitled:
            access.note_presence(tx, closed_channel_id=chat_id, buyer_id=buyer_id, present=True)
        return Done("approved" if entitled else "declined")

    return record


def _dead(error: Refused, todo: str) -> Commit:
    reason, detail = error.code or error.reason, {"sentence": str(error), "next": todo}
    return lambda _tx: Dead(reason, detail)


def expire(job: Job[Clients]) -> Commit:
    """See a buyer out whose time is over, unless he has renewed since."""
    with job.db.transaction() as tx:
        ending = access.lock_ending(tx, job.id)
    if ending is None or ending.expired or not ending.over:
        return lambda _tx: Done("nothing to do")
    if not ending.renewed:
        telegram = job.clients.speaker.telegram
        try:
            telegram.ban(ending.closed_channel_id, ending.buyer_id)
            telegram.unban(ending.closed_channel_id, ending.buyer_id)
        except Refused as error:
            if error.code not in {"user_not_found", "chat_not_found"}:
                return _dead(error, f"the bot could not remove {ending.buyer_id} from {ending.closed_channel_id}: give it the right to ban people")
    return lambda tx: _close(tx, ending)


def _close(tx: Transaction, before: access.Ending) -> Outcome:
    """Under the lock on the membership: a renewal either came before and is seen here, or comes after and invites anew."""
    now = access.lock_ending(tx, before.id)
    if now is None or not access.mark_expired(tx, before.id):
        return Done("ended before")
    if not before.renewed:
        access.mark_removed(tx, now.membership_id)
    if now.renewed and not before.renewed:
        # He renewed while he was being removed: his new invite lets him in again.
        return Done("renewed meanwhile; his new invite lets him in")
    if not now.renewed:
        notices.tell(tx, "access_ended", before.id, before.buyer_id)
    return Done("renewed" if now.renewed else "removed")


def plan_expiries(job: Job[Clients]) -> Commit:
    """Send out one unit of work for each entitlement whose time is over; mark orders that nobody paid."""
    _ = job

    def record(tx: Transaction) -> Outcome:
        due = access.due_to_expire(tx, limit=PAGE)
        for entitlement_id in due:
            tx.send("entitlement.expire", entitlement_id)
        orders.expire_due(tx, limit=PAGE)
        return Done(f"{len(due)} to expire")

    return record


def plan_reminders(job: Job[Clients]) -> Commit:
    """Remind, once, everybody whose time is nearly over and who has not renewed."""
    before_s = job.config.integer("REMIND_BEFORE_S")

    def record(tx: Transaction) -> Outcome:
        due = access.due_to_remind(tx, before_s=before_s, limit=PAGE)
        for reminder in due:
            if access.mark_reminded(tx, reminder.id):
                notices.tell(tx, "reminder", reminder.id, reminder.buyer_id)
        return Done(f"{len(due)} reminded")

    return record


def reconcile_members(job: Job[Clients]) -> Commit:
    """Ask Telegram about everybody whose presence and right do not fit together: an update may have been lost."""
    with job.db.reading() as tx:
        doubtful = [row for row in access.members(tx, after_id=0, limit=10_000) if row.present != row.entitled][:PAGE_OF_LOOKS]
    inside = {row.id: _is_in(job, row) for row in doubtful}

    def record(tx: Transaction) -> Outcome:
        for row in doubtful:
            if inside[row.id] != row.present:
                access.note_presence(tx, closed_channel_id=row.closed_channel_id, buyer_id=row.buyer_id, present=inside[row.id])
        return Done(f"{len(doubtful)} looked at, {sum(inside.values())} of them are in")

    return record


def _is_in(job: Job[Clients], row: access.Member) -> bool:
    try:
        return job.clients.speaker.telegram.get_member(row.closed_channel_id, row.buyer_id).is_in
    except Refused:
        return False
