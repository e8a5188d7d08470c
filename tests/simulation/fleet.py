"""The whole fleet in one process: fifteen apps called through WSGI, one stepping queue, one clock; a process that dies is started again."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

from eth_account import Account
from flask import Flask
from google.cloud import tasks_v2

from deploy.emulators import cron
from deploy.emulators.scheduler import Job, jobs
from PGP_COMMON import failpoints, manifest
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.doors import SCHEDULE_TIME
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.money_machines import wallet
from PGP_COMMON.tokens import HEADER
from PGP_COMMON.web import create_app
from tests.simulation import changenow, nowpayments
from tests.simulation.chain import BLOCK_S, TOKEN, Chain
from tests.simulation.changenow import ChangeNow
from tests.simulation.clock import Clock
from tests.simulation.edge import Edge
from tests.simulation.nowpayments import NowPayments
from tests.simulation.rpc import Rpc
from tests.simulation.shops import mail_vendor, price_source
from tests.simulation.telegram import Telegram
from tests.support.queue import SteppingQueue
from tests.support.settings import environ

T = TypeVar("T")
ETHER, DOLLAR = 10**18, 10**6
CHAIN_ID = 1
KEY = "0x" + "5" * 64
ADDRESS = str(Account.from_key(KEY).address)
# A queue's back-off, in seconds (product.md 7.8).
FIRST_WAIT_S, LONGEST_WAIT_S = 2, 300
SIM = ("nowpayments", "changenow", "telegram", "sendgrid", "coingecko", "cryptocompare", "oneinch", "node-a", "node-b")


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Queue(SteppingQueue):
    """The queue under the world's clock: it tries again with growing waits, shuffles, doubles and loses as told."""

    clock: Clock = None  # type: ignore[assignment]
    dice: random.Random = field(default_factory=random.Random)
    doubles: float = 0.0
    loses: float = 0.0
    waits: dict[str, tuple[datetime, int]] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0

    def create(self, request: tasks_v2.CreateTaskRequest) -> tasks_v2.Task:
        """Take a task, or lose it."""
        made = super().create(request)
        if self.loses and self.dice.random() < self.loses:
            self.waiting.remove(made)
            self.lost += 1
        return made

    def next_at(self) -> datetime | None:
        """When the next task is due."""
        return min((self._at(task) for task in self.waiting), default=None)

    def _at(self, task: tasks_v2.Task) -> datetime:
        if task.name in self.waits:
            return self.waits[task.name][0]
        return task.schedule_time.replace(tzinfo=self.clock.now.tzinfo) if task.schedule_time else self.clock.now

    def pick(self) -> tasks_v2.Task | None:
        """One task that is due, by the dice."""
        due = [task for task in self.waiting if self._at(task) <= self.clock.now]
        return self.dice.choice(due) if due else None

    def answered(self, task: tasks_v2.Task, status: int | None) -> None:
        """A success ends a task, unless it is delivered twice; anything else, or nothing, is tried again later."""
        if status is not None and 200 <= status < 300:
            if self.doubles and self.dice.random() < self.doubles:
                self.doubled += 1
            elif task in self.waiting:
                self.waiting.remove(task)
                self.waits.pop(task.name, None)
            return
        tries = self.waits.get(task.name, (self.clock.now, 0))[1] + 1
        self.waits[task.name] = (self.clock.after(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(tries, 10))), tries)


class SimFleet:
    """A company in one process. `seed` decides the order of everything that has none."""

    def __init__(self, database_url: str, seed: int, *, settings: dict[str, str] | None = None, eth: int = 5 * ETHER, usdt: int = 0) -> None:
        """Open a wallet with so much wei and USDT units of the platform's own, and start every service."""
        self.dice = random.Random(seed)
        self.db = BaseDatabaseManager(make_engine(database_url, application="tests", pool=2))
        self.clock = Clock(self.db)
        self.chain = Chain(self.dice)
        self.edge = Edge(self.dice)
        self.environ = self._settings(database_url, settings or {})
        self.nowpayments = NowPayments(self.chain, self.clock, ADDRESS, self.environ["NOWPAYMENTS_IPN_SECRET"])
        self.changenow = ChangeNow(self.chain, self.clock, self.dice)
        self.telegram = Telegram()
        self.mails: list[dict[str, Any]] = []
        self.queue = Queue(clock=self.clock, dice=self.dice)
        self.schedules = {job.name: job for job in jobs().values()}
        # How often the quick schedules ring, in minutes: a world without a sweep heals nothing.
        self.every: dict[str, int] = {}
        self.crashes: list[str] = []
        self._hosts()
        self._open_wallet(eth, usdt)
        self.apps: dict[str, Flask] = {}
        for service in FLEET:
            self.start(service.name)
        self.next_block = self.clock.after(BLOCK_S)
        self.next_minute = self.clock.after(60)

    def _settings(self, url: str, more: dict[str, str]) -> dict[str, str]:
        vendors = {f"{name.upper()}_URL": f"http://{name}.sim" for name in SIM[:3]}
        ours = {
            "SENDGRID_URL": "http://sendgrid.sim",
            "COINGECKO_URL": "http://coingecko.sim",
            "CRYPTOCOMPARE_URL": "http://cryptocompare.sim",
            "TELEGRAM_API_URL": "http://telegram.sim",
            "ETHEREUM_RPC_URL": "http://node-a.sim,http://node-b.sim",
            "ETHEREUM_CHAIN_ID": str(CHAIN_ID),
            "USDT_CONTRACT": TOKEN,
            "HOST_WALLET_PRIVATE_KEY": KEY,
            "HOST_WALLET_ETH_ADDRESS": ADDRESS,
            "HOST_WALLET_USDT_ADDRESS": ADDRESS,
            "NOWPAYMENTS_EMAIL": "shop@example.com",
            "NOWPAYMENTS_PASSWORD": "word",
            "REDIS_URL": "",
            **dict.fromkeys(("TELEGRAM_PER_SECOND", "TELEGRAM_PER_CHAT_PER_SECOND", "TELEGRAM_PER_GROUP_PER_MINUTE"), "100000"),
        }
        return environ(url, **{**vendors, **ours, **more})

    def _hosts(self) -> None:
        nodes = [Rpc(self.chain, node, chain_id=CHAIN_ID) for node in self.chain.nodes]
        self.edge.hosts = {
            "nowpayments.sim": self.nowpayments.answer,
            "changenow.sim": self.changenow.answer,
            "telegram.sim": self.telegram.answer,
            "sendgrid.sim": mail_vendor(self.mails),
            "cryptocompare.sim": price_source(changenow.USD),
            "coingecko.sim": price_source({}),
            "node-a.sim": nodes[0].answer,
            "node-b.sim": nodes[1].answer,
        }

    def _open_wallet(self, eth: int, usdt: int) -> None:
        self.chain.endow(ADDRESS, eth=eth, token=usdt)
        self.chain.endow(nowpayments.ACCOUNT, eth=10_000 * ETHER)
        self.chain.endow(changenow.ACCOUNT, eth=10_000 * ETHER, token=10**9 * DOLLAR)
        self.opening = {"eth": eth, "usdterc20": usdt}
        with self.db.transaction() as tx:
            wallet.open(tx, address=ADDRESS, chain_id=CHAIN_ID, nonce=0, block=0, balances=self.opening)

    # --- processes

    def start(self, name: str) -> None:
        """Start a service, or start it again: nothing of what it remembered is left."""
        if name in self.apps:
            self.apps[name].extensions["pgp"].db.engine.dispose()
        app = create_app(name, self.environ)
        self.queue.attach(app)
        # The door that answers first publishes from a thread of its own; here that is part of the request.
        runtime = app.extensions["pgp"]
        runtime.db._publish = runtime.engine.publish = runtime.publish = runtime.tasks.wake
        self.apps[name] = app

    def call(self, name: str, path: str, *, body: bytes = b"", headers: dict[str, str]) -> int | None:
        """Knock at a service's door; None when its process dies over it."""
        return self.within(name, lambda: self.apps[name].test_client().post(path, data=body, headers=headers).status_code)

    def within(self, name: str, work: Callable[[], T]) -> T | None:
        """Let a service's process do something; None when it dies over it, and is started again."""
        try:
            return work()
        except Crash as crash:
            self.crashes.append(str(crash))
            self.start(name)
            return None

    def close(self) -> None:
        """End every connection."""
        for app in self.apps.values():
            app.extensions["pgp"].db.engine.dispose()
        self.db.engine.dispose()

    # --- what happens

    def deliver(self) -> bool:
        """Deliver one thing that is due: an update, a notice or a task. False when nothing is."""
        if self.telegram.updates:
            return self._deliver_update()
        due = [ipn for ipn in self.nowpayments.ipns if ipn.due <= self.clock.now]
        if due:
            ipn = self.dice.choice(due)
            self.nowpayments.ipns.remove(ipn)
            headers = {"x-nowpayments-sig": ipn.signature, "Content-Type": "application/json"}
            if self.call("pgp-np-ipn-v1", "/webhooks/nowpayments-ipn", body=ipn.body, headers=headers) != 200:
                self.nowpayments.repeat(ipn)
            return True
        task = self.queue.pick()
        if task is None:
            return False
        parts = urlsplit(task.http_request.url)
        name = self.queue.apps[parts.netloc].extensions["pgp"].service.name
        self.queue.answered(task, self.call(name, parts.path, body=task.http_request.body, headers=dict(task.http_request.headers)))
        return True

    def _deliver_update(self) -> bool:
        """Telegram delivers in order, and again until it hears a success."""
        update = self.telegram.updates[0]
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.environ["TELEGRAM_WEBHOOK_SECRET"], "Content-Type": "application/json"}
        if self.call("pgp-server-v1", "/telegram-webhook", body=json.dumps(update).encode(), headers=headers) == 200:
            self.telegram.updates.pop(0)
        return True

    def settle(self) -> None:
        """Deliver what is due until nothing is."""
        for _ in range(20_000):
            if not self.deliver():
                return
        raise AssertionError("it never comes to rest")

    def ring(self, name: str, *, at: datetime | None = None) -> int | None:
        """The scheduler calls a schedule's door."""
        job: Job = self.schedules[name]
        text = (at or self.clock.now).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = self.apps[job.service.name].extensions["pgp"].keys
        signature = keys[manifest.Edge.GENERAL].sign(job.service.name, f"{job.name}/{text}", b"")
        return self.call(job.service.name, job.path, headers={SCHEDULE_TIME: text, HEADER: signature})

    def _minute(self) -> None:
        """What the scheduler does at the turn of a minute."""
        since = round((self.clock.now - self.clock.now.replace(hour=0, minute=0, second=0)).total_seconds()) // 60
        for name, job in self.schedules.items():
            minutes = self.every.get(name)
            if minutes == 0 or (minutes and since % minutes):
                continue
            if minutes or cron.matches(job.schedule.cron, self.clock.now):
                self.ring(name)

    def pass_time(self) -> None:
        """Let time go on to the next thing that happens by itself, and let it happen."""
        events = [self.next_block, self.next_minute]
        if (task := self.queue.next_at()) is not None:
            events.append(max(task, self.clock.now))
        heapq.heapify(events)
        self.clock.move_to(max(events[0], self.clock.now))
        if self.clock.now >= self.next_block:
            self.chain.advance()
            self.changenow.tick()
            self.nowpayments.tick()
            self.next_block = self.clock.after(BLOCK_S)
        if self.clock.now >= self.next_minute:
            self._minute()
            self.next_minute = (self.clock.now + timedelta(minutes=1)).replace(second=0, microsecond=0)
        self.settle()

    def until(self, claim: Callable[[], bool], *, minutes: int = 120) -> bool:
        """Let time go on until a claim holds; False when it does not within so many minutes."""
        last = self.clock.after(minutes * 60)
        self.settle()
        while not claim():
            if self.clock.now > last:
                return False
            self.pass_time()
        return True

    # --- what is there

    def value(self, sql: str, **values: Any) -> Any:
        """One value of the database."""
        with self.db.reading() as tx:
            return tx.value(sql, **values)  # type: ignore[arg-type]

    def rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        with self.db.reading() as tx:
            return [tuple(row) for row in tx._execute(sql, values).rows or ()]  # type: ignore[arg-type]


@contextmanager
def a_fleet(database_url: str, seed: int, *, hook: Callable[[str], None] | None = None, **more: Any) -> Iterator[SimFleet]:
    """A fleet over a fresh database; `hook` sees every failpoint that is passed."""
    fleet = SimFleet(database_url, seed, **more)
    try:
        with fleet.edge.in_place():
            if hook is not None:
                failpoints.watch(hook)
            yield fleet
    finally:
        failpoints.disarm()
        fleet.close()
