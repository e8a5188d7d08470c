"""Find what notices missed: the vendor sends each a few times and then falls silent (contracts: 1.9)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from PGP_COMMON import log
from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.clients.nowpayments import Payment as Answer
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Next, Outcome, bury
from PGP_COMMON.errors import BadAnswer, Refused, VendorDown
from PGP_COMMON.http import dumps
from PGP_COMMON.money_machines import inbox, invariants, payments, reconciliations
from PGP_COMMON.money_machines.payments import Known, Payment
from PGP_ORCHESTRATOR_v1 import store, verdict
from PGP_ORCHESTRATOR_v1.steps import Clients

logger = log.get(__name__)
JOB: Final = "payments"
BOOKS: Final = "invariants"
# A run must end within its lease (90 s), however slow the vendor is; what is left over is looked at by the next one.
RUN_S: Final = 50.0
LOOKS: Final = 100
# A payment that is only waiting is no news: the buyer has chosen a coin and sent nothing.
NEWS_RANK: Final = 2


@dataclass
class Findings:
    """What one run has compared, and what our books do not have."""

    compared: int = 0
    missed: dict[str, Answer] = field(default_factory=dict)
    breaks: list[dict[str, Any]] = field(default_factory=list)

    def compare(self, answer: Answer, known: Known | None) -> None:
        """Hold one payment of the vendor against ours."""
        self.compared += 1
        if is_news(answer, known):
            self.missed[answer.payment_id] = answer
            self.breaks.append({"payment": answer.payment_id, "vendor": answer.status[:40], "ours": known.state if known else None})


def is_news(answer: Answer, known: Known | None) -> bool:
    """Whether the vendor says more of a payment than our books."""
    if known is None:
        return answer.rank >= NEWS_RANK
    return answer.rank > known.status_rank or (known.state == Payment.OBSERVED and answer.rank >= verdict.DECISIVE_RANK)


def reconcile(job: Job[Clients]) -> Commit:
    """Ask about the payments we know that are not settled and, if the account's e-mail and password are set, read the vendor's list by date."""
    with job.db.reading() as tx:
        unsettled = payments.unsettled(tx, limit=LOOKS)
    findings = Findings()
    until = time.monotonic() + RUN_S
    for known in unsettled:
        answer = _ask(job.clients.nowpayments, known.provider_id) if time.monotonic() < until else None
        if answer is not None:
            findings.compare(answer, known)
    if job.config.secret("NOWPAYMENTS_EMAIL") and job.config.secret("NOWPAYMENTS_PASSWORD"):
        try:
            _read_list(job, findings, until)
        except VendorDown as error:
            # A wrong password must not keep everybody off the vendor: only the list needs it.
            if error.data.get("code") != "key_refused":
                raise
            findings.breaks.append({"list": "the vendor refuses the account's e-mail and password"})
    return lambda tx: _record(tx, findings)


def _ask(vendor: NowPayments, payment_id: str) -> Answer | None:
    try:
        return vendor.payment(payment_id)
    except (Refused, BadAnswer) as error:
        logger.warning("a payment could not be asked for", vendor_id=payment_id, reason=error.reason)
        return None


def _read_list(job: Job[Clients], findings: Findings, until: float) -> None:
    """Hold every payment of the list against ours, a page at a time."""
    with job.db.reading() as tx:
        since = store.list_from(tx, JOB)
    number, pages = 0, 1
    while number < pages and time.monotonic() < until:
        page = job.clients.nowpayments.payments(date_from=since, page=number)
        with job.db.reading() as tx:
            known = payments.known(tx, [payment.payment_id for payment in page.payments])
        for payment in page.payments:
            findings.compare(payment, known.get(payment.payment_id))
        if page.unreadable:
            findings.breaks.append({"page": number, "unreadable": page.unreadable})
        number, pages = number + 1, page.pages
    if number < pages:
        findings.breaks.append({"pages_left": pages - number})


def _record(tx: Transaction, findings: Findings) -> Outcome:
    # In one order: runs that overlap find the same bodies.
    for body in sorted(bodies(findings.missed.values())):
        inbox.add_found(tx, body)
    reconciliations.keep(tx, JOB, compared=findings.compared, breaks=findings.breaks)
    return Next("books")


def bodies(answers: Iterable[Answer]) -> list[bytes]:
    """What was found, in the words of a notice; the same find has the same body, and is the same work."""
    return [
        dumps(
            {
                "found": True,
                "payment_id": answer.payment_id,
                "parent_payment_id": answer.parent_payment_id,
                "invoice_id": answer.invoice_id,
                "order_id": answer.order_id,
                "payment_status": answer.status,
                "price_amount": answer.price_amount,
                "price_currency": answer.price_currency,
                "pay_amount": answer.pay_amount,
                "actually_paid": answer.actually_paid,
                "pay_currency": answer.pay_currency,
                "outcome_amount": answer.outcome_amount,
                "outcome_currency": answer.outcome_currency,
            }
        ).encode()
        for answer in answers
    ]


def check_books(job: Job[Clients]) -> Commit:
    """Hold every invariant against our own books; what is broken is a letter, one for each claim."""
    with job.db.reading() as tx:
        found = invariants.breaches(tx)

    def record(tx: Transaction) -> Outcome:
        for broken, breach in found:
            bury(tx, source=BOOKS, subject=broken.code, reason="broken", detail={"claim": broken.claim, "first": breach.subject, "detail": breach.detail})
        breaks = [{"code": broken.code, "subject": breach.subject, "detail": breach.detail} for broken, breach in found]
        reconciliations.keep(tx, BOOKS, compared=len(invariants.INVARIANTS), breaks=breaks)
        return Done(f"{len(found)} breaches")

    return record
