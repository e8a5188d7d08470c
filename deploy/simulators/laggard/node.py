"""The node itself: asks the real one behind it, shows what it would see, and passes transactions on when their time has come."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3
from eth_hash.auto import keccak

from deploy.simulators.books import Books
from deploy.simulators.laggard import view
from deploy.simulators.laggard.view import Json, View

SCHEMA = """
CREATE TABLE IF NOT EXISTS knobs (name TEXT PRIMARY KEY, value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS held (hash TEXT PRIMARY KEY, raw TEXT NOT NULL, due REAL NOT NULL, said TEXT);
CREATE INDEX IF NOT EXISTS held_due ON held (due) WHERE said IS NULL;
"""
# The real node is on this machine; one that says nothing for so long is stopped.
TIMEOUT_S = 8.0
PASS_ON_S = 0.25
LAG, HOLD_S = "lag", "hold_s"


class UpstreamError(Exception):
    """The real node does not answer, or not with JSON."""


class Laggard:
    """One node. Its knobs outlive it: how many blocks it lags behind, and for how many seconds it holds what is sent to it."""

    def __init__(self, books: Books, rpc_url: str, *, lag: int) -> None:
        """Take where it keeps its knobs, the real node, and how many blocks it lags until told otherwise."""
        self.books = books
        self._url, self._usual_lag = rpc_url, lag
        # Lighter than httpx by a millisecond a question, and every one of the fleet's questions is asked here too.
        self._http = urllib3.PoolManager(maxsize=16, timeout=TIMEOUT_S, retries=False)

    def knob(self, name: str) -> float:
        """A knob as it stands."""
        row = self.books.one("SELECT value FROM knobs WHERE name = ?", (name,))
        return float(row["value"]) if row else {LAG: self._usual_lag, HOLD_S: 0.0}[name]

    def turn(self, name: str, value: float) -> None:
        """Set a knob."""
        self.books.run("INSERT OR REPLACE INTO knobs VALUES (?, ?)", (name, value))

    def reset(self) -> None:
        """Be as at the first start; what is held goes on its way."""
        with self.books.write():
            self.books.run("DELETE FROM knobs")
            self.books.run("UPDATE held SET due = 0 WHERE said IS NULL")

    def answer(self, body: object) -> Any:
        """Answer a request or a batch of them; raises UpstreamError."""
        calls = body if isinstance(body, list) else [body]
        seen = self._view(calls)
        found = [self._answer_here(seen, call) for call in calls]
        passed = [(place, call) for place, call in enumerate(found) if "method" in call]
        if passed:
            said = self._ask([call for _, call in passed])
            for (place, call), reply in zip(passed, said, strict=True):
                found[place] = reply if seen is None or "result" not in reply else {**reply, "result": view.answered(seen, call["method"], reply["result"])}
        return found if isinstance(body, list) else found[0]

    def _answer_here(self, seen: View | None, call: Any) -> Json:
        """The reply that this node gives by itself, or the question to pass on (it has a method)."""
        method = view.method_of(call) if isinstance(call, dict) else None
        if method not in view.METHODS:
            return view.failure(call, view.NO_METHOD)
        if method == "eth_sendRawTransaction" and (hold_s := self.knob(HOLD_S)):
            return self._hold(call, hold_s)
        if seen is None:
            return dict(call)
        return view.asked(seen, call) or view.unanswerable(call)

    def _view(self, calls: list[Any]) -> View | None:
        """How far this node sees now; None while it sees everything."""
        lag = int(self.knob(LAG))
        if not lag or all(isinstance(call, dict) and call.get("method") in {"eth_chainId", "eth_sendRawTransaction"} for call in calls):
            return None
        asked = [{"jsonrpc": "2.0", "id": tag, "method": "eth_getBlockByNumber", "params": [tag, False]} for tag in ("latest", "finalized")]
        latest, final = (int(reply["result"]["number"], 16) if reply.get("result") else 0 for reply in self._ask(asked))
        return View.behind(head=latest, finalized=final, lag=lag)

    def _ask(self, calls: list[Json]) -> list[Json]:
        """Ask the real node many things at once; the replies come in the order of the questions."""
        numbered = [{**call, "id": place} for place, call in enumerate(calls)]
        try:
            answer = self._http.request("POST", self._url, body=json.dumps(numbered).encode(), headers={"Content-Type": "application/json"})
            replies = {reply["id"]: reply for reply in json.loads(answer.data)}
            return [{**replies[place], "id": call.get("id")} for place, call in enumerate(calls)]
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError) as error:
            raise UpstreamError(type(error).__name__) from error

    # What is sent through here, and when it is passed on.

    def _hold(self, call: Json, hold_s: float) -> Json:
        """Say that a transaction was taken, and pass it on later."""
        raw = str((call.get("params") or [""])[0])
        try:
            tx_hash = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
        except ValueError:
            return view.failure(call, {"code": -32602, "message": "invalid argument 0: hex string"})
        self.books.run("INSERT OR IGNORE INTO held (hash, raw, due) VALUES (?, ?, ?)", (tx_hash, raw, time.time() + hold_s))
        return {"jsonrpc": "2.0", "id": call.get("id"), "result": tx_hash}

    def pass_on(self) -> int:
        """Send what has been held long enough; gives how many that were."""
        due = self.books.all("SELECT hash, raw FROM held WHERE said IS NULL AND due <= ?", (time.time(),))
        for row in due:
            try:
                (reply,) = self._ask([{"jsonrpc": "2.0", "method": "eth_sendRawTransaction", "params": [row["raw"]]}])
            except UpstreamError:
                return 0
            self.books.run("UPDATE held SET said = ? WHERE hash = ?", (json.dumps(reply.get("error") or reply.get("result")), row["hash"]))
        return len(due)


def open_books(state_dir: Path) -> Books:
    """Open or make the node's books."""
    return Books(state_dir / "laggard.sqlite", SCHEMA)


def carrier(node: Laggard) -> Callable[[threading.Event], None]:
    """Give the worker that passes on what was held."""

    def run(stop: threading.Event) -> None:
        while not stop.wait(PASS_ON_S):
            node.pass_on()

    return run
