"""This is the end of a payout: settled or released, with its accumulations, its books and the word to its owner, in one transaction."""

from __future__ import annotations

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import accumulations, ledger, notices, owners, payouts
from PGP_COMMON.money_machines.payouts import Payout, PayoutRow


def settle(tx: Transaction, payout: PayoutRow, *, source: Payout, paid_out_units: int, tx_hash: str) -> None:
    """The owner has so many base units of his coin, by this transaction. The caller has locked accumulations and payout.

    Raises BrokenRule when the payout is not in the state `source`.
    """
    if not payouts.settle(tx, payout.id, source=source, paid_out_units=paid_out_units, tx_hash=tx_hash):
        raise BrokenRule(f"payout {payout.id} is not {source}")
    accumulations.pay(tx, payout.id)
    notices.tell(tx, "payout_settled", payout.id, owners.notify_chat(tx, payout.owner_id))
    lines = [ledger.debit(ledger.owed(payout.owner_id, "reserved", payout.asset), payout.units), ledger.credit(ledger.in_flight(payout.asset), payout.units)]
    ledger.post(tx, "payout.settle", payout.id, lines)


def release(tx: Transaction, payout: PayoutRow, *, source: Payout, reason: str) -> bool:
    """The money is on the owner's balance again, and he reads why. The caller has locked accumulations and payout.

    False when the payout is not in the state `source` any more.
    """
    if not payouts.release(tx, payout.id, source=source, reason=reason):
        return False
    accumulations.release(tx, payout.id)
    notices.tell(tx, "payout_released", payout.id, owners.notify_chat(tx, payout.owner_id))
    reserved, available = (ledger.owed(payout.owner_id, purse, payout.asset) for purse in ("reserved", "available"))
    ledger.post(tx, "payout.release", payout.id, [ledger.debit(reserved, payout.units), ledger.credit(available, payout.units)])
    return True
