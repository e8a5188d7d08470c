"""Delivers NOWPayments' callbacks: signed, in order, repeated as the merchant's settings say, and misbehaving when told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import urllib3

from deploy.simulators.books import Row
from deploy.simulators.desk import Desk, Fault, Mode
from deploy.simulators.nowpayments import signing, store
from deploy.simulators.nowpayments.store import Vendor

# The merchant's endpoint must answer within 3000 ms (the vendor's help page on IPNs).
ANSWER_S = 3.0
POLL_S = 0.25
LANES = 16
BATCH = 64
# How far apart reordered callbacks are let go, the first one last.
REORDER_STEP_S = 0.2


class Courier:
    """Sends what is due; at most one callback of a payment is on its way, so that they set out in order."""

    def __init__(self, vendor: Vendor, desk: Desk) -> None:
        """Take the books to work from and the desk whose faults for "ipn" hold."""
        self._vendor = vendor
        self._desk = desk
        # Lighter than httpx by a millisecond a callback, which counts when a load test sends a hundred a second.
        self._http = urllib3.PoolManager(maxsize=LANES, timeout=ANSWER_S, retries=False)
        self._lanes = ThreadPoolExecutor(LANES, thread_name_prefix="ipn")
        self._busy: set[int] = set()
        self._busy_payments: set[int] = set()
        self._held_back = False
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop."""
        while not stop.is_set():
            self._vendor.ipn_bell.wait(POLL_S)
            self._vendor.ipn_bell.clear()
            self._send_due()
        self._lanes.shutdown(wait=False, cancel_futures=True)

    def _send_due(self) -> None:
        """Hand what is due to free lanes."""
        due = self._vendor.books.all("SELECT * FROM ipns WHERE state = 'due' AND next_at <= ? ORDER BY next_at, id LIMIT ?", (time.time(), BATCH))
        for ipn in due:
            if self._take(ipn):
                self._lanes.submit(self._deliver, ipn, self._desk.take("ipn"))

    def _take(self, ipn: Row) -> bool:
        with self._lock:
            if ipn["id"] in self._busy:
                return False
            if len(self._busy) >= LANES or ipn["payment_id"] in self._busy_payments:
                self._held_back = True
                return False
            # It may have been delivered between the query and now.
            row = self._vendor.books.one("SELECT next_at FROM ipns WHERE id = ? AND state = 'due'", (ipn["id"],))
            if row is None or row["next_at"] > time.time():
                return False
            self._busy.add(ipn["id"])
            if ipn["payment_id"] is not None:
                self._busy_payments.add(ipn["payment_id"])
            return True

    def _deliver(self, ipn: Row, fault: Fault | None) -> None:
        try:
            self._attempt(ipn, fault)
        finally:
            with self._lock:
                self._busy.discard(ipn["id"])
                self._busy_payments.discard(ipn["payment_id"])
                waiting, self._held_back = self._held_back, False
            if waiting:
                self._vendor.ipn_bell.set()

    def _attempt(self, ipn: Row, fault: Fault | None) -> None:
        mode = fault.mode if fault else None
        if fault is not None and mode in {Mode.REORDER, Mode.DELAY}:
            self._put_off(ipn, fault)
        elif fault is not None and mode is Mode.STATUS:
            self._record(ipn, int(fault.detail()["status"]), "not sent: a fault answered", 0)
        elif mode is Mode.TIMEOUT:
            self._record(ipn, None, "not sent: a fault", 0)
        elif fault is not None and mode is Mode.DUPLICATE:
            self._send_many(ipn, int(fault.value or 2))
        else:
            self._send(ipn, heard=mode is not Mode.LOST_ANSWER)

    def _send_many(self, ipn: Row, times: int) -> None:
        others = [threading.Thread(target=self._post, args=(ipn,), daemon=True) for _ in range(times - 1)]
        for other in others:
            other.start()
        self._send(ipn, heard=True)

    def _send(self, ipn: Row, *, heard: bool) -> None:
        started = time.monotonic()
        answer, trouble = self._post(ipn)
        took_ms = int((time.monotonic() - started) * 1000)
        if heard:
            self._record(ipn, answer, trouble, took_ms)
        else:
            self._record(ipn, None, f"the answer {answer} was lost", took_ms)

    def _post(self, ipn: Row) -> tuple[int | None, str | None]:
        body = bytes(ipn["body"])
        headers = {"Content-Type": "application/json", "x-nowpayments-sig": signing.sign(body, self._vendor.account.ipn_secret)}
        try:
            return self._http.request("POST", ipn["url"], body=body, headers=headers, redirect=False).status, None
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            return None, type(error).__name__

    def _put_off(self, ipn: Row, fault: Fault) -> None:
        wait_s = fault.seconds(1)
        if fault.mode is Mode.REORDER:
            wait_s = fault.seconds(REORDER_STEP_S) * (1 + (8 - ipn["id"] % 8 if fault.times is None else fault.times))
        self._vendor.books.run("UPDATE ipns SET next_at = ? WHERE id = ?", (time.time() + wait_s, ipn["id"]))

    def _record(self, ipn: Row, answer: int | None, trouble: str | None, took_ms: int) -> None:
        account, books = self._vendor.account, self._vendor.books
        delivered = answer is not None and 200 <= answer < 300
        attempts = ipn["attempts"] + 1
        state = "delivered" if delivered else "due" if attempts <= account.ipn_repeats else "given up"
        with books.write():
            books.run("INSERT INTO ipn_attempts VALUES (?, ?, ?, ?, ?)", (ipn["id"], store.now_iso(), took_ms, answer, trouble))
            books.run(
                "UPDATE ipns SET state = ?, attempts = ?, next_at = ? WHERE id = ?",
                (state, attempts, time.time() + account.ipn_interval_s, ipn["id"]),
            )


def courier(vendor: Vendor, desk: Desk) -> Callable[[threading.Event], None]:
    """Give the worker that delivers callbacks."""
    return Courier(vendor, desk).run
