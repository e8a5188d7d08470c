"""A whole country: every service that money and access pass, in this process, over one real chain and vendors in memory that keep their word."""

from __future__ import annotations

import itertools
import json
import random
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx

from PGP_BROADCAST_v1.notifications import steps as notification_steps
from PGP_COMMON import speech
from PGP_COMMON.clients.telegram import Telegram
from PGP_COMMON.errors import DatabaseDown
from PGP_COMMON.http import dumps
from PGP_COMMON.money_machines import inbox, orders, owners
from PGP_COMMON.runtime import Runtime
from PGP_INVITE_v1 import steps as invite_steps
from PGP_ORCHESTRATOR_v1.steps import Clients as OrchestratorClients
from PGP_SERVER_v1 import steps as server_steps
from tests.support.earnings import DOLLAR, ETHER
from tests.support.fake_exchange import FakeExchange
from tests.support.hostpay import Harbour, TestChain
from tests.support.sales import USD_OF_ETHER, FakeNowPayments, Payment
from tests.support.simulators import eventually

SERVICES = (
    "np-ipn orchestrator server invite notifications microbatchprocessor batchprocessor split1 split2 split3".split()  # noqa: SIM905 - a list to read
)
PRICE, DAYS = Decimal(60), 30
# Telegram in memory agrees to everything.
TRUE = {"ok": True, "result": True}


def _telegram(request: httpx.Request) -> httpx.Response:
    method = request.url.path.rpartition("/")[2]
    if method == "sendMessage":
        return httpx.Response(200, json={"ok": True, "result": {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}}})
    if method == "createChatInviteLink":
        made = {"invite_link": "https://t.me/+abcdef", "creator": {"id": 1, "is_bot": True, "first_name": "b"}, "creates_join_request": True}
        return httpx.Response(200, json={"ok": True, "result": {**made, "is_primary": False, "is_revoked": False}})
    if method == "getChatMember":
        return httpx.Response(200, json={"ok": True, "result": {"status": "member", "user": {"id": 1, "is_bot": False, "first_name": "x"}}})
    return httpx.Response(200, json=TRUE)


class Vendor(FakeNowPayments):
    """NOWPayments that also makes invoices."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as the vendor does."""
        if request.url.path != "/invoice":
            return super().answer(request)
        body = json.loads(request.content, parse_float=Decimal)
        number = str(5 * 10**9 + secrets.randbelow(10**9))
        return httpx.Response(200, content=dumps({**body, "id": number, "invoice_url": f"https://pay.test/?iid={number}"}).encode())


class Market(FakeExchange):
    """ChangeNOW that looks at the chain: it pays out what it was paid for, once, or sends it back when it is told to."""

    def join(self, chain: TestChain) -> None:
        """Look at this chain from now on."""
        self.chain, self.lock = chain, threading.Lock()
        # Orders of these payout addresses come back.
        self.sends_back: set[str] = set()

    def _look(self, exchange_id: str) -> httpx.Response:
        made = self.exchanges.get(exchange_id)
        if made is None:
            return httpx.Response(404, json={"error": "not_found", "message": "Transaction not found"})
        seen = {**made, "status": "waiting", "expectedAmountFrom": made["fromAmount"], "expectedAmountTo": made["toAmount"]}
        with self.lock:
            if "told" not in made and self._paid(made):
                made["told"] = self._end(made)
        return httpx.Response(200, json={**seen, **made.get("told", {})})

    def _paid(self, made: dict[str, Any]) -> bool:
        token = made["fromCurrency"] == "usdt"
        return self.chain.received(made["payinAddress"], token=token) >= int(Decimal(made["fromAmount"]) * (DOLLAR if token else ETHER))

    def _end(self, made: dict[str, Any]) -> dict[str, Any]:
        """Pay out, or send back a little less than came."""
        if made["payoutAddress"] in self.sends_back:
            back = int(Decimal(made["fromAmount"]) * DOLLAR) - DOLLAR
            return {
                "status": "refunded",
                "refundAmount": str(Decimal(back) / DOLLAR),
                "refundHash": self.chain.send(made["refundAddress"], back, token=True),
            }
        tx_hash = secrets.token_hex(32)
        if made["toCurrency"] == "usdt":
            tx_hash = self.chain.send(made["payoutAddress"], int(Decimal(made["toAmount"]) * DOLLAR), token=True)
        return {"status": "finished", "amountTo": made["toAmount"], "payoutHash": tx_hash}


class Country(Harbour):
    """Thirteen services over one database. Work is run by whoever calls `work` or `labour`; blocks are made by whoever calls `mine`."""

    _client = None

    def __init__(self, url: str, chain: TestChain, **more: Any) -> None:
        """Open a wallet on the chain and start everybody."""
        self.vendor = Vendor()
        self.buyers = itertools.count(1_000)
        # The steps that have been run.
        self.ran: set[str] = set()
        limits = dict.fromkeys(("TELEGRAM_PER_SECOND", "TELEGRAM_PER_CHAT_PER_SECOND", "TELEGRAM_PER_GROUP_PER_MINUTE"), "100000")
        super().__init__(url, chain, TELEGRAM_BOT_TOKEN="1:x", DAILY_TRANSFER_LIMIT="10000", **limits, **more)
        self.exchange = self.market = Market()
        self.market.join(chain)
        for short in ("hostpay2", *SERVICES):
            self.services[f"pgp-{short}-v1"] = self.start(f"pgp-{short}-v1")

    def start(self, name: str) -> Runtime:
        """One more process of a service."""
        runtime = super().start(name)
        clients = self._clients(name) or self._clients_of_people(name, runtime)
        if clients is not None:
            runtime.engine.clients = clients
        return runtime

    def _clients_of_people(self, name: str, runtime: Runtime) -> Any:
        if name == "pgp-orchestrator-v1":
            return OrchestratorClients(self.vendor.client, self.vendor.prices, lambda _wakes: None)
        if name not in {"pgp-server-v1", "pgp-invite-v1", "pgp-notifications-v1"}:
            return None
        voice = speech.speaker(runtime)
        voice.telegram = Telegram(lambda: "1:x", transport=httpx.MockTransport(_telegram))
        if name == "pgp-server-v1":
            return server_steps.Clients(voice, self.vendor.client, runtime.engine.clients.links)
        return invite_steps.Clients(voice) if name == "pgp-invite-v1" else notification_steps.Clients(voice, runtime.engine.clients.mail)

    def run(self, step: str, subject: object) -> str:
        """Run one unit of work."""
        self.ran.add(step)
        return super().run(step, subject)

    # --- what people do

    def shop(self, **how: Any) -> int:
        """An owner whose channel has one offer; gives back his id."""
        owner = self.owner(**how)
        self.value(
            """
            INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days)
            SELECT id, 1, 'Month', :price, :days FROM channel WHERE owner_id = :owner RETURNING id
            """,
            owner=owner,
            price=PRICE,
            days=DAYS,
        )
        return owner

    def order(self, owner_id: int, buyer_id: int) -> int:
        """A buyer asks for a month; gives back the order. SERVER has its invoice made."""
        invoice_id = self.wish(owner_id, buyer_id)
        self.run("invoice.create", invoice_id)
        # Somebody else may have it in his hands.
        eventually(lambda: self.value("SELECT provider_id FROM invoice WHERE id = :id", id=invoice_id))
        return int(self.value("SELECT order_id FROM invoice WHERE id = :id", id=invoice_id))

    def wish(self, owner_id: int, buyer_id: int) -> int:
        """A buyer asks for a month; gives back the invoice that is to be made."""
        server = self.services["pgp-server-v1"]
        channel_id, tier_id = self.rows("SELECT c.id, t.id FROM channel c JOIN subscription_tier_map t ON t.channel_id = c.id WHERE owner_id = :o", o=owner_id)[
            0
        ]
        with server.db.transaction() as tx:
            channel = owners.channel(tx, channel_id)
            assert channel is not None
            invoice_id = orders.create(
                tx,
                channel=channel,
                buyer_id=buyer_id,
                buyer_name="B",
                price_usd=PRICE,
                fee_percent=Decimal(3),
                lifetime_s=604_800,
                tier_id=tier_id,
                days=DAYS,
            )
            tx.send("invoice.create", invoice_id)
        return invoice_id

    def payment(self, order_id: int, *, part: Decimal = Decimal(1)) -> Payment:
        """A buyer has paid so much of an order, and the vendor has it all: what the vendor would say of it."""
        invoice, unique, buyer, chat = self.rows(
            """
            SELECT i.provider_id, o.unique_id, o.buyer_id, c.open_channel_id
              FROM orders o JOIN channel c ON c.id = o.channel_id JOIN invoice i ON i.order_id = o.id WHERE o.id = :id ORDER BY i.id LIMIT 1
            """,
            id=order_id,
        )[0]
        coins = PRICE / USD_OF_ETHER
        return {
            "payment_id": 10**9 + secrets.randbelow(10**9),
            "parent_payment_id": None,
            "invoice_id": int(invoice),
            "payment_status": "finished" if part >= 1 else "partially_paid",
            "price_amount": PRICE,
            "price_currency": "usd",
            "pay_amount": coins,
            "actually_paid": coins * part,
            "pay_currency": "eth",
            "order_id": orders.sent_id(buyer_id=int(buyer), open_channel_id=int(chat), unique_id=str(unique)),
            "outcome_amount": (coins * part * Decimal("0.99")).quantize(Decimal("1e-18")),
            "outcome_currency": "eth",
            "payout_hash": None,
        }

    def tell(self, payment: Payment, *statuses: str) -> None:
        """The vendor has this in its books, and sends a notice of each status."""
        self.vendor.payments[str(payment["payment_id"])] = payment
        for status in statuses or (payment["payment_status"],):
            inbox.take(self.services["pgp-np-ipn-v1"].db, dumps(dict(sorted((payment | {"payment_status": status}).items()))).encode())

    def pay_out(self, payment: Payment) -> None:
        """The vendor sends us a payment's money."""
        sent = self.test_chain.send(self.address, int(payment["outcome_amount"] * ETHER))
        self.vendor.payments[str(payment["payment_id"])] = payment | {"payout_hash": sent}

    def buy(self, owner_id: int, buyer_id: int | None = None) -> Payment:
        """The whole of it: an order, paid, told of and sent to us."""
        payment = self.payment(self.order(owner_id, next(self.buyers) if buyer_id is None else buyer_id))
        self.tell(payment)
        self.pay_out(payment)
        return payment

    # --- work

    def labour(self, dice: random.Random, over: threading.Event) -> None:
        """Run whatever is open, in any order, with whoever else does, until it is over."""
        while not over.is_set():
            found = self.rows("SELECT step, subject FROM work WHERE state = 'open' AND not_before <= pgp_now() + interval '1 hour' ORDER BY random() LIMIT 4")
            for step, subject in found:
                if self.knows(step):
                    self.due(step, subject)
                    try:
                        self.run(step, subject)
                    except DatabaseDown:
                        # More threads than connections: as in the fleet, the queue asks again.
                        continue
            if not found or dice.random() < 0.2:
                over.wait(0.01)

    def due(self, step: str, subject: object) -> None:
        """Let a unit of work be due now; whoever holds it keeps it."""
        with self.db.reading() as tx:
            tx.run(
                "UPDATE work SET not_before = pgp_now() WHERE step = :step AND subject = :subject AND state = 'open' AND not_before > pgp_now()",
                step=step,
                subject=str(subject),
            )

    def ring(self, *steps: str) -> None:
        """Let the scheduler call for these."""
        for step in steps:
            self.fire(step)

    def come_to_rest(self, claim: Any, *, turns: int = 60) -> None:
        """Work and make blocks until a claim holds; the schedules ring at each turn."""
        for _ in range(turns):
            self.ring("conversion.plan", "payout.plan")
            self.work()
            if claim():
                return
            self.test_chain.mine()
        raise AssertionError(self.rows("SELECT step, subject, state, last_error FROM work WHERE state <> 'done' ORDER BY id"))


@contextmanager
def a_country(url: str, chain: TestChain, **more: Any) -> Iterator[Country]:
    """A country over a fresh database."""
    country = Country(url, chain, **more)
    try:
        yield country
    finally:
        country.close()
