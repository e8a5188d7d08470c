"""The double-entry ledger: accounts by name, one function that posts, and nothing that changes what was posted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines.rows import Row

Purse = Literal["pending", "converting", "available", "reserved"]


@dataclass(frozen=True, slots=True)
class Account:
    """One ledger account: its code, asset and normal side; spending may not take a floored one past zero."""

    code: str
    asset: str
    side: Literal["D", "C"]
    owner_id: int | None = None
    floor: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One posting: debits are positive units, credits negative."""

    account: Account
    units: int


def np_transit(asset: str) -> Account:
    """What NOWPayments has credited us with and not yet sent."""
    return Account("np_transit", asset, "D")


def arrivals(asset: str) -> Account:
    """What has arrived in the wallet and whose cause is not yet known."""
    return Account("arrivals", asset, "C")


def wallet(asset: str) -> Account:
    """What the wallet holds, less what has been signed away; HOSTPAY3 may not sign it below zero."""
    return Account("wallet", asset, "D", floor=True)


def in_flight(asset: str) -> Account:
    """What has been signed away and has neither bought nor settled anything yet."""
    return Account("in_flight", asset, "D")


def owed(owner_id: int, purse: Purse, asset: str) -> Account:
    """What an owner is owed, by how far it has come."""
    return Account(f"owner:{owner_id}:{purse}", asset, "C", owner_id=owner_id, floor=True)


def fee_income(asset: str) -> Account:
    """The platform's fee."""
    return Account("income:fee", asset, "C")


def gas_expense(asset: str = "eth") -> Account:
    """Gas that our transactions burned."""
    return Account("expense:gas", asset, "D")


def swap_expense(asset: str) -> Account:
    """What exchanges and the vendor's withdrawals cost beyond the agreed amounts."""
    return Account("expense:swap", asset, "D")


def loss_expense(asset: str) -> Account:
    """What a payment that was taken back after its conversion costs."""
    return Account("expense:loss", asset, "D")


def suspense(asset: str) -> Account:
    """Money that waits for a person's decision."""
    return Account("suspense", asset, "C")


def equity(asset: str) -> Account:
    """The platform's own deposits."""
    return Account("equity", asset, "C")


def debit(account: Account, units: int) -> Line:
    """A debit line of so many base units."""
    return Line(account, units)


def credit(account: Account, units: int) -> Line:
    """A credit line of so many base units."""
    return Line(account, -units)


def post(tx: Transaction, kind: str, reference: object, lines: Iterable[Line], *, reverses: int | None = None) -> bool:
    """Post one balanced transaction, once for (kind, reference): False when it had been posted before.

    Lines of zero units are left out; an unbalanced set is refused here and again by the database at commit.
    """
    kept = [line for line in lines if line.units]
    if not kept:
        raise BrokenRule(f"{kind} {reference}: nothing to post")
    sums: dict[str, int] = {}
    for line in kept:
        sums[line.account.asset] = sums.get(line.account.asset, 0) + line.units
    if any(sums.values()):
        raise BrokenRule(f"{kind} {reference} does not balance: {sums}")
    rows = [
        {"code": a.code, "asset": a.asset, "side": a.side, "owner": a.owner_id, "floor": a.floor, "units": str(units)}
        for a, units in ((line.account, line.units) for line in kept)
    ]
    posted = tx.value(
        "SELECT ledger_post(:kind, :reference, CAST(:lines AS jsonb), CAST(:reverses AS bigint))",
        kind=kind,
        reference=str(reference),
        lines=json.dumps(rows),
        reverses=reverses,
    )
    return posted is not None


@dataclass(frozen=True)
class Posted(Row):
    """A transaction of the books. `reversed_by`: the correction that took it back, if one did."""

    id: int
    kind: str
    reference: str
    reverses: int | None
    reversed_by: int | None
    actor: str
    at: datetime


def find(tx: Transaction, kind: str, reference: str) -> Posted | None:
    """A transaction of the books, or None."""
    return tx.one(
        Posted,
        """
        SELECT t.id, t.kind, t.reference, t.reverses, (SELECT r.id FROM ledger_tx r WHERE r.reverses = t.id) AS reversed_by, t.actor, t.at
          FROM ledger_tx t WHERE t.kind = :kind AND t.reference = :reference
        """,
        kind=kind,
        reference=reference,
    )


@dataclass(frozen=True)
class Entry(Row):
    """One posting with its account as it is: debits are positive units, `balance` is the account's as the books keep it (credits negative)."""

    tx_id: int
    kind: str
    reference: str
    at: datetime
    code: str
    asset: str
    side: str
    owner_id: int | None
    floor: bool
    units: int
    balance: int

    @property
    def account(self) -> Account:
        """The account that it is on."""
        return Account(self.code, self.asset, "D" if self.side == "D" else "C", owner_id=self.owner_id, floor=self.floor)


def entries(tx: Transaction, *, tx_id: int | None = None, code: str | None = None, asset: str | None = None, limit: int = 100) -> list[Entry]:
    """The postings of one transaction, or of one account (in one asset or in all), the newest first."""
    return tx.all(
        Entry,
        """
        SELECT t.id AS tx_id, t.kind, t.reference, t.at, a.code, a.asset, CAST(a.side AS text) AS side, a.owner_id, a.floor_at_zero AS floor, p.units, a.balance
          FROM ledger_posting p JOIN ledger_tx t ON t.id = p.tx_id JOIN ledger_account a ON a.id = p.account_id
         WHERE (CAST(:tx_id AS bigint) IS NULL OR t.id = CAST(:tx_id AS bigint)) AND (CAST(:code AS text) IS NULL OR a.code = CAST(:code AS text))
           AND (CAST(:asset AS text) IS NULL OR a.asset = CAST(:asset AS text))
         ORDER BY t.id DESC, p.line LIMIT :limit
        """,
        tx_id=tx_id,
        code=code,
        asset=asset,
        limit=limit,
    )


@dataclass(frozen=True)
class Standing(Row):
    """An account and what stands on it, in base units on its normal side."""

    code: str
    asset: str
    decimals: int
    balance: int


def accounts(tx: Transaction) -> list[Standing]:
    """Every account that anything stands on."""
    return tx.all(
        Standing,
        """
        SELECT a.code, a.asset, k.decimals, CASE a.side WHEN 'D' THEN a.balance ELSE -a.balance END AS balance
          FROM ledger_account a JOIN currency_to_network k ON k.asset = a.asset WHERE a.balance <> 0 ORDER BY a.asset, a.code
        """,
    )


def is_posted(tx: Transaction, kind: str, reference: object) -> bool:
    """Whether a transaction of this kind and reference is in the books."""
    return bool(tx.value("SELECT EXISTS (SELECT 1 FROM ledger_tx WHERE kind = :kind AND reference = :reference)", kind=kind, reference=str(reference)))


def lock(tx: Transaction, *accounts: Account) -> None:
    """Lock accounts in the one order (by id), for a transaction that posts more than once: each posting keeps that order only for itself."""
    tx.value(
        """
        SELECT count(*) FROM (SELECT id FROM ledger_account
         WHERE (code, asset) IN (SELECT * FROM unnest(CAST(:codes AS text[]), CAST(:assets AS text[]))) ORDER BY id FOR NO KEY UPDATE) locked
        """,
        codes=[account.code for account in accounts],
        assets=[account.asset for account in accounts],
    )


def balance(tx: Transaction, account: Account) -> int:
    """What stands on an account, in base units on its normal side (positive is normal)."""
    found = tx.value("SELECT balance FROM ledger_account WHERE code = :code AND asset = :asset", code=account.code, asset=account.asset)
    units = int(found or 0)
    return units if account.side == "D" else -units
