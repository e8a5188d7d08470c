"""The life of an exchange at ChangeNOW: what a deposit means for it, then step by step to the payout or the refund."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from decimal import Decimal

from deploy.simulators.books import Row
from deploy.simulators.chain.node import Node, NodeDownError, NodeError
from deploy.simulators.chain.purse import Purse, PurseEmptyError
from deploy.simulators.changenow import pricing, store
from deploy.simulators.changenow.deposits import Watcher
from deploy.simulators.changenow.reading import RefusedError
from deploy.simulators.changenow.store import Vendor
from deploy.simulators.market import BY_KEY, Coin

# What the vendor can really pay on the local chain.
ON_CHAIN = frozenset({"eth:eth", "usdt:eth"})


class Clerk:
    """Moves every exchange on; one thread."""

    def __init__(self, vendor: Vendor, node: Node | None, purse: Purse | None) -> None:
        """Take the chain and the hot wallet; without them nothing is seen and every payout is invented."""
        self._vendor = vendor
        self._node = node
        self._purse = purse
        self._watcher = Watcher(vendor, node) if node else None

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        while not stop.wait(self._vendor.terms.poll_s):
            try:
                self.round()
            except (NodeDownError, NodeError, PurseEmptyError) as error:
                # Everything due stays due; the next round tries again.
                print(f"exchanges wait: {error}", file=sys.stderr, flush=True)

    def round(self) -> None:
        """Look at the chain once, decide about what came, and take every step that is due."""
        with self._vendor.moving:
            for deposit in self._watcher.look() if self._watcher else ():
                decide(self._vendor, deposit)
            let_expire(self._vendor)
            due = "SELECT * FROM exchanges WHERE next_at <= ? AND held = 0 ORDER BY next_at"
            for exchange in self._vendor.books.all(due, (time.time(),)):
                self._step(exchange)
            if self._purse:
                self._purse.push()

    def _step(self, exchange: Row) -> None:
        books, later = self._vendor.books, time.time() + self._vendor.terms.step_s
        match exchange["next_step"]:
            case "send":
                store.change(books, exchange["id"], status="sending", next_step="pay", next_at=later)
            case "pay":
                amount = Decimal(exchange["amount_to"] or exchange["to_amount"])
                tx_hash = self._pay(exchange, "payout", BY_KEY[exchange["target"]], amount)
                values = {"amount_to": format(amount, "f"), "payout_hash": tx_hash}
                store.change(books, exchange["id"], **values, next_step="finish", next_at=later)
            case "refund":
                deposit = store.first_deposit(books, exchange["id"]) or {}
                amount = Decimal(exchange["refund_amount"] or refundable(self._vendor, deposit))
                tx_hash = self._pay(exchange, "refund", BY_KEY[deposit["asset"]], amount)
                values = {"refund_amount": format(amount, "f"), "refund_hash": tx_hash}
                store.change(books, exchange["id"], **values, next_step="close", next_at=later)
            case "finish" if self._mined(exchange["payout_hash"]):
                store.change(books, exchange["id"], status="finished", next_step=None, next_at=None)
            case "close" if self._mined(exchange["refund_hash"]):
                store.change(books, exchange["id"], status="refunded", next_step=None, next_at=None)

    def _pay(self, exchange: Row, kind: str, coin: Coin, amount: Decimal) -> str:
        """Pay out or back, once; the hash of what was not paid on the local chain is invented, and stays the same."""
        books = self._vendor.books
        done = books.one("SELECT hash FROM payouts WHERE exchange_id = ? AND kind = ?", (exchange["id"], kind))
        if done is not None:
            return str(done["hash"])
        to, extra_id = exchange[f"{kind}_address"], exchange[f"{kind}_extra_id"]
        on_chain = self._purse is not None and coin.key in ON_CHAIN
        if self._purse is not None and on_chain:
            token = self._vendor.terms.token if coin.key == "usdt:eth" else None
            tx_hash = self._purse.send(f"{kind}:{exchange['id']}", to=to, units=units(amount, coin), token=token)
        else:
            tx_hash = secrets.token_hex(32)
        row = {
            "exchange_id": exchange["id"],
            "kind": kind,
            "asset": coin.key,
            "amount": format(amount, "f"),
            "address": to,
            "extra_id": extra_id,
            "hash": tx_hash,
            "on_chain": on_chain,
            "made_at": store.iso(store.now_ms()),
        }
        store.insert(books, "payouts", row)
        return tx_hash

    def _mined(self, tx_hash: str) -> bool:
        if self._node is None or not tx_hash.startswith("0x"):
            return True
        receipt = self._node.receipt(tx_hash)
        return receipt is not None and receipt["status"] == "0x1"


def decide(vendor: Vendor, deposit: Row) -> None:
    """Write down what a certain deposit means: the swap goes on, the money goes back, or it is kept as paid once too often."""
    books, key = vendor.books, (deposit["tx_hash"], deposit["log_index"])
    with books.write():
        exchange = store.exchange(books, deposit["exchange_id"]) or {}
        first = store.first_deposit(books, exchange["id"]) is None
        verdict = judge(vendor, exchange, deposit) if first else "extra"
        books.run("UPDATE deposits SET state = 'confirmed', verdict = ? WHERE tx_hash = ? AND log_index = ?", (verdict, *key))
        if not first:
            return
        received = {"amount_from": format(amount_of(deposit), "f"), "payin_hash": deposit["tx_hash"]}
        received |= {"deposit_received_at": deposit["seen_at"]}
        if verdict == "taken":
            amount_to = swapped(vendor, exchange, amount_of(deposit))
            _go_on(vendor, exchange, "exchanging", "send", **received, amount_to=format(amount_to, "f"))
        elif exchange["refund_address"]:
            _go_on(vendor, exchange, "exchanging", "refund", **received)
        else:
            _go_on(vendor, exchange, "failed", None, **received)


def judge(vendor: Vendor, exchange: Row, deposit: Row) -> str:
    """Tell whether a first deposit is taken, or why not."""
    amount, now_ms = amount_of(deposit), store.now_ms()
    came_ms = min(deposit["block_time"] * 1000, now_ms)
    if deposit["asset"] != exchange["source"]:
        return "wrong asset"
    if exchange["status"] == "expired" or (exchange["flow"] == "fixed-rate" and came_ms > exchange["valid_until_ms"]):
        return "late"
    if exchange["flow"] == "fixed-rate":
        return "taken" if amount == Decimal(exchange["from_amount"]) else "wrong amount"
    return "taken" if amount >= pricing.least(vendor, BY_KEY[exchange["source"]]) else "too small"


def swapped(vendor: Vendor, exchange: Row, amount: Decimal) -> Decimal:
    """Give what a deposit becomes: what was promised at a fixed rate, otherwise what it is worth now."""
    promised = Decimal(exchange["to_amount"])
    if exchange["flow"] == "fixed-rate":
        return promised
    try:
        now = pricing.price(vendor, BY_KEY[exchange["source"]], BY_KEY[exchange["target"]], from_amount=amount, to_amount=None)
    except RefusedError:
        # The pair was switched off after the exchange was made: the vendor keeps to its estimate.
        return promised
    return now.to_amount


def _go_on(vendor: Vendor, exchange: Row, status: str, step: str | None, **values: str) -> None:
    # A status that was forced through the control door stays until it is forced on.
    shown = exchange["status"] if exchange["held"] else status
    due = time.time() + vendor.terms.step_s if step else None
    store.change(vendor.books, exchange["id"], status=shown, next_step=step, next_at=due, **values)


def let_expire(vendor: Vendor) -> None:
    """Give up waiting for deposits that have not come."""
    old = store.now_ms() - int(vendor.terms.expire_after_s * 1000)
    vendor.books.run(
        """UPDATE exchanges SET status = 'expired', updated_at_ms = ?
            WHERE status = 'waiting' AND held = 0 AND created_at_ms < ? AND coalesce(valid_until_ms, created_at_ms) < ?""",
        (store.now_ms(), old, old),
    )


def refundable(vendor: Vendor, deposit: Row) -> Decimal:
    """Give what goes back of a deposit: all of it less the vendor's refund fee."""
    coin = BY_KEY[deposit["asset"]]
    kept = int(int(deposit["units"]) * vendor.terms.refund_fee_percent / 100)
    return Decimal(int(deposit["units"]) - kept).scaleb(-coin.decimals)


def amount_of(deposit: Row) -> Decimal:
    """Give a deposit in whole coins, exactly."""
    return Decimal(deposit["units"]).scaleb(-BY_KEY[deposit["asset"]].decimals)


def units(amount: Decimal, coin: Coin) -> int:
    """Give an amount in the coin's base units."""
    return int(amount.scaleb(coin.decimals))
