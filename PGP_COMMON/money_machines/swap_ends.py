"""This is the end of a swap in the books: what did not come back, and what was given up."""

from __future__ import annotations

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import arrivals, ledger, swaps
from PGP_COMMON.money_machines.swaps import SwapRow


def book_cost(tx: Transaction, swap_id: int) -> int:
    """Book once what a refunded swap did not bring back as the platform's cost; gives back how many base units that is."""
    swap = swaps.lock(tx, swap_id)
    missing = swap.from_units - (arrivals.of_swap(tx, swap.id, cause="refund") or 0)
    if missing:
        lines = [ledger.debit(ledger.swap_expense(swap.from_asset), missing), ledger.credit(ledger.in_flight(swap.from_asset), missing)]
        ledger.post(tx, "refund.cost", swap.id, lines)
    return missing


def lose(tx: Transaction, swap: SwapRow, *, reason: str) -> None:
    """Give a swap on hold up: our coins are the platform's loss. The caller has locked it, and whatever is locked before it.

    Raises BrokenRule when the swap is not on hold.
    """
    if not swaps.lose(tx, swap.id, reason=reason):
        raise BrokenRule(f"swap {swap.id} is {swap.state}, not on hold")
    lines = [ledger.debit(ledger.swap_expense(swap.from_asset), swap.from_units), ledger.credit(ledger.in_flight(swap.from_asset), swap.from_units)]
    ledger.post(tx, "swap.lost", swap.id, lines)
