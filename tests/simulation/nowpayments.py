"""NOWPayments in memory: invoices, payments that go their way, notices that are repeated a few times, and money that is really sent on chain."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from typing import Any

import httpx

from PGP_COMMON.http import dumps
from tests.simulation.chain import Chain
from tests.simulation.clock import Clock

ETHER = 10**18
USD_OF_ETHER = Decimal(2500)
WHOLE_WAY = ("waiting", "confirming", "confirmed", "sending", "finished")
# Between two statuses of a payment, until the money is sent, and between two tries of a notice: seconds.
STATUS_S, SEND_S, REPEAT_S = 15, 30, 60
REPEATS = 3
ACCOUNT = "0x00000000000000000000000000000000000b0b01"


@dataclass
class Ipn:
    """One notice that waits to be delivered."""

    body: bytes
    signature: str
    due: datetime
    tries: int = 0


@dataclass
class Way:
    """The statuses that a payment still goes through."""

    payment_id: int
    left: list[str]
    due: datetime


@dataclass
class NowPayments:
    """The vendor's books."""

    chain: Chain
    clock: Clock
    wallet: str
    secret: str
    invoices: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: dict[int, dict[str, Any]] = field(default_factory=dict)
    ways: list[Way] = field(default_factory=list)
    ipns: list[Ipn] = field(default_factory=list)
    sends: list[tuple[datetime, int]] = field(default_factory=list)
    # Notices that never arrive, by status: what the vendor's finite repetition amounts to.
    silent: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(5_000_000_000)

    # --- what we ask

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the vendor does."""
        path = request.url.path
        if (request.method, path) == ("POST", "/invoice"):
            return self._invoice(json.loads(request.content, parse_float=Decimal))
        if path == "/auth":
            return httpx.Response(200, json={"token": "t"})
        if path == "/min-amount":
            return _answer({"min_amount": Decimal("0.0008"), "fiat_equivalent": Decimal(2)})
        if path == "/payment/":
            return self._list(request)
        found = self.payments.get(int(path.removeprefix("/payment/") or 0))
        if found is None:
            return httpx.Response(404, json={"status": False, "statusCode": 404, "code": "NOT_FOUND", "message": "Payment not found"})
        return _answer(found)

    def _invoice(self, body: dict[str, Any]) -> httpx.Response:
        number = str(next(self._numbers))
        made = {
            "id": number,
            "order_id": body["order_id"],
            "order_description": body["order_description"],
            "price_amount": str(body["price_amount"]),
            "price_currency": body["price_currency"],
            "pay_currency": None,
            "invoice_url": f"https://pay.example/payment/?iid={number}",
        }
        self.invoices[number] = made
        return httpx.Response(201, json=made)

    def _list(self, request: httpx.Request) -> httpx.Response:
        since = datetime.fromisoformat(request.url.params["dateFrom"])
        rows = [payment for payment in self.payments.values() if datetime.fromisoformat(payment["created_at"]) >= since]
        return _answer({"data": rows, "limit": 500, "page": 0, "pagesCount": 1, "total": len(rows)})

    # --- what buyers do

    def pay(self, invoice_id: str, *, share: str = "1", parent: int | None = None, statuses: tuple[str, ...] | None = None) -> int:
        """A buyer sends ETH for an invoice, so much of what is wanted; gives back the payment's id."""
        invoice, number = self.invoices[invoice_id], next(self._numbers)
        wanted = (Decimal(invoice["price_amount"]) / USD_OF_ETHER).quantize(Decimal("1e-10"))
        paid = (wanted * Decimal(share)).quantize(Decimal("1e-10"), ROUND_DOWN)
        self.payments[number] = {
            "payment_id": number,
            "parent_payment_id": parent,
            "invoice_id": None if parent else int(invoice_id),
            "payment_status": "waiting",
            "price_amount": Decimal(invoice["price_amount"]),
            "price_currency": "usd",
            "pay_amount": wanted,
            "actually_paid": Decimal(0),
            "pay_currency": "eth",
            "order_id": invoice["order_id"],
            "order_description": None,
            "purchase_id": str(number + 1),
            "outcome_amount": None,
            "outcome_currency": "eth",
            "payin_hash": None,
            "payout_hash": None,
            "created_at": self.clock.now.isoformat(),
        }
        way = statuses or (WHOLE_WAY if Decimal(share) >= 1 else ("waiting", "confirming", "partially_paid"))
        self.ways.append(Way(number, list(way), self.clock.now))
        self.payments[number]["_paid"] = paid
        return number

    def refund(self, payment_id: int) -> None:
        """The vendor gives a finished payment back to its buyer."""
        self.ways.append(Way(payment_id, ["refunded"], self.clock.now))

    # --- time passes

    def tick(self) -> None:
        """Move every payment on whose time has come."""
        for way in [way for way in self.ways if way.due <= self.clock.now]:
            self._move(way.payment_id, way.left.pop(0))
            way.due = self.clock.after(STATUS_S)
        self.ways = [way for way in self.ways if way.left]
        for due, number in [send for send in self.sends if send[0] <= self.clock.now]:
            self.sends.remove((due, number))
            payment = self.payments[number]
            payment["payout_hash"] = self.chain.vendor_pays(ACCOUNT, self.wallet, int(payment["outcome_amount"] * ETHER))

    def _move(self, number: int, status: str) -> None:
        payment = self.payments[number]
        payment["payment_status"] = status
        if status != "waiting":
            payment["actually_paid"] = payment["_paid"]
        if status in {"finished", "partially_paid"} and payment["outcome_amount"] is None:
            payment["outcome_amount"] = (payment["_paid"] * Decimal("0.995")).quantize(Decimal("1e-12"), ROUND_DOWN)
            self.sends.append((self.clock.after(SEND_S), number))
        if status not in self.silent:
            body = dumps({name: value for name, value in sorted(payment.items()) if name[0] != "_"}).encode()
            self.ipns.append(Ipn(body, hmac.new(self.secret.encode(), body, hashlib.sha512).hexdigest(), self.clock.now))

    def repeat(self, ipn: Ipn) -> None:
        """A notice was not answered with a 200: again in a minute, a few times, then never."""
        ipn.tries += 1
        if ipn.tries < REPEATS:
            ipn.due = self.clock.now + timedelta(seconds=REPEAT_S)
            self.ipns.append(ipn)

    @property
    def paid_total(self) -> int:
        """What the vendor says it owes or has sent us, in wei."""
        return sum(int(payment["outcome_amount"] * ETHER) for payment in self.payments.values() if payment["outcome_amount"] is not None)


def _answer(body: Any) -> httpx.Response:
    return httpx.Response(200, content=dumps(_bare(body)).encode())


def _bare(body: Any) -> Any:
    if isinstance(body, dict):
        return {name: _bare(value) for name, value in body.items() if name[0] != "_"}
    return [_bare(row) for row in body] if isinstance(body, list) else body
