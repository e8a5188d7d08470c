"""Carries updates to the webhook: one at a time in each queue, queues side by side, again and again until the bot has taken them."""

from __future__ import annotations

import heapq
import itertools
import json
import queue
import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import urllib3

from deploy.simulators.desk import Desk, Fault, Mode
from deploy.simulators.telegram.telegram import Telegram

# An answer may ask for another time with Retry-After, but not for a later one than this (WebhookActor.cpp).
LONGEST_RETRY_AFTER_S = 3600
# After this long of nothing but 410 the webhook is taken away (WEBHOOK_DROP_TIMEOUT).
GONE_AFTER_S = 23 * 3600
# The operation under which faults on deliveries are armed.
FAULTS = "webhook"
REORDER_WAIT_S = 1.0
# The plan is looked at this often even when nobody calls.
IDLE_S = 0.5
# These are not taken from the answer to an update.
NOT_IN_AN_ANSWER = ("deletewebhook", "setwebhook", "close", "logout", "get")


@dataclass(frozen=True)
class Pace:
    """How patient the sender is; the defaults are the real server's (WebhookActor.cpp), tests take shorter ones.

    The first repeat comes at once, the second after 2 * first_s, then always twice as long, up to a random max_s to 2 * max_s.
    """

    first_s: float = 1.0
    max_s: float = 60.0
    timeout_s: float = 60.0


@dataclass(order=True)
class Head:
    """The first update of one queue: when it is due, and what it has been through."""

    due: float
    seq: int
    queue: str = field(compare=False)
    delay_s: float = field(compare=False)
    fails: int = field(default=0, compare=False)
    swap: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Outcome:
    """What the bot answered; status 0 is no answer."""

    status: int
    reason: str = ""
    retry_after_s: int = 0
    body: bytes = b""

    @property
    def taken(self) -> bool:
        return 200 <= self.status <= 299


class Courier:
    """The webhook sender; `run` is its background thread."""

    def __init__(self, telegram: Telegram, desk: Desk, pace: Pace, answer: Callable[[dict[str, Any]], object]) -> None:
        """Take the world, the desk that may spoil deliveries, the pace, and what runs a method that the bot's reply asks for."""
        self.telegram = telegram
        self.desk = desk
        self.pace = pace
        self.answer = answer
        self._lock = telegram.updates.changed
        self._heads: dict[str, Head] = {}
        self._due: list[Head] = []
        self._busy: set[str] = set()
        self._loaded = 0
        self._jobs: queue.SimpleQueue[tuple[Head, dict[str, Any]] | None] = queue.SimpleQueue()
        self._workers = 0
        self._names = itertools.count(1)
        self._gone_since: float | None = None
        self._http = urllib3.PoolManager(maxsize=100, retries=False)
        telegram.webhook_changed = self.start_over

    def start_over(self) -> None:
        """Forget what was planned: the webhook is another one, or the queue was emptied."""
        with self._lock:
            self._heads = {name: head for name, head in self._heads.items() if name in self._busy}
            self._due = []
            self._loaded = 0
            self._gone_since = None
            self._lock.notify_all()

    def run(self, stop: threading.Event) -> None:
        """Plan and hand out deliveries until told to stop."""
        while not stop.is_set():
            with self._lock:
                self._load()
                # Read after the updates: what came after the webhook was deleted must not go to it.
                webhook = self.telegram.world.setting("webhook")
                wait_s = self._hand_out(webhook) if webhook else IDLE_S
                if not stop.is_set():
                    self._lock.wait(max(wait_s, 0.001))
        for _ in range(self._workers):
            self._jobs.put(None)

    def _load(self) -> None:
        """Look at the updates that came since the last look; each queue's first one becomes its head."""
        rows = self.telegram.world.books.all("SELECT seq, queue FROM updates WHERE ended IS NULL AND seq > ? ORDER BY seq", (self._loaded,))
        for row in rows:
            self._loaded = row["seq"]
            if row["queue"] not in self._heads:
                self._plan(Head(time.monotonic(), row["seq"], row["queue"], self.pace.first_s))

    def _plan(self, head: Head) -> None:
        self._heads[head.queue] = head
        heapq.heappush(self._due, head)

    def _hand_out(self, webhook: dict[str, Any]) -> float:
        """Give what is due to the workers, as many as the webhook takes at once; gives the seconds until the next is due."""
        while self._due and len(self._busy) < webhook["max_connections"]:
            left = self._due[0].due - time.monotonic()
            if left > 0:
                return left
            head = heapq.heappop(self._due)
            self._busy.add(head.queue)
            if self._workers < len(self._busy):
                self._workers += 1
                threading.Thread(target=self._work, name=f"courier-{next(self._names)}", daemon=True).start()
            self._jobs.put((head, webhook))
        return IDLE_S

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            head, webhook = job
            try:
                self._carry(head, webhook)
            except Exception:  # noqa: BLE001 - a bug in the simulator is shown, and the update comes again
                traceback.print_exc()
                head.due = time.monotonic() + 1
            with self._lock:
                self._busy.discard(head.queue)
                self._next(head)
                self._lock.notify_all()

    def _next(self, head: Head) -> None:
        """Put the queue's head, the same or the next one, back into the plan."""
        row = self.telegram.updates.head(head.queue)
        if row is None:
            self._heads.pop(head.queue, None)
        elif row["seq"] == head.seq:
            self._plan(head)
        else:
            self._plan(Head(time.monotonic(), row["seq"], head.queue, self.pace.first_s))

    def _carry(self, head: Head, webhook: dict[str, Any]) -> None:
        """Try to deliver one update, and write down how it went."""
        row = self.telegram.updates.head(head.queue)
        if row is None or row["seq"] != head.seq or self.telegram.world.setting("webhook") != webhook:
            return
        if row["expires"] <= time.time():
            self.telegram.updates.end(head.seq, "expired")
            return
        if head.swap:
            self._overtake(head, webhook)
            head.swap = False
        outcome = self._attempt(head, webhook, row["body"])
        if outcome is None:
            return
        if outcome.taken:
            self.telegram.updates.end(head.seq, "delivered")
            self._obey(outcome.body)
            self._gone_since = None
        else:
            self._fail(head, row["expires"], outcome)

    def _attempt(self, head: Head, webhook: dict[str, Any], body: str) -> Outcome | None:
        """Send once, as an armed fault wants it; None when it is put off."""
        fault = self.desk.take(FAULTS)
        match fault and fault.mode:
            case Mode.STATUS:
                return Outcome(int(self._detail(fault)["status"]), "armed")
            case Mode.TIMEOUT:
                time.sleep(self._seconds(fault, 0))
                return Outcome(0, "Read timeout expired")
            case Mode.REORDER:
                head.swap, head.due = True, time.monotonic() + self._seconds(fault, REORDER_WAIT_S)
                return None
            case Mode.DELAY:
                time.sleep(self._seconds(fault, 1))
            case Mode.DUPLICATE:
                self._post(head.seq, webhook, body)
            case Mode.LOST_ANSWER:
                self._post(head.seq, webhook, body)
                return Outcome(0, "Webhook connection closed")
        return self._post(head.seq, webhook, body)

    def _post(self, seq: int, webhook: dict[str, Any], body: str) -> Outcome:
        """Send an update's body to the webhook."""
        self.telegram.world.books.run("UPDATE updates SET attempts = attempts + 1 WHERE seq = ?", (seq,))
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip, deflate"}
        if webhook["secret_token"]:
            headers["X-Telegram-Bot-Api-Secret-Token"] = webhook["secret_token"]
        try:
            answer = self._http.request("POST", webhook["url"], body=body.encode(), headers=headers, timeout=self.pace.timeout_s, redirect=False)
        except urllib3.exceptions.NewConnectionError:
            return Outcome(0, "Connection refused")
        except urllib3.exceptions.TimeoutError:
            return Outcome(0, "Read timeout expired")
        except urllib3.exceptions.HTTPError:
            return Outcome(0, "Webhook connection closed")
        retry_after = answer.headers.get("Retry-After", "")
        return Outcome(answer.status, answer.reason or "", int(retry_after) if retry_after.isdecimal() else 0, answer.data)

    def _overtake(self, head: Head, webhook: dict[str, Any]) -> None:
        """Deliver the update behind the head first, if there is one."""
        behind = self.telegram.updates.head(head.queue, after=head.seq)
        if behind is not None and self._post(behind["seq"], webhook, behind["body"]).taken:
            self.telegram.updates.end(behind["seq"], "delivered")

    def _fail(self, head: Head, expires: float, outcome: Outcome) -> None:
        """Plan the next attempt (on_update_error in WebhookActor.cpp), or give the update up."""
        said = f"Wrong response from the webhook: {outcome.status} {outcome.reason}" if outcome.status else outcome.reason
        self.telegram.world.set_setting("webhook_error", {"last_error_date": int(time.time()), "last_error_message": said.strip()})
        wait_s: float = min(outcome.retry_after_s, LONGEST_RETRY_AFTER_S)
        if not wait_s and head.fails:
            head.delay_s = wait_s = min(head.delay_s * 2, random.uniform(self.pace.max_s, 2 * self.pace.max_s))
        if time.time() + wait_s > expires:
            self.telegram.updates.end(head.seq, "expired")
            return
        head.fails += 1
        head.due = time.monotonic() + wait_s
        self._notice_gone(outcome)

    def _notice_gone(self, outcome: Outcome) -> None:
        if outcome.status != 410:
            self._gone_since = None
        elif self._gone_since is None:
            self._gone_since = time.monotonic()
        elif time.monotonic() - self._gone_since > GONE_AFTER_S:
            self.telegram.world.set_setting("webhook", None)

    def _obey(self, body: bytes) -> None:
        """Run the one method that an answer may ask for; the bot never learns what came of it."""
        try:
            order = json.loads(body) if body[:1] == b"{" else None
        except ValueError:
            return
        if isinstance(order, dict) and isinstance(order.get("method"), str) and not order["method"].lower().startswith(NOT_IN_AN_ANSWER):
            self.answer(order)

    @staticmethod
    def _detail(fault: Fault | None) -> dict[str, Any]:
        assert fault is not None
        return fault.detail()

    @staticmethod
    def _seconds(fault: Fault | None, default: float) -> float:
        assert fault is not None
        return fault.seconds(default)
