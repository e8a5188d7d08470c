"""A shop that sells, a payment vendor in memory, and the two services between them, over one database."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx
from google.cloud import tasks_v2
from werkzeug.test import TestResponse

from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.clients.prices import Prices
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.http import Http, dumps
from PGP_COMMON.money_machines import invariants, orders, owners
from PGP_COMMON.web import create_app
from PGP_ORCHESTRATOR_v1.steps import Clients
from tests.support.queue import SteppingQueue

ETHER = 10**18
BUYER = 4_242_424
USD_OF_ETHER = Decimal(2500)
Payment = dict[str, Any]


@dataclass
class FakeNowPayments:
    """NOWPayments in memory: it says of each payment what a test wrote down, and misbehaves on request."""

    payments: dict[str, Payment] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)
    page_size: int = 500
    minimum_usd: Decimal = Decimal(2)
    down: bool = False
    password_is_good: bool = True
    asked: list[str] = field(default_factory=list)
    usd: Decimal | None = USD_OF_ETHER

    @property
    def client(self) -> NowPayments:
        """The product's own client, over this vendor."""
        http = Http("nowpayments", "http://vendor", transport=httpx.MockTransport(self.answer))
        return NowPayments(http, api_key=lambda: "key", email=lambda: "a@b", password=lambda: "word")

    @property
    def prices(self) -> Prices:
        """The product's own price sources, of which one answers."""

        def source(name: str) -> Http:
            return Http(name, "http://prices", transport=httpx.MockTransport(self.price))

        return Prices(coingecko=source("coingecko"), cryptocompare=source("cryptocompare"), oneinch=source("1inch"))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the vendor does."""
        path = request.url.path
        self.asked.append(path)
        if self.down:
            return httpx.Response(500, text="<html>down</html>")
        if path == "/auth":
            return httpx.Response(200, json={"token": "t"}) if self.password_is_good else httpx.Response(403, json={"code": "ACCESS_DENIED"})
        if path == "/payment/":
            page = int(request.url.params["page"])
            rows = [self.payments[number] for number in self.listed[page * self.page_size : (page + 1) * self.page_size]]
            pages = max(1, -(-len(self.listed) // self.page_size))
            body = {"data": rows, "limit": self.page_size, "page": page, "pagesCount": pages, "total": len(self.listed)}
            return httpx.Response(200, content=dumps(body).encode())
        if path == "/min-amount":
            return httpx.Response(200, content=dumps({"min_amount": Decimal("0.001"), "fiat_equivalent": self.minimum_usd}).encode())
        found = self.payments.get(path.removeprefix("/payment/"))
        if found is None:
            return httpx.Response(404, json={"status": False, "statusCode": 404, "code": "NOT_FOUND", "message": "Payment not found"})
        return httpx.Response(200, content=dumps(found).encode())

    def price(self, request: httpx.Request) -> httpx.Response:
        """CryptoCompare knows ETH; nobody else answers."""
        if self.usd is None or request.url.path != "/data/price":
            return httpx.Response(503)
        return httpx.Response(200, content=dumps({"USD": self.usd}).encode())


class Street(SteppingQueue):
    """A queue that delivers to the services that are here; tasks for the others stay where they are."""

    def due(self, *, within_s: float = 0) -> list[tasks_v2.Task]:
        """The tasks that are due to somebody here."""
        return [task for task in super().due(within_s=within_s) if urlsplit(task.http_request.url).netloc in self.apps]


class Shop:
    """One owner with one channel and one tier (30 days for 20 USD), whose buyers pay."""

    def __init__(self, url: str, settings: dict[str, str]) -> None:
        """Start both services over the database."""
        self.vendor = FakeNowPayments()
        self.queue = Street()
        self.settings = settings
        self.db = BaseDatabaseManager(make_engine(url, application="tests", pool=4))
        self.ipn = create_app("pgp-np-ipn-v1", settings)
        self.orchestrator = create_app("pgp-orchestrator-v1", settings)
        for app in (self.ipn, self.orchestrator):
            self.queue.attach(app)
        # The door that answers first publishes from a thread; here what follows is wanted at once.
        self.ipn.extensions["pgp"].db._publish = self.ipn.extensions["pgp"].tasks.wake
        runtime = self.orchestrator.extensions["pgp"]
        runtime.engine.clients = Clients(self.vendor.client, self.vendor.prices, runtime.publish)
        self._numbers = itertools.count(5_000_000_000 + secrets.randbelow(10**6))
        self.owner_id, self.channel_id, self.tier_id = self._open()

    def close(self) -> None:
        """End every connection."""
        self.db.engine.dispose()
        for app in (self.ipn, self.orchestrator):
            app.extensions["pgp"].db.engine.dispose()

    def _open(self) -> tuple[int, int, int]:
        with self.db.reading() as tx:
            account = tx.value("INSERT INTO account (email, password_hash) VALUES (:email, 'x') RETURNING id", email=f"{secrets.token_hex(4)}@x.test")
            owner = tx.value("INSERT INTO client_table (account_id, notify_chat_id) VALUES (:id, 777) RETURNING id", id=account)
            number = 1_000_000 + secrets.randbelow(10**9)
            channel = tx.value(
                """
                INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title)
                VALUES (:owner, :open, :closed, 'Open', 'Closed') RETURNING id
                """,
                owner=owner,
                open=-number,
                closed=-number - 10**10,
            )
            tier = tx.value(
                "INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days) VALUES (:c, 1, 'Month', 20, 30) RETURNING id", c=channel
            )
        return int(owner), int(channel), int(tier)

    # --- what a buyer does

    def order(self, *, price: str = "20", buyer_id: int = BUYER, days: int | None = 30) -> Order:
        """An order whose invoice is made; without days it is a donation."""
        with self.db.transaction() as tx:
            channel = owners.channel(tx, self.channel_id)
            assert channel is not None
            invoice_id = orders.create(
                tx,
                channel=channel,
                buyer_id=buyer_id,
                buyer_name="Buyer",
                price_usd=Decimal(price),
                fee_percent=Decimal(3),
                lifetime_s=604_800,
                tier_id=self.tier_id if days else None,
                days=days,
            )
        return self.invoiced(invoice_id)

    def invoiced(self, invoice_id: int) -> Order:
        """An invoice that the vendor has made."""
        provider_id = str(next(self._numbers))
        with self.db.transaction() as tx:
            assert orders.attach_invoice(tx, invoice_id, provider_id=provider_id, url=f"https://pay.test/?iid={provider_id}")
            row = orders.invoice(tx, invoice_id)
        assert row is not None
        return Order(self, row.order_id, row.unique_id, row.view_token, row.sent_id, provider_id, row.price_usd)

    def rest_of(self, order: Order) -> Order:
        """The invoice for what an order still lacks, once the vendor has made it."""
        return self.invoiced(int(self.value("SELECT max(id) FROM invoice WHERE order_id = :id AND provider_id IS NULL", id=order.id)))

    def new_id(self) -> int:
        """An id that the vendor has not given before."""
        return next(self._numbers)

    # --- what the vendor does

    def notify(self, body: Payment | bytes, *, secret: str | None = None) -> TestResponse:
        """Hand in a signed notice."""
        raw = body if isinstance(body, bytes) else dumps(dict(sorted(body.items()))).encode()
        key = self.settings["NOWPAYMENTS_IPN_SECRET"] if secret is None else secret
        signature = hmac.new(key.encode(), raw, hashlib.sha512).hexdigest()
        return self.ipn.test_client().post("/", data=raw, headers={"x-nowpayments-sig": signature, "Content-Type": "application/json"})

    def settle(self, **how: Any) -> int:
        """Deliver what is due to ORCHESTRATOR, and hold every invariant against the books."""
        done = self.queue.run(**how)
        self.check_books()
        return done

    def pay(self, payment: Payment, *statuses: str, **how: Any) -> None:
        """Let a payment go through statuses, each with its notice, and settle."""
        for status in statuses:
            self.vendor.payments[str(payment["payment_id"])] = payment = payment | {"payment_status": status}
            assert self.notify(payment).status_code == 200
            self.settle(**how)

    # --- what is there

    def value(self, sql: str, **values: Any) -> Any:
        """One value of the database."""
        with self.db.reading() as tx:
            return tx.value(sql, **values)  # type: ignore[arg-type]

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with self.db.reading() as tx:
            return [tuple(row) for row in tx._execute(sql, values).rows or ()]

    def balance(self, code: str, asset: str = "eth") -> int:
        """What stands on a ledger account; what is owed is positive."""
        found = self.rows("SELECT side, balance FROM ledger_account WHERE code = :code AND asset = :asset", code=code, asset=asset)
        return (int(found[0][1]) if found[0][0] == "D" else -int(found[0][1])) if found else 0

    def sent(self, step: str) -> list[str]:
        """The subjects of a step's work."""
        return [subject for (subject,) in self.rows("SELECT subject FROM work WHERE step = :step ORDER BY id", step=step)]

    def letters(self) -> list[tuple[str, str]]:
        """Open dead letters: source and reason."""
        return [(source, reason) for source, reason in self.rows("SELECT source, reason FROM failed_transactions WHERE resolved_at IS NULL ORDER BY id")]

    def outcome(self, payment: Payment) -> str:
        """The state of a payment, with the reason when a person has to look."""
        state, reason = self.rows("SELECT state, review_reason FROM processed_payments WHERE provider_id = :id", id=str(payment["payment_id"]))[0]
        return f"{state}: {reason}" if reason else str(state)

    def check_books(self) -> None:
        """Every invariant of the books holds."""
        with self.db.reading() as tx:
            found = [(invariant.code, breach) for invariant, breach in invariants.breaches(tx)]
        assert not found, found

    def later(self, seconds: int) -> None:
        """Let the database's clock run ahead, and wake what is due then."""
        with self.db.reading() as tx:
            tx.run(
                f"CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now() + make_interval(secs => {int(seconds)})'"  # type: ignore[arg-type]
            )


@dataclass
class Order:
    """An order as a buyer holds it: one invoice of it."""

    shop: Shop
    id: int
    unique_id: str
    view_token: str
    sent_id: str
    invoice: str
    price: Decimal

    @property
    def state(self) -> str:
        """Where the order is."""
        return str(self.shop.value("SELECT state FROM orders WHERE id = :id", id=self.id))

    def payment(self, status: str = "waiting", **changes: Any) -> Payment:
        """What the vendor says of a payment for this invoice: paid in full with ETH unless changed."""
        coins = self.price / USD_OF_ETHER
        return {
            "payment_id": self.shop.new_id(),
            "parent_payment_id": None,
            "invoice_id": int(self.invoice),
            "payment_status": status,
            "price_amount": self.price,
            "price_currency": "usd",
            "pay_amount": coins,
            "actually_paid": coins,
            "pay_currency": "eth",
            "order_id": self.sent_id,
            "order_description": None,
            "purchase_id": "5172103429",
            "outcome_amount": coins * Decimal("0.99"),
            "outcome_currency": "eth",
            "payout_hash": None,
            "updated_at": 1_765_249_461_097,
        } | changes


WHOLE_WAY = ("waiting", "confirming", "confirmed", "sending", "finished")


def units(payment: Payment) -> int:
    """A payment's outcome in wei."""
    return int(payment["outcome_amount"] * ETHER)


def fee(payment: Payment) -> int:
    """The platform's three percent of it, rounded for the owner."""
    return units(payment) * 3 // 100


def as_notice(payment: Payment, change: Callable[[str], str] = str) -> bytes:
    """The bytes of a notice, changed as text."""
    return change(json.dumps({name: str(value) if isinstance(value, Decimal) else value for name, value in payment.items()})).encode()
