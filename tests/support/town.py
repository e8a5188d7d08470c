"""A small town: the bot, the invites, the notices, the posts and the owners' API in this process, among the vendors' own simulators."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from deploy.simulators.nowpayments import store as nowpayments_store
from deploy.simulators.nowpayments.app import create_app as nowpayments_app
from deploy.simulators.sendgrid.app import build as sendgrid_app
from deploy.simulators.server import Server
from PGP_COMMON import owner_tokens
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.money_machines import access
from PGP_COMMON.web import create_app
from PGP_SERVER_v1.updates import KINDS
from tests.support import settings, signing
from tests.support.sales import Street
from tests.support.telegram_world import TOKEN, TelegramWorld, telegram_world

SERVICES = ("server", "invite", "notifications", "broadcast", "webapi")
NOWPAYMENTS_KEY, SENDGRID_KEY = "town-nowpayments-key", "SG.town-sendgrid-key"
# Numbers that no other test of this run uses, so that one Telegram serves them all.
_numbers = itertools.count(1)
_hours = itertools.count(1)


@dataclass
class Vendor:
    """A simulator with a control door."""

    url: str

    def book(self, name: str) -> list[dict[str, Any]]:
        """What the vendor knows."""
        return requests.get(f"{self.url}/_control/books/{name}", timeout=10).json()

    def fault(self, operation: str, mode: str, value: Any = None, times: int | None = 1) -> None:
        """Let something go wrong."""
        answer = requests.post(f"{self.url}/_control/faults", json={"operation": operation, "mode": mode, "value": value, "times": times}, timeout=10)
        assert answer.ok, answer.text

    def reset(self) -> None:
        """Forget everything."""
        requests.post(f"{self.url}/_control/reset", json={"books": True}, timeout=10)


@contextmanager
def _served(app: Any) -> Iterator[Vendor]:
    server = Server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield Vendor(f"http://127.0.0.1:{server.port}")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Outside:
    """The vendors of a town."""

    telegram: TelegramWorld
    nowpayments: Vendor
    sendgrid: Vendor

    def reset(self) -> None:
        """Everybody forgets everything."""
        self.telegram.control("/reset", {"books": True})
        self.nowpayments.reset()
        self.sendgrid.reset()


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """Run Telegram, NOWPayments and SendGrid in this process."""
    for name in ("telegram", "nowpayments", "sendgrid"):
        (folder / name).mkdir()
    account = nowpayments_store.Account(api_key=NOWPAYMENTS_KEY, ipn_secret="", email="", password="", payout_address="")
    vendor = nowpayments_store.Vendor(nowpayments_store.open_books(folder / "nowpayments"), account)
    with (
        telegram_world(folder / "telegram") as telegram,
        _served(nowpayments_app(vendor)[0]) as nowpayments,
        _served(sendgrid_app(folder / "sendgrid", api_key=SENDGRID_KEY)) as sendgrid,
    ):
        yield Outside(telegram, nowpayments, sendgrid)


@dataclass
class Town:
    """Five services, their queue and their vendors."""

    url: str
    outside: Outside
    more: dict[str, str] = field(default_factory=dict)
    ahead_s: int = 0

    def __post_init__(self) -> None:
        self.settings = settings.environ(
            self.url,
            TELEGRAM_API_URL=self.outside.telegram.url,
            TELEGRAM_BOT_TOKEN=TOKEN,
            NOWPAYMENTS_URL=f"{self.outside.nowpayments.url}/v1",
            NOWPAYMENTS_API_KEY=NOWPAYMENTS_KEY,
            SENDGRID_URL=self.outside.sendgrid.url,
            SENDGRID_API_KEY=SENDGRID_KEY,
            BASE_URL="https://pay.test",
            TELEGRAM_PER_SECOND="100000",
            TELEGRAM_PER_CHAT_PER_SECOND="100000",
            TELEGRAM_PER_GROUP_PER_MINUTE="100000",
            **self.more,
        )
        self.queue = Street()
        self.apps: dict[str, Flask] = {}
        for short in SERVICES:
            app = create_app(f"pgp-{short}-v1", self.settings)
            self.queue.attach(app)
            self.apps[short] = app
        self._offset: int | None = None
        self.db: BaseDatabaseManager = self.apps["server"].extensions["pgp"].db

    def close(self) -> None:
        """End every connection."""
        for app in self.apps.values():
            app.extensions["pgp"].db.engine.dispose()

    @property
    def telegram(self) -> TelegramWorld:
        """Telegram."""
        return self.outside.telegram

    # --- time and what happens in it

    def later(self, seconds: int) -> None:
        """Let the database's clock run on."""
        self.ahead_s += seconds
        self.run(f"CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now() + make_interval(secs => {self.ahead_s})'")

    def settle(self, *, twice: bool = False) -> None:
        """Bring updates and tasks to their doors until nothing is left that is due."""
        while self.hear() + self.queue.run(within_s=self.ahead_s, twice=twice):
            pass

    def hear(self) -> int:
        """Bring Telegram's updates to the bot, as its courier does; gives back how many there were."""
        found = self.telegram.result("getUpdates", offset=self._offset or 0, allowed_updates=list(KINDS))
        for update in found:
            assert self.knock(update).status_code == 200
            self._offset = update["update_id"] + 1
        return len(found)

    def knock(self, update: Any, *, secret: str | None = None) -> TestResponse:
        """Post an update to the bot's door."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.settings["TELEGRAM_WEBHOOK_SECRET"] if secret is None else secret}
        client = self.apps["server"].test_client()
        if isinstance(update, bytes):
            return client.post("/telegram-webhook", data=update, headers=headers)
        return client.post("/telegram-webhook", json=update, headers=headers)

    def ring(self, short: str, path: str, *, settle: bool = True) -> None:
        """Let the scheduler call."""
        route = self.apps[short].extensions["pgp"].service.route(path)
        number = next(_hours)
        at = f"2030-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
        assert signing.ring(self.apps[short], path, route.schedule.name, at).status_code == 200
        if settle:
            self.settle()

    # --- what is there

    def value(self, sql: str, **values: Any) -> Any:
        """One value of the database."""
        with self.db.reading() as tx:
            return tx.value(sql, **values)  # type: ignore[arg-type]

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with self.db.reading() as tx:
            return [tuple(row) for row in tx._execute(sql, values).rows or ()]  # type: ignore[arg-type]

    def run(self, sql: str, **values: Any) -> int:
        """Change the database behind everybody's back."""
        with self.db.reading() as tx:
            return tx.run(sql, **values)  # type: ignore[arg-type]

    def letters(self) -> list[tuple[str, str]]:
        """Open dead letters: source and reason."""
        return [(source, reason) for source, reason in self.rows("SELECT source, reason FROM failed_transactions WHERE resolved_at IS NULL ORDER BY id")]

    # --- people

    def owner(self, *, linked: bool = True, tiers: int = 1, mode: str = "join_request", channel: bool = True) -> Owner:
        """An owner with a channel, unless told otherwise; he and the bot administer its chats."""
        number = next(_numbers)
        made = Owner(self, person_of(self, f"Owner {number}"), email=f"owner-{number}-{secrets.token_hex(3)}@shop.test")
        with self.db.reading() as tx:
            made.account_id = int(
                tx.value("INSERT INTO account (email, password_hash, email_verified_at) VALUES (:e, 'x', pgp_now()) RETURNING id", e=made.email)
            )
            made.owner_id = int(
                tx.value(
                    "INSERT INTO client_table (account_id, notify_chat_id) VALUES (:a, :n) RETURNING id",
                    a=made.account_id,
                    n=made.person.id if linked else None,
                )
            )
        made.open_chat, made.closed_chat = -1_000_000_000_000 - 2 * number, -1_000_000_000_001 - 2 * number
        for chat, title in ((made.open_chat, f"News {number}"), (made.closed_chat, f"Circle {number}")):
            self.telegram.control("/chats", {"id": chat, "type": "channel", "title": title, "owner": made.person.id})
        made.title = f"Circle {number}"
        if channel:
            made.channel_id = int(
                self.value(
                    """
                    INSERT INTO channel (owner_id, open_channel_id, closed_channel_id, open_title, closed_title, access_mode)
                    VALUES (:o, :open, :closed, :news, :circle, :mode) RETURNING id
                    """,
                    o=made.owner_id,
                    open=made.open_chat,
                    closed=made.closed_chat,
                    news=f"News {number}",
                    circle=made.title,
                    mode=mode,
                )
            )
            made.tiers = [
                int(
                    self.value(
                        "INSERT INTO subscription_tier_map (channel_id, position, label, price_usd, days) VALUES (:c, :p, :l, :u, :d) RETURNING id",
                        c=made.channel_id,
                        p=place,
                        l=f"Tier {place}",
                        u=10 * place,
                        d=30 * place,
                    )
                )
                for place in range(1, tiers + 1)
            ]
        return made

    def buyer(self, name: str = "Bea") -> Person:
        """Somebody who has started the bot."""
        made = person_of(self, name)
        made.says("/start")
        self.settle()
        made.read()
        return made

    def sell(self, owner: Owner, buyer: Person, *, days: int = 30) -> int:
        """What ORCHESTRATOR does when an order is paid; gives back the invite's id."""
        with self.db.transaction() as tx:
            order_id = tx.value(
                """
                INSERT INTO orders (unique_id, view_token, kind, owner_id, channel_id, tier_id, buyer_id, buyer_name, price_usd, days, fee_percent,
                                    tolerance_bps, correlation, expires_at)
                VALUES (:u, :v, 'subscription', :o, :c, :t, :b, :n, 20, :d, 3, 100, 'town', pgp_now() + interval '7 days') RETURNING id
                """,
                u=secrets.token_hex(13).upper(),
                v=secrets.token_urlsafe(16),
                o=owner.owner_id,
                c=owner.channel_id,
                t=owner.tiers[0],
                b=buyer.id,
                n=buyer.name,
                d=days,
            )
            mode = tx.value("SELECT access_mode FROM channel WHERE id = :id", id=owner.channel_id)
            invite = access.plan_entitlement(tx, channel_id=owner.channel_id, buyer_id=buyer.id, order_id=order_id, days=days, mode=mode)
        assert invite is not None
        return invite

    def enter(self, owner: Owner, buyer: Person, *, days: int = 30) -> int:
        """A buyer pays, gets his link and goes in; gives back the invite's id."""
        invite = self.sell(owner, buyer, days=days)
        self.settle()
        buyer.joins(buyer.button("Join")["url"])
        self.settle()
        assert buyer.is_in(owner)
        return invite


@dataclass
class Person:
    """Somebody on Telegram."""

    town: Town
    id: int
    name: str
    seen: int = 0

    def acts(self, **what: Any) -> dict[str, Any]:
        """Do something in Telegram."""
        return self.town.telegram.control("/updates", {"user": {"id": self.id, "first_name": self.name}, **what})

    def says(self, text: str) -> None:
        """Write to the bot."""
        self.acts(text=text)

    def asks(self, text: str) -> list[str]:
        """Write to the bot, and read what it answers."""
        self.says(text)
        self.town.settle()
        return self.read()

    def presses(self, label: str) -> list[str]:
        """Press a button, and read what the bot answers."""
        message, button = self._found(label)
        self.acts(callback={"message_id": message["message_id"], "data": button["callback_data"]})
        self.town.settle()
        return self.read()

    def forges(self, data: str) -> list[str]:
        """Press a button that is not there."""
        message = self.messages()[-1]
        self.acts(callback={"message_id": message["message_id"], "data": data, "forged": True})
        self.town.settle()
        return self.read()

    def joins(self, link: str) -> None:
        """Follow a link."""
        self.acts(join=link)

    def messages(self) -> list[dict[str, Any]]:
        """What the bot has written to him."""
        return [message for message in self.town.telegram.look(f"/chats/{self.id}/messages") if message["outgoing"]]

    def read(self) -> list[str]:
        """The texts that he has not read yet."""
        texts = [message["text"] for message in self.messages()]
        new, self.seen = texts[self.seen :], len(texts)
        return new

    def button(self, label: str) -> dict[str, Any]:
        """The newest button with this label."""
        return self._found(label)[1]

    def _found(self, label: str) -> tuple[dict[str, Any], dict[str, Any]]:
        for message in reversed(self.messages()):
            for row in message.get("reply_markup", {}).get("inline_keyboard", []):
                for button in row:
                    if label in button["text"]:
                        return message, button
        raise AssertionError(f"no button {label}: {self.messages()}")

    def is_in(self, owner: Owner) -> bool:
        """Whether Telegram says that he is in an owner's closed channel."""
        members = self.town.telegram.look(f"/chats/{owner.closed_chat}/members")
        return any(member["user"]["id"] == self.id and member["status"] == "member" for member in members)


@dataclass
class Owner:
    """Somebody with a channel."""

    town: Town
    person: Person
    email: str
    account_id: int = 0
    owner_id: int = 0
    channel_id: int = 0
    open_chat: int = 0
    closed_chat: int = 0
    title: str = ""
    tiers: list[int] = field(default_factory=list)

    def token(self) -> str:
        """An access token of his."""
        with self.town.apps["webapi"].app_context():
            return owner_tokens.issue(self.account_id)

    def api(self, method: str, path: str, body: Any = None, *, service: str = "webapi", headers: dict[str, str] | None = None) -> TestResponse:
        """Call an API as this owner."""
        sent = {"Authorization": f"Bearer {self.token()}", **(headers or {})}
        return client(self.town, service).open(path, method=method, json=body, headers=sent)

    def bot(self, **rights: bool) -> None:
        """Give the bot other rights in both chats; without any, take them all."""
        status = {"status": "administrator", "rights": rights} if rights else {"status": "member"}
        for chat in (self.open_chat, self.closed_chat):
            self.town.telegram.control("/chats", {"id": chat, "bot": status})


def person_of(town: Town, name: str) -> Person:
    """Somebody new on Telegram."""
    return Person(town, 50_000_000 + next(_numbers), name)


def client(town: Town, service: str = "webapi") -> FlaskClient:
    """A caller without a name."""
    return town.apps[service].test_client()
