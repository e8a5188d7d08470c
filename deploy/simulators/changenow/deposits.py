"""Sees money that comes to the pay-in addresses on the local chain, and takes back what a re-organisation undid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.simulators.books import Row
from deploy.simulators.chain.node import Node
from deploy.simulators.changenow import store
from deploy.simulators.changenow.store import Vendor

# How far a re-organisation is looked for; a local chain never goes back further.
DEPTH = 12
# Blocks read before the place is noted, so that a long absence is caught up step by step.
STRIDE = 200
NATIVE = -1


class Watcher:
    """Reads the chain block by block and writes every deposit into the books, once."""

    def __init__(self, vendor: Vendor, node: Node) -> None:
        """Take the chain to watch."""
        self._vendor = vendor
        self._node = node

    def look(self) -> list[Row]:
        """Read what is new on the chain; gives the deposits that have become certain."""
        head = self._node.head()
        first = self._first(head)
        while first <= head:
            last = min(first + STRIDE - 1, head)
            self._scan(first, last)
            first = last + 1
        return self._certain(head)

    def _first(self, head: int) -> int:
        """Tell where to go on: after the last block read, or further back when that block is gone."""
        row = self._vendor.books.one("SELECT block, hash FROM scanned")
        if row is None:
            # Nothing was ever read. Without exchanges nothing can have come; with some, stopped right after they were made, it may
            # have come at any time since.
            known = self._vendor.books.one("SELECT 1 FROM exchanges") is not None
            return 0 if known else max(head - DEPTH, 0)
        last = int(row["block"])
        block = self._node.block(last) if last <= head else None
        if block is not None and block["hash"] == row["hash"]:
            return last + 1
        return max(min(last, head) - DEPTH, 0)

    def _scan(self, first: int, last: int) -> None:
        blocks = [block for number in range(first, last + 1) if (block := self._node.block(number)) is not None]
        times = {int(block["number"], 16): int(block["timestamp"], 16) for block in blocks}
        found = [*_native(blocks), *self._tokens(first, last)]
        with self._vendor.books.write():
            for deposit in found:
                self._write({**deposit, "block_time": times.get(deposit["block"], 0)})
            if blocks:
                self._vendor.books.run("INSERT OR REPLACE INTO scanned VALUES (1, ?, ?)", (last, blocks[-1]["hash"]))

    def _tokens(self, first: int, last: int) -> Iterator[Row]:
        if self._vendor.terms.token is None:
            return
        places: dict[str, int] = {}
        for log in self._node.transfers(self._vendor.terms.token, first, last):
            # The place among the transaction's own transfers; the node's logIndex changes when the block does.
            place = places[log["transactionHash"]] = places.get(log["transactionHash"], -1) + 1
            yield {
                "tx_hash": log["transactionHash"],
                "log_index": place,
                "asset": "usdt:eth",
                "units": str(int(log["data"], 16)),
                "sender": "0x" + log["topics"][1][26:],
                "receiver": "0x" + log["topics"][2][26:],
                "block": int(log["blockNumber"], 16),
            }

    def _write(self, found: Row) -> None:
        exchange = self._vendor.books.one("SELECT * FROM exchanges WHERE payin_address = ?", (found["receiver"],))
        if exchange is None:
            return
        row = {**found, "exchange_id": exchange["id"], "seen_at": store.iso(store.now_ms())}
        self._vendor.books.run(
            """INSERT INTO deposits (tx_hash, log_index, exchange_id, asset, units, sender, block, block_time, state, seen_at)
               VALUES (:tx_hash, :log_index, :exchange_id, :asset, :units, :sender, :block, :block_time, 'seen', :seen_at)
               ON CONFLICT (tx_hash, log_index) DO UPDATE
                  SET block = excluded.block, block_time = excluded.block_time,
                      state = CASE state WHEN 'gone' THEN 'seen' ELSE state END""",
            row,
        )
        if exchange["status"] == "waiting":
            values = {"status": "confirming", "payin_hash": row["tx_hash"], "deposit_received_at": row["seen_at"]}
            store.change(self._vendor.books, exchange["id"], **values)

    def _certain(self, head: int) -> list[Row]:
        """Give the deposits that are deep enough and still there; forget those that are not."""
        books = self._vendor.books
        deep = head - self._vendor.terms.confirmations + 1
        certain = []
        for deposit in books.all("SELECT * FROM deposits WHERE state = 'seen' AND block <= ? ORDER BY block, log_index", (deep,)):
            receipt = self._node.receipt(deposit["tx_hash"])
            if receipt is None or receipt["status"] != "0x1":
                self._forget(deposit)
            elif int(receipt["blockNumber"], 16) <= deep:
                certain.append(deposit)
        return certain

    def _forget(self, deposit: Row) -> None:
        books = self._vendor.books
        with books.write():
            books.run("UPDATE deposits SET state = 'gone' WHERE tx_hash = ? AND log_index = ?", (deposit["tx_hash"], deposit["log_index"]))
            exchange = store.exchange(books, deposit["exchange_id"]) or {}
            if exchange["status"] == "confirming" and exchange["payin_hash"] == deposit["tx_hash"]:
                store.change(books, exchange["id"], status="waiting", payin_hash=None, deposit_received_at=None)


def _native(blocks: list[dict[str, Any]]) -> Iterator[Row]:
    for block in blocks:
        for sent in block["transactions"]:
            if sent["to"] and int(sent["value"], 16):
                yield {
                    "tx_hash": sent["hash"],
                    "log_index": NATIVE,
                    "asset": "eth:eth",
                    "units": str(int(sent["value"], 16)),
                    "sender": sent["from"],
                    "receiver": sent["to"],
                    "block": int(block["number"], 16),
                }
