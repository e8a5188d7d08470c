"""NOWPayments: invoices, what was paid for them, and the statuses of a payment (contracts: section 1)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import httpx

from PGP_COMMON.clients.fields import Fields
from PGP_COMMON.errors import BadAnswer, BadInput, Misconfigured, Refused, VendorDown
from PGP_COMMON.http import Answer, Http, OnLost, effect, read, refusal
from PGP_COMMON.money import plain

VENDOR: Final = "nowpayments"

# money.md 4.2: a payment's rank only rises. A status that is not listed ranks 0: not final, nothing follows from it.
RANKS: Final = {
    "waiting": 1,
    "confirming": 2,
    "confirmed": 3,
    "sending": 4,
    "partially_paid": 5,
    "failed": 6,
    "expired": 6,
    "finished": 7,
    "refunded": 8,
}

# The vendor's token for the payment list lives 5 minutes (contracts: 1.1); ours is renewed a minute earlier.
TOKEN_LIFE_S: Final = 240.0
# The vendor's own limit for one page of the list (contracts: 1.5).
PAGE_SIZE: Final = 500


@dataclass(frozen=True, slots=True)
class Invoice:
    """The vendor's offer to pay for an order."""

    id: str
    url: str
    order_id: str
    price_amount: Decimal
    price_currency: str


@dataclass(frozen=True, slots=True)
class Payment:
    """What the vendor saw of a payment; ids are text, amounts are in whole coins of their currency."""

    payment_id: str
    parent_payment_id: str | None
    invoice_id: str | None
    order_id: str | None
    status: str
    price_amount: Decimal
    price_currency: str
    pay_amount: Decimal | None
    actually_paid: Decimal | None
    pay_currency: str | None
    outcome_amount: Decimal | None
    outcome_currency: str | None
    payin_hash: str | None
    payout_hash: str | None

    @property
    def rank(self) -> int:
        """How far the payment is; see RANKS."""
        return RANKS.get(self.status, 0)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the payment list. Rows that make no sense are counted, so that one cannot hide the others."""

    payments: tuple[Payment, ...]
    unreadable: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Minimum:
    """The least that can be paid in a currency, and what that is in the fiat currency that was asked for."""

    amount: Decimal
    fiat: Decimal | None


def read_payment(body: object) -> Payment:
    """Read a payment from the vendor's API, its list or an IPN; raises BadAnswer if it is no payment.

    The same field comes as number here and as text there, and many are null or absent (contracts: 1.7).
    """
    fields = Fields(VENDOR, body)
    return Payment(
        payment_id=fields.digits("payment_id"),
        parent_payment_id=fields.digits_or_none("parent_payment_id"),
        invoice_id=fields.digits_or_none("invoice_id"),
        order_id=fields.text_or_none("order_id"),
        status=fields.text("payment_status"),
        price_amount=fields.number("price_amount"),
        price_currency=fields.text("price_currency").lower(),
        pay_amount=fields.number_or_none("pay_amount"),
        actually_paid=fields.number_or_none("actually_paid"),
        pay_currency=_code(fields, "pay_currency"),
        outcome_amount=fields.number_or_none("outcome_amount"),
        outcome_currency=_code(fields, "outcome_currency"),
        payin_hash=fields.text_or_none("payin_hash"),
        payout_hash=fields.text_or_none("payout_hash"),
    )


def _code(fields: Fields, name: str) -> str | None:
    text = fields.text_or_none(name)
    return None if text is None else text.lower()


class NowPayments:
    """What we ask of NOWPayments. The account's e-mail and password are needed for the payment list alone."""

    def __init__(
        self,
        http: Http,
        *,
        api_key: Callable[[], str],
        email: Callable[[], str] = str,
        password: Callable[[], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the credentials as functions: each call uses what they are then."""
        self._http = http
        self._api_key, self._email, self._password = api_key, email, password
        self._clock = clock
        self._token: tuple[str, float] | None = None
        self._token_lock = threading.Lock()

    @effect(OnLost.REPEAT, reason="no idempotency there: each invoice row keeps its own price, a second one that is paid is an over-payment")
    def create_invoice(
        self,
        *,
        price_amount: Decimal,
        price_currency: str,
        order_id: str,
        order_description: str,
        ipn_callback_url: str,
        success_url: str,
        cancel_url: str,
        pay_currency: str | None = None,
    ) -> Invoice:
        """Make an invoice; a second call makes a second one. Raises BadAnswer when it is not the one that was asked for."""
        body: dict[str, Any] = {
            "price_amount": price_amount,
            "price_currency": price_currency,
            "order_id": order_id,
            "order_description": order_description,
            "ipn_callback_url": ipn_callback_url,
            "success_url": success_url,
            "cancel_url": cancel_url,
            "partially_paid_url": success_url,
        }
        if pay_currency is not None:
            body["pay_currency"] = pay_currency
        made = _read_invoice(self._ask("POST", "/invoice", body=body))
        if (made.order_id, made.price_amount, made.price_currency) != (order_id, price_amount, price_currency.lower()):
            raise BadAnswer("the invoice is not the one that was asked for", vendor=VENDOR, invoice_id=made.id)
        return made

    @read
    def payment(self, payment_id: str) -> Payment:
        """Ask how a payment is; raises Refused with code NOT_FOUND when the vendor does not know it."""
        if not payment_id.isascii() or not payment_id.isdigit():
            raise BadInput("a payment id is digits")
        seen = read_payment(self._ask("GET", f"/payment/{payment_id}"))
        if seen.payment_id != payment_id:
            raise BadAnswer("another payment than the one asked for", vendor=VENDOR, payment_id=payment_id)
        return seen

    @read
    def payments(self, *, date_from: datetime, page: int = 0, invoice_id: str | None = None) -> Page:
        """One page of the account's payments, oldest first; raises Misconfigured without the account's e-mail and password."""
        params = {"limit": str(PAGE_SIZE), "page": str(page), "sortBy": "created_at", "orderBy": "asc", "dateFrom": date_from.isoformat()}
        if invoice_id is not None:
            params["invoiceId"] = invoice_id
        # The list has a trailing slash at the vendor (contracts: 1.5).
        fields = Fields(VENDOR, self._ask("GET", "/payment/", params=params, headers={"Authorization": f"Bearer {self._bearer()}"}))
        read_rows = [_readable(row) for row in fields.items("data")]
        seen = tuple(payment for payment in read_rows if payment is not None)
        return Page(seen, unreadable=len(read_rows) - len(seen), page=page, pages=int(fields.digits("pagesCount")))

    @read
    def min_amount(self, *, currency_from: str, currency_to: str) -> Minimum:
        """The least that can be paid in `currency_from` when we are paid out in `currency_to`, and its worth in USD."""
        params = {"currency_from": currency_from, "currency_to": currency_to, "fiat_equivalent": "usd"}
        fields = Fields(VENDOR, self._ask("GET", "/min-amount", params=params))
        return Minimum(fields.number("min_amount"), fields.number_or_none("fiat_equivalent"))

    @read
    def estimate(self, *, amount: Decimal, currency_from: str, currency_to: str) -> Decimal:
        """What an amount is worth in another currency, by the vendor's rate."""
        params = {"amount": plain(amount), "currency_from": currency_from, "currency_to": currency_to}
        return Fields(VENDOR, self._ask("GET", "/estimate", params=params)).number("estimated_amount")

    @read
    def currencies(self) -> tuple[str, ...]:
        """The codes of every coin that can be paid with, in lower case."""
        codes = Fields(VENDOR, self._ask("GET", "/currencies")).items("currencies")
        return tuple(code.lower() for code in codes if isinstance(code, str))

    @read
    def status(self) -> bool:
        """Whether the vendor says that it is up."""
        return bool(Fields(VENDOR, self._ask("GET", "/status")).text_or_none("message") == "OK")

    @read
    def login(self) -> str:
        """Exchange e-mail and password for the token of the payment list; it lives 5 minutes."""
        email, password = self._email(), self._password()
        if not email or not password:
            raise Misconfigured("the payment list needs NOWPAYMENTS_EMAIL and NOWPAYMENTS_PASSWORD")
        answer = self._http.call("POST", "/auth", body={"email": email, "password": password})
        if not answer.ok:
            raise refused(answer)
        return Fields(VENDOR, answer.json()).text("token")

    def _bearer(self) -> str:
        with self._token_lock:
            if self._token is None or self._clock() >= self._token[1]:
                self._token = (self.login(), self._clock() + TOKEN_LIFE_S)
            return self._token[0]

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"x-api-key": self._api_key(), **more.pop("headers", {})}
        answer = self._http.call(method, path, headers=headers, **more)
        if not answer.ok:
            if answer.status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                self._token = None
            raise refused(answer)
        return answer.json()


def _read_invoice(body: object) -> Invoice:
    fields = Fields(VENDOR, body)
    url = fields.text("invoice_url")
    if not url.startswith(("https://", "http://")):
        raise BadAnswer("invoice_url is no address", vendor=VENDOR)
    # The id is text here and a number in IPNs, the price text here and a number there (contracts: 1.2).
    return Invoice(
        id=fields.digits("id"),
        url=url,
        order_id=fields.text("order_id"),
        price_amount=fields.number("price_amount"),
        price_currency=fields.text("price_currency").lower(),
    )


def _readable(row: object) -> Payment | None:
    try:
        return read_payment(row)
    except BadAnswer:
        return None


def refused(answer: Answer) -> Refused | VendorDown:
    """The vendor's refusal with its own code; a wrong key is a 403 there, not a 401 (contracts: 1.4)."""
    code = answer.problem().get("code")
    return refusal(answer, code=code if isinstance(code, str) else None)
