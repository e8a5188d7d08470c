"""Settle a notice: look the payment up, hold it against its order, and book it with all that follows in one transaction (money.md 4.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from PGP_COMMON.clients.nowpayments import NowPayments, read_payment
from PGP_COMMON.clients.nowpayments import Payment as Answer
from PGP_COMMON.clients.prices import Prices
from PGP_COMMON.database import Transaction
from PGP_COMMON.directory import steps as all_steps
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Outcome, bury
from PGP_COMMON.errors import BadAnswer, GiveUp, NotFound, Refused
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.http import parsed
from PGP_COMMON.money_machines import coins, crediting, inbox, orders, payments
from PGP_COMMON.money_machines.orders import Sold
from PGP_COMMON.money_machines.payments import Payment, PaymentRow
from PGP_COMMON.outbox import Wake
from PGP_COMMON.sweep import forget_done, wake_due
from PGP_ORCHESTRATOR_v1 import verdict
from PGP_ORCHESTRATOR_v1.verdict import Confirmed

# A notice may be ahead of the vendor's own books: they are asked again this often, for an hour, then a person looks.
BEHIND_S: Final = 60
HASH: Final = re.compile(r"(?:0x)?([0-9a-f]{64})", re.ASCII)
# NOWPayments sends the money within minutes; after a day somebody should ask it why not.
NO_HASH_ALARM_S: Final = 24 * 3600
NO_HASH_POLL_S: Final = 3600
SWEEPS: Final = 4
SWEEP_LIMIT: Final = 500


@dataclass(frozen=True)
class Clients:
    """The payment vendor, the price sources, and whom the sweep tells."""

    nowpayments: NowPayments
    prices: Prices
    publish: Callable[[list[Wake]], None]


@dataclass(frozen=True)
class Case:
    """One notice: what it says, what a dead letter about it says, and whether it has waited for the vendor long enough.

    `poll_s`: how often the vendor is asked which transaction brings a payment's money.
    """

    told: Answer
    about: dict[str, Any]
    is_old: bool
    floor: Decimal
    poll_s: int


# --- payment.settle


def settle(job: Job[Clients]) -> Commit:
    """Take one notice as far as the vendor confirms it. It is only a reason to look: statuses that move money are looked up."""
    with job.db.reading() as tx:
        notice = inbox.notice(tx, job.subject)
    if notice is None:
        raise NotFound("there is no such notice")
    about: dict[str, Any] = {"inbox": notice.id}
    try:
        told = read_payment(parsed(notice.body))
    except (ValueError, RecursionError, BadAnswer) as error:
        return _dead("unreadable_notice", about | {"sentence": str(error)[:200], "next": "the body is in the inbox"})
    about |= {"vendor_id": told.payment_id, "order": (told.order_id or "")[:200], "status": told.status[:40]}
    if orders.unique_id_of(told.order_id) is None:
        return _dead("unknown_order", about)
    case = Case(told, about, is_old=notice.is_old, floor=job.config.decimal("PAYMENT_MIN_TOLERANCE"), poll_s=job.config.integer("PAYOUT_HASH_POLL_S"))
    if 0 < told.rank < verdict.DECISIVE_RANK:
        return lambda tx: _observe(tx, case, told)
    return _confirm(job, case)


def _dead(reason: str, about: dict[str, Any]) -> Commit:
    return lambda _tx: Dead(reason, about)


def _later(reason: str) -> Commit:
    return lambda _tx: Later(BEHIND_S, reason)


def _observe(tx: Transaction, case: Case, said: Answer) -> Outcome:
    """Note how far the vendor is, for the buyer to see."""
    sold = _lock(tx, case, said)
    if sold is None:
        return Dead("unknown_order", case.about)
    payments.observe(tx, sold.id, verdict.read(said, None, parent=case.told.parent_payment_id).sight, invoice_id=sold.invoice_id)
    return Done(said.status)


def _lock(tx: Transaction, case: Case, said: Answer) -> Sold | None:
    """Lock the order that the notice names, if the vendor says the same and the whole of its id is one that we sent."""
    unique_id = orders.unique_id_of(said.order_id)
    if unique_id is None or said.order_id != case.told.order_id:
        return None
    sold = orders.lock(tx, unique_id, provider_invoice_id=said.invoice_id, price_usd=said.price_amount)
    return sold if sold is not None and sold.sent_id == said.order_id else None


def _confirm(job: Job[Clients], case: Case) -> Commit:
    """Ask the vendor itself; while it says less than its notice did, ask again later."""
    answer = _ask(job.clients.nowpayments, case.told.payment_id)
    if answer is None or answer.rank < case.told.rank:
        return (lambda tx: _disagree(tx, case, answer)) if case.is_old else _later("the vendor's books are behind its notice")
    if not answer.rank:
        return _dead("unknown_status", case.about)
    if answer.rank < verdict.DECISIVE_RANK:
        return lambda tx: _observe(tx, case, answer)
    confirmed = _price(job, case, answer)
    if answer.status in verdict.PAYABLE and not confirmed.has_money and not case.is_old:
        return _later("no outcome yet")
    return lambda tx: _book(tx, case, confirmed)


def _ask(vendor: NowPayments, payment_id: str) -> Answer | None:
    """The vendor's own word; None when it does not know the payment (yet)."""
    try:
        return vendor.payment(payment_id)
    except Refused as error:
        if error.code != "NOT_FOUND":
            raise
        return None


def _disagree(tx: Transaction, case: Case, answer: Answer | None) -> Outcome:
    """For an hour the vendor's books said less than its signed notice: a person looks. Nothing is booked on the notice's word."""
    sold = _lock(tx, case, case.told)
    if sold is None:
        return Dead("unknown_order", case.about)
    sight = verdict.read(case.told, None).sight
    payment = _payment(tx, sold, sight)
    if payment.state != Payment.OBSERVED:
        return Dead("vendor_disagrees", case.about | {"state": payment.state})
    crediting.hold(tx, payment, sight, reason="vendor_disagrees", detail=case.about | {"confirmed": answer.status[:40] if answer else "unknown"})
    return Done("review: vendor_disagrees")


def _price(job: Job[Clients], case: Case, answer: Answer) -> Confirmed:
    """Find out, before any transaction, what the outcome is worth and what the least invoice for a rest is."""
    with job.db.reading() as tx:
        coin = coins.find(tx, answer.outcome_currency) if answer.outcome_currency else None
    confirmed = verdict.read(answer, coin, parent=case.told.parent_payment_id)
    if answer.status not in verdict.PAYABLE or coin is None or not confirmed.sight.outcome_units:
        return confirmed
    least_usd = None
    if verdict.is_short(answer) and answer.pay_currency:
        try:
            least_usd = job.clients.nowpayments.min_amount(currency_from=answer.pay_currency, currency_to=coin.asset).fiat
        except GiveUp:
            # No minimum is known: the rest is asked for, whatever it is.
            least_usd = None
    return replace(confirmed, price_usd=job.clients.prices.usd(coin.priced), least_usd=least_usd)


def _payment(tx: Transaction, sold: Sold, sight: payments.Sight) -> PaymentRow:
    """The payment's row; made now if this is the first that we hear of it."""
    payment = payments.find(tx, sight.provider_id)
    if payment is None:
        payments.observe(tx, sold.id, sight, invoice_id=sold.invoice_id)
        payment = payments.find(tx, sight.provider_id)
    if payment is None or payment.order_id != sold.id:
        raise BadAnswer("the payment was another order's before", vendor="nowpayments", vendor_id=sight.provider_id)
    return payment


def _book(tx: Transaction, case: Case, confirmed: Confirmed) -> Outcome:
    """Everything that follows from a confirmed payment, under the lock on its order."""
    sold = _lock(tx, case, confirmed.answer)
    if sold is None:
        return Dead("unknown_order", case.about | {"confirmed_order": (confirmed.answer.order_id or "")[:200]})
    sight = confirmed.sight
    payment = _payment(tx, sold, sight)
    if sight.status in verdict.PAYABLE:
        return _book_money(tx, case, confirmed, sold=sold, payment=payment)
    if sight.status == verdict.REFUNDED and payment.state == Payment.CREDITED:
        crediting.take_back(tx, payment, sight)
        return Done("taken back")
    if payments.reject(tx, payment.id, sight):
        return Done("rejected")
    payments.observe(tx, sold.id, sight, invoice_id=sold.invoice_id)
    return Done(f"{sight.status}; the payment is {payment.state}")


def _book_money(tx: Transaction, case: Case, confirmed: Confirmed, *, sold: Sold, payment: PaymentRow) -> Outcome:
    """Credit what came, or keep it for a person."""
    sight = confirmed.sight
    if payment.state in {Payment.REJECTED, Payment.REVERSED}:
        return Dead("money_after_the_end", case.about | {"state": payment.state, "outcome_units": str(sight.outcome_units)})
    if payment.state == Payment.REVIEW:
        return _hold_more(tx, case, confirmed, payment)
    if payment.state == Payment.CREDITED and sight.outcome_units == payment.outcome_units:
        payments.observe(tx, sold.id, sight, invoice_id=sold.invoice_id)
        return Done("credited before")
    reason = verdict.objection(confirmed, sold, payment, floor=case.floor) if confirmed.has_money else "no_outcome"
    if reason is None:
        # The vendor sends the money minutes after it says "finished": before that, asking for its hash is for nothing.
        look_after_s = 0 if confirmed.answer.payout_hash else case.poll_s
        return Done(crediting.credit(tx, sold, payment, sight, verdict.worth(confirmed, sold, payment), look_after_s=look_after_s))
    if reason == verdict.UNKNOWN_PARENT and not case.is_old:
        # Its notice overtook the first payment's, which may be lost, or be in the hands of a process that died.
        return Later(BEHIND_S, "its first payment is not known yet")
    if payment.state == Payment.CREDITED:
        return Dead(f"later_{reason}", case.about)
    crediting.hold(tx, payment, sight, reason=reason, value_usd=confirmed.value_usd, detail=case.about)
    return Done(f"review: {reason}")


def _hold_more(tx: Transaction, case: Case, confirmed: Confirmed, payment: PaymentRow) -> Outcome:
    """A payment that waits for a person goes on waiting; if more has come since, that waits too."""
    sight = confirmed.sight
    if not payment.owner_units and sight.outcome_units > payment.outcome_units and payment.outcome_asset in {None, sight.outcome_asset}:
        crediting.hold(tx, payment, sight, reason=payment.review_reason or "more_came", value_usd=confirmed.value_usd, detail=case.about)
    return Done("waits for a person")


# --- payment.payout_hash


def find_payout_hash(job: Job[Clients]) -> Commit:
    """Ask the vendor, until it says, which transaction brings a payment's money; HOSTPAY2 looks for it then."""
    with job.db.reading() as tx:
        expected = payments.expected(tx, job.id)
    if expected is None:
        raise NotFound("there is no such payment")
    if expected.payout_hash is not None:
        return lambda _tx: Done("known before")
    said = job.clients.nowpayments.payment(expected.provider_id).payout_hash
    if not said:
        is_over = expected.state in {Payment.REVERSED, Payment.REJECTED}
        return lambda tx: _wait_for_hash(tx, job, waits_s=expected.waits_s, is_over=is_over)
    found = HASH.fullmatch(said.lower())
    if found is None:
        return _dead("strange_payout_hash", {"vendor_id": expected.provider_id, "hash": said[:100]})
    payout_hash = f"0x{found.group(1)}"

    def record(tx: Transaction) -> Outcome:
        payments.keep_payout_hash(tx, expected.id, payout_hash)
        tx.send("arrival.look", payout_hash)
        return Done("found")

    return record


def _wait_for_hash(tx: Transaction, job: Job[Clients], *, waits_s: int, is_over: bool) -> Outcome:
    if waits_s < NO_HASH_ALARM_S:
        return Later(job.config.integer("PAYOUT_HASH_POLL_S"), "the vendor has not sent it yet")
    if is_over:
        # The vendor gave it back: that it does not come is what a person has said.
        return Done("the payment was taken back")
    bury(tx, source=job.step, subject=job.subject, reason="not_sent_for_a_day", detail={"next": "ask NOWPayments where the money is"})
    return Later(NO_HASH_POLL_S, "the vendor has not sent it for a day")


# --- work.sweep


def sweep(job: Job[Clients]) -> Commit:
    """Wake whatever is due and nobody answered for, and forget what schedules left behind."""
    woken = 0
    for _ in range(SWEEPS):
        batch = wake_due(job.db, job.clients.publish, grace_s=job.config.integer("WAKE_GRACE_S"), limit=SWEEP_LIMIT)
        woken += batch
        if batch < SWEEP_LIMIT:
            break
    scheduled = sorted({route.schedule.step for service in FLEET for route in service.routes if route.schedule} & set(all_steps()))

    def record(tx: Transaction) -> Outcome:
        forgotten = forget_done(tx, scheduled, older_than_s=job.config.integer("WORK_RETENTION_S"))
        return Done(f"{woken} woken, {forgotten} forgotten")

    return record
