"""What a person does about a transfer: let a stuck one go on, or take back what he asked for himself before it is signed."""

from __future__ import annotations

from typing import Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import Conflict
from PGP_COMMON.money_machines import audit, dead_letters, listings, transfers
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.money_machines.transfers import Transfer, TransferRow

# Only what a person asks for himself: the rest is part of a payout or a conversion.
OWN: Final = frozenset({"treasury", "refund"})


def resume(tx: Transaction, transfer_id: int, act: Act, *, is_mined: bool, is_free: bool) -> TransferRow:
    """Let a stuck transfer go on with the bytes that are kept; gives back the transfer as it was.

    `is_mined`: the chain has one of its attempts. `is_free`: the chain has nothing with its nonce yet. A superseded one goes on only when it was
    mined after all, and its end is not in the books. Raises Conflict otherwise: another transaction has its nonce.
    """
    transfer = transfers.lock(tx, transfer_id)
    if transfer.state not in (Transfer.STUCK, Transfer.SUPERSEDED):
        raise Conflict(f"transfer {transfer.id} is {transfer.state}: only a stuck one is resumed")
    if listings.is_over(tx, transfer.id):
        raise Conflict(f"transfer {transfer.id} is over: the transaction that took its nonce is final")
    if not is_mined and not (is_free and transfer.state == Transfer.STUCK):
        raise Conflict(f"the chain has none of its attempts, and its nonce {transfer.nonce} is used: `pgp wallet fill {transfer.id} --taken-by`")
    transfers.resume(tx, transfer.id)
    before = {"state": transfer.state, "reason": transfer.reason}
    audit.note(tx, act, "transfer.resume", f"transfer {transfer.id}", before=before, after={"state": "broadcast", "mined": is_mined})
    dead_letters.answer(tx, act, ("transfer.watch", transfer.id), but_dead=True)
    return transfer


def cancel(tx: Transaction, transfer_id: int, act: Act) -> TransferRow:
    """Take back a withdrawal or a refund that is not signed; gives back the transfer as it was. Raises Conflict for any other."""
    transfer = transfers.lock(tx, transfer_id)
    if transfer.purpose not in OWN:
        raise Conflict(f"transfer {transfer.id} is for a {transfer.purpose}: it is not taken back by itself; `pgp pause sign` stops it")
    if not transfers.cancel(tx, transfer.id, reason=act.reason[:200]):
        raise Conflict(f"transfer {transfer.id} is {transfer.state}: what is signed may always be mined")
    tx.send("transfer.ended", transfer.id)
    audit.note(tx, act, "transfer.cancel", f"transfer {transfer.id}", before={"state": transfer.state}, after={"state": "cancelled"})
    return transfer
