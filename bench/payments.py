"""The main road: from the vendor's notice to the invite sent, the owner told and his part written down."""

from __future__ import annotations

import json
import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bench import client, store
from bench.fleet import Fleet
from bench.store import Progress
from deploy.local.demo import acts, people

TICK_S: Final = 0.25
# A fleet that does so little is not slow but stuck.
PATIENCE_S: Final = 240.0
PAYERS: Final = 8
JSON: Final = {"Content-Type": "application/json"}
# The buyer opens the payment, and later pays it. Nothing goes over the chain (`payout`): that is another road.
OPEN: Final = {"pay_currency": "eth", "statuses": ["waiting"], "payout": False}
FINISH: Final = {"statuses": ["finished"]}


@dataclass(frozen=True)
class Delays:
    """Seconds from the kept notice to something, of all payments of a run."""

    median_s: float
    p99_s: float
    longest_s: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Delays:
        """Sum up."""
        ordered = sorted(seconds)
        return cls(statistics.median(ordered), ordered[int(0.99 * len(ordered))], ordered[-1])


@dataclass(frozen=True)
class Run:
    """What came of payments that were paid together: payments a second from the first notice to the last message, delays, and who worked for it."""

    payments: int
    per_second: float
    credited: Delays
    invited: Delays
    told: Delays
    all_done: Delays
    cpu_ms: dict[str, float]


class Shop:
    """A fresh owner with one channel, whose orders are the benchmark's alone."""

    def __init__(self, fleet: Fleet) -> None:
        """Let a new owner register and connect a channel, as in the demonstration."""
        self.fleet = fleet
        self._owner = people.owners()[-1]
        acts.found_channel(fleet.world, self._owner)

    def progress(self) -> Progress:
        """How far its orders are."""
        with self.fleet.db.reading() as tx:
            return store.progress(tx, self._owner.channel_id)

    def order(self, count: int) -> float:
        """Let so many new buyers open the channel's link in the bot, until each has his payment link; gives orders a second."""
        start = self._owner.links["subscribe"][str(self._owner.tier_id)].partition("start=")[2]
        url = f"{self.fleet.world.simulators['telegram']}/_control/updates"
        said = [{"user": {"id": 10**9 + secrets.randbelow(10**9), "first_name": "Reader"}, "text": f"/start {start}"} for _ in range(count)]
        before, begun = self.progress().offered, time.perf_counter()
        client.burst(url, [client.post(url, json.dumps(body).encode(), JSON) for body in said], connections=PAYERS)
        until("payment links", lambda: self.progress().offered >= before + count)
        took_s = time.perf_counter() - begun
        until("the bot to say everything", lambda: self.progress().quiet)
        return count / took_s

    def open_payments(self) -> list[str]:
        """Let every buyer choose his coin, so that his payment waits for his money; gives the vendor's ids."""
        with self.fleet.db.reading() as tx:
            invoices = store.unpaid_invoices(tx, self._owner.channel_id)
        base = f"{self.fleet.world.simulators['nowpayments']}/_control/invoices"
        client.burst(base, [client.post(f"{base}/{invoice}/pay", json.dumps(OPEN).encode(), JSON) for invoice in invoices], connections=PAYERS)
        until("payments to be seen", lambda: self.progress().observed >= len(invoices))
        with self.fleet.db.reading() as tx:
            return store.observed_payments(tx, self._owner.channel_id)

    def notices(self) -> list[bytes]:
        """The vendor's notices about these payments so far, as it sent them."""
        with self.fleet.db.reading() as tx:
            return store.notices(tx, self._owner.channel_id)

    def settle(self) -> None:
        """Wait until no notice waits any more."""
        until("notices to be settled", lambda: self.progress().settled)

    def pay(self, payments: Sequence[str], *, per_second: float = 0.0) -> Run:
        """Pay, so many a second (0: as fast as eight payers can), until everything has followed from all of them."""
        base = f"{self.fleet.world.simulators['nowpayments']}/_control/payments"
        requests = [client.post(f"{base}/{payment}/pay", json.dumps(FINISH).encode(), JSON) for payment in payments]
        before, used = self.progress(), self.fleet.cpu_s()
        if per_second:
            client.steadily(base, requests, connections=PAYERS, per_second=per_second)
        else:
            client.burst(base, requests, connections=PAYERS)
        until("invites, notices and accumulations", lambda: self.progress().delivered >= before.delivered + len(payments))
        used = {name: seconds - used.get(name, 0.0) for name, seconds in self.fleet.cpu_s().items()}
        with self.fleet.db.reading() as tx:
            done = store.settled(tx, list(payments))
        if len(done) != len(payments):
            raise SystemExit(f"{len(done)} of {len(payments)} payments can be followed")
        return _run(done, used)


def _run(done: Sequence[store.Done], used_s: dict[str, float]) -> Run:
    ends = [max(one.invited_s, one.told_s, one.credited_s) for one in done]
    last = max(one.kept_at.timestamp() + end for one, end in zip(done, ends, strict=True))
    return Run(
        payments=len(done),
        per_second=len(done) / (last - _first(done).timestamp()),
        credited=Delays.of([one.credited_s for one in done]),
        invited=Delays.of([one.invited_s for one in done]),
        told=Delays.of([one.told_s for one in done]),
        all_done=Delays.of(ends),
        cpu_ms={name: 1000 * seconds / len(done) for name, seconds in sorted(used_s.items(), key=lambda item: -item[1])},
    )


def _first(done: Sequence[store.Done]) -> datetime:
    return min(one.kept_at for one in done)


def until(what: str, claim: Callable[[], bool]) -> None:
    """Look until it is so. Raises SystemExit with what was waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(TICK_S)
