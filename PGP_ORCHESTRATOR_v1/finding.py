"""Find what notices missed: the vendor sends each a few times and then falls silent (contracts: 1.9)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from PGP_COMMON import log
from PGP_COMMON.clients.nowpayments import NowPayments, Page
from PGP_COMMON.clients.nowpayments import Payment as Answer
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Outcome
from PGP_COMMON.errors import BadAnswer, Refused, VendorDown
from PGP_COMMON.http import dumps
from PGP_COMMON.money import floor_units
from PGP_COMMON.money_machines import coins, inbox, payments, reconciliations
from PGP_COMMON.money_machines.payments import Known, Payment
from PGP_ORCHESTRATOR_v1 import store, verdict
from PGP_ORCHESTRATOR_v1.steps import Clients

logger = log.get(__name__)
JOB: Final = "payments"
WHOLE: Final = "payments-list"
# A run must end within its lease (90 s), however slow the vendor is; what is left over is looked at by the next one.
RUN_S: Final = 50.0
LOOKS: Final = 100
# A payment that is only waiting is no news: the buyer has chosen a coin and sent nothing.
NEWS_RANK: Final = 2


@dataclass
class Findings:
    """What one run has compared, what our books do not have, and the page of the list to go on with (None: it is read)."""

    compared: int = 0
    missed: dict[str, Answer] = field(default_factory=dict)
    breaks: list[dict[str, Any]] = field(default_factory=list)
    next_page: int | None = None

    def compare(self, answer: Answer, known: Known | None, *, units: int | None = None) -> None:
        """Hold one payment of the vendor against ours; `units` is its outcome in base units, if that is known."""
        self.compared += 1
        if is_news(answer, known, units=units):
            self.missed[answer.payment_id] = answer
            self.breaks.append({"payment": answer.payment_id, "vendor": answer.status[:40], "ours": known.state if known else None})


def is_news(answer: Answer, known: Known | None, *, units: int | None = None) -> bool:
    """Whether the vendor says more of a payment than our books: of its status, or of what it brought."""
    if known is None:
        return answer.rank >= NEWS_RANK
    if known.state == Payment.CREDITED and units is not None and units > known.outcome_units:
        return True
    return answer.rank > known.status_rank or (known.state == Payment.OBSERVED and answer.rank >= verdict.DECISIVE_RANK)


def reconcile(job: Job[Clients]) -> Commit:
    """Ask about the payments we know that are not settled and, if the account's e-mail and password are set, read what is new in the vendor's list."""
    with job.db.reading() as tx:
        unsettled = payments.unsettled(tx, limit=LOOKS)
    findings = Findings()
    until = time.monotonic() + RUN_S
    for known in unsettled:
        answer = _ask(job.clients.nowpayments, known.provider_id) if time.monotonic() < until else None
        if answer is not None:
            with job.db.reading() as tx:
                units = _units(tx, answer)
            findings.compare(answer, known, units=units)
    with job.db.reading() as tx:
        since = store.list_from(tx, JOB)
    _read_list(job, findings, since=since, until=until)
    if findings.next_page is not None:
        findings.breaks.append({"list": f"not read to its end; the daily run does from page {findings.next_page} on"})

    def record(tx: Transaction) -> Outcome:
        _keep(tx, JOB, findings)
        return Done(f"{findings.compared} compared, {len(findings.breaks)} breaks")

    return record


def read_whole_list(job: Job[Clients]) -> Commit:
    """Once a day, hold the vendor's list of the last eight days against ours, from its first page to its last, as many at a time as a lease allows."""
    with job.db.reading() as tx:
        since, run = store.list_since(tx, step=job.step, subject=job.subject), reconciliations.last(tx, WHOLE)
    # Its beginning stays where it is, and new payments come after the last page: nothing slips from one page to another.
    going_on = run if run is not None and run.seen.get("next_page") and run.age_s < store.A_DAY_S else None
    findings = Findings(next_page=going_on.seen["next_page"] if going_on else 0)
    if going_on is not None:
        findings.compared, findings.breaks = going_on.compared, list(going_on.breaks)
    _read_list(job, findings, since=since, until=time.monotonic() + RUN_S)

    def record(tx: Transaction) -> Outcome:
        _keep(tx, WHOLE, findings)
        return Done(f"{findings.compared} compared") if findings.next_page is None else Later(1, f"goes on at page {findings.next_page}")

    return record


def _ask(vendor: NowPayments, payment_id: str) -> Answer | None:
    try:
        return vendor.payment(payment_id)
    except (Refused, BadAnswer) as error:
        logger.warning("a payment could not be asked for", vendor_id=payment_id, reason=error.reason)
        return None


def _read_list(job: Job[Clients], findings: Findings, *, since: datetime, until: float) -> None:
    """Hold the vendor's list against ours, a page at a time, from `findings.next_page` on, if the account's e-mail and password are set."""
    number, findings.next_page = findings.next_page or 0, None
    if not (job.config.secret("NOWPAYMENTS_EMAIL") and job.config.secret("NOWPAYMENTS_PASSWORD")):
        return
    pages = number + 1
    while number < pages:
        try:
            page = job.clients.nowpayments.payments(date_from=since, page=number)
        except VendorDown as error:
            # A wrong password must not keep everybody off the vendor: only the list needs it.
            if error.data.get("code") != "key_refused":
                raise
            findings.breaks.append({"list": "the vendor refuses the account's e-mail and password"})
            return
        _compare_page(job, findings, page)
        number, pages = number + 1, page.pages
        if number < pages and time.monotonic() > until:
            findings.next_page = number
            return


def _compare_page(job: Job[Clients], findings: Findings, page: Page) -> None:
    with job.db.reading() as tx:
        known = payments.known(tx, [payment.payment_id for payment in page.payments])
        units = {payment.payment_id: _units(tx, payment) for payment in page.payments}
    for payment in page.payments:
        findings.compare(payment, known.get(payment.payment_id), units=units[payment.payment_id])
    if page.unreadable:
        findings.breaks.append({"page": page.page, "unreadable": page.unreadable})


def _units(tx: Transaction, answer: Answer) -> int | None:
    """What a payment brought by the vendor's list, in base units; None for a coin that we do not know."""
    coin = coins.find(tx, answer.outcome_currency) if answer.outcome_currency else None
    return None if coin is None or not answer.outcome_amount or answer.outcome_amount < 0 else floor_units(answer.outcome_amount, coin.decimals)


def _keep(tx: Transaction, job: str, findings: Findings) -> None:
    """What was found becomes work, and the run a row."""
    # In one order: runs that overlap find the same bodies.
    for body in sorted(bodies(findings.missed.values())):
        inbox.add_found(tx, body)
    seen = {} if findings.next_page is None else {"next_page": findings.next_page}
    reconciliations.keep(tx, job, compared=findings.compared, breaks=findings.breaks, seen=seen)


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
