"""A vendor's hot wallet: pays each reference once, whatever is killed and whenever, because a transaction is recorded before it is sent."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import Any

from eth_account import Account

from deploy.simulators.books import Books, Row
from deploy.simulators.chain.node import Node, NodeDownError, NodeError, transfer_data

SCHEMA = """
CREATE TABLE IF NOT EXISTS sends (
    reference TEXT PRIMARY KEY,
    nonce     INTEGER NOT NULL UNIQUE,
    hash      TEXT NOT NULL UNIQUE,
    raw       TEXT NOT NULL,
    token     TEXT,
    recipient TEXT NOT NULL,
    units     TEXT NOT NULL,
    made_at   TEXT NOT NULL
);
"""

GAS_ETH = 21_000
# An ERC-20 transfer to a fresh account costs about 50 000; what is not used is not paid.
GAS_TOKEN = 100_000
TIP_WEI = 10**9
# The cap is far above the base fee, so that a fee storm in a test does not strand the vendor; only base fee and tip are paid.
BASE_FEE_ROOM = 20
LEAST_CAP_WEI = 50 * 10**9


class PurseEmptyError(Exception):
    """The hot wallet does not hold what it should pay."""


class Purse:
    """One account on one chain, its transactions recorded in the books (which need this module's SCHEMA); thread safe."""

    def __init__(self, books: Books, node: Node, key: str) -> None:
        """Take the account's private key in hex."""
        self._books = books
        self._node = node
        self._account = Account.from_key(key)
        self._chain_id: int | None = None

    @property
    def address(self) -> str:
        """The account's address with its checksum."""
        return str(self._account.address)

    def send(self, reference: str, *, to: str, units: int, token: str | None = None) -> str:
        """Pay wei, or units of a token, and give the transaction's hash; the same reference is paid once and gives the same hash.

        Raises PurseEmptyError and NodeDownError: nothing was recorded then, and the same call may be made again.
        """
        row = self._recorded(reference) or self._record(reference, to=to, units=units, token=token)
        self._broadcast(str(row["raw"]))
        return str(row["hash"])

    def push(self) -> int:
        """Send again whatever is recorded and not on the chain (a lost request, a re-organisation); gives how many that were."""
        rows = self._unmined(self._node.nonce(self.address))
        for row in rows:
            self._broadcast(str(row["raw"]))
        return len(rows)

    def _recorded(self, reference: str) -> Row | None:
        return self._books.one("SELECT * FROM sends WHERE reference = ?", (reference,))

    def _unmined(self, nonce: int) -> list[Row]:
        return self._books.all("SELECT * FROM sends WHERE nonce >= ? ORDER BY nonce", (nonce,))

    def _record(self, reference: str, *, to: str, units: int, token: str | None) -> Row:
        if self._chain_id is None:
            self._chain_id = self._node.chain_id()
        base_fee = self._node.base_fee()
        nonce = self._node.nonce(self.address)
        balance = self._node.balance(self.address) if token is None else self._node.token_balance(token, self.address)
        with self._books.write() as connection:
            row = self._recorded(reference)
            if row is not None:
                return row
            waiting = self._unmined(nonce)
            if balance < units + sum(int(other["units"]) for other in waiting if other["token"] == token):
                raise PurseEmptyError(f"{self.address} cannot pay {units} of {token or 'wei'}")
            nonce = waiting[-1]["nonce"] + 1 if waiting else nonce
            tx_hash, raw = self._sign(nonce, base_fee, to=to, units=units, token=token)
            values = (reference, nonce, tx_hash, raw, token, to, str(units), datetime.now(UTC).isoformat())
            connection.execute("INSERT INTO sends VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        return {"hash": tx_hash, "raw": raw}

    def _sign(self, nonce: int, base_fee: int, *, to: str, units: int, token: str | None) -> tuple[str, str]:
        what: dict[str, Any] = {"gas": GAS_ETH, "to": to, "value": units}
        if token is not None:
            what = {"gas": GAS_TOKEN, "to": token, "value": 0, "data": transfer_data(to, units)}
        fees = {"maxPriorityFeePerGas": TIP_WEI, "maxFeePerGas": max(LEAST_CAP_WEI, BASE_FEE_ROOM * base_fee) + TIP_WEI}
        signed = self._account.sign_transaction({"type": 2, "chainId": self._chain_id, "nonce": nonce, **fees, **what})
        return "0x" + bytes(signed.hash).hex(), "0x" + bytes(signed.raw_transaction).hex()

    def _broadcast(self, raw: str) -> None:
        # Refused means already known or already mined; no answer means unknown. Either way push() looks again.
        with contextlib.suppress(NodeError, NodeDownError):
            self._node.call("eth_sendRawTransaction", raw)
