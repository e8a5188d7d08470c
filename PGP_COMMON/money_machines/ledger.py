"""The double-entry ledger: accounts by name, one function that posts, and nothing that changes what was posted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule

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


def balance(tx: Transaction, account: Account) -> int:
    """What stands on an account, in base units on its normal side (positive is normal)."""
    found = tx.value("SELECT balance FROM ledger_account WHERE code = :code AND asset = :asset", code=account.code, asset=account.asset)
    units = int(found or 0)
    return units if account.side == "D" else -units
