"""Watches a signed transfer until it is final: the same bytes until they are mined, dearer ones when they are not, never another nonce."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Fees, Outcome, Receipt
from PGP_COMMON.clients.ethereum_signing import sign_transfer
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Next, bury
from PGP_COMMON.engine import Outcome as Result
from PGP_COMMON.money_machines import ledger, transfers, wallet
from PGP_COMMON.money_machines.transfers import AttemptRow, FillRow, Transfer, TransferRow
from PGP_COMMON.money_machines.wallet import GAS
from PGP_HOSTPAY_v1 import fence, signing, watching
from PGP_HOSTPAY_v1.hostpay3_executor.steps import Clients, WalletKey, check_ownership, keep, wallet_key
from PGP_HOSTPAY_v1.signing import Bid
from PGP_HOSTPAY_v1.watching import Attempt, Decision, Facts, Watched

# After an operator's turn has come nothing is urgent any more.
OPERATOR_WAIT_S: Final = 60
# States in which the watch has nothing to do.
OVER: Final = frozenset({Transfer.REQUESTED, Transfer.CANCELLED, Transfer.FINAL, Transfer.FAILED_ONCHAIN})
UNASKED: Final = Fees(0, 0)


def look(job: Job[Clients]) -> Commit:
    """Look at the chain, send the newest bytes if they are nowhere, and do the one next thing that follows."""
    with job.db.reading() as tx:
        transfer = transfers.get(tx, job.id)
        if transfer.state in OVER:
            return lambda _tx: Done(f"the transfer is {transfer.state}")
        attempts = transfers.attempts(tx, transfer.id)
        # Only while it is given up: one that was resumed has its nonce for itself, and one that was adopted may have that of a fill.
        is_given_up = transfer.state == Transfer.SUPERSEDED
        fills = transfers.fills(tx, wallet_id=transfer.wallet_id, nonce=int(transfer.nonce or 0)) if is_given_up else []
    watched = _watched(transfer, fills, token=job.config.text("USDT_CONTRACT"))
    tried = [Attempt(row.tx_hash, row.gas_limit, Bid(row.max_fee_wei, row.max_priority_wei), row.created_at) for row in attempts]
    facts = _facts(job.clients.chain, [*(row.tx_hash for row in attempts), *watched.fills])
    decision = watching.decide(watched, tried, facts, transfer.now)
    if isinstance(decision, watching.Send):
        newest: AttemptRow | FillRow = fills[-1] if fills else attempts[-1]
        # Of a transaction that took the nonce by itself no bytes are kept: there is nothing to send.
        if newest.raw:
            facts = _sent(job.clients.chain, transfer, facts, newest.raw)
            decision = watching.decide(watched, tried, facts, transfer.now)
    if isinstance(decision, watching.SendPredecessors):
        _send_predecessors(job)
    key = wallet_key(job.config) if isinstance(decision, watching.Bump) else None
    return partial(_record, job, seen=transfer, attempts=attempts, decision=decision, key=key)


def _watched(transfer: TransferRow, fills: Sequence[FillRow], *, token: str) -> Watched:
    return Watched(
        state=transfer.state,
        sender=transfer.sender,
        token=None if transfer.asset == GAS else token,
        recipient=transfer.recipient,
        units=transfer.units,
        nonce=int(transfer.nonce or 0),
        max_total_fee_wei=int(transfer.max_total_fee_wei or 0),
        missing=transfer.missing,
        mined_hash=transfer.mined_hash,
        mined_block_hash=transfer.mined_block_hash,
        fills=tuple(fill.tx_hash for fill in fills),
    )


def _facts(chain: Ethereum, hashes: Sequence[str]) -> Facts:
    """Where the attempts are: a receipt counts only if its block is really on the chain."""
    receipts = chain.receipts(hashes)
    blocks = {(receipt.block_number, receipt.block_hash) for receipt in receipts.by_hash.values()}
    on_chain = frozenset(block_hash for number, block_hash in sorted(blocks) if chain.has_block(number=number, block_hash=block_hash))
    finalized = chain.finalized() if on_chain else 0
    return Facts(receipts, on_chain, finalized=finalized, nonce_latest=0, nonce_finalized=0, fees=UNASKED)


def _sent(chain: Ethereum, transfer: TransferRow, facts: Facts, raw: bytes) -> Facts:
    """Give stored bytes to the nodes, and ask for what their answer makes needful."""
    sending = chain.send_raw(raw).outcome
    if sending is Outcome.NONCE_TOO_LOW:
        return replace(facts, sending=sending, nonce_finalized=chain.nonce(transfer.sender, block="finalized"))
    return replace(facts, sending=sending, nonce_latest=chain.nonce(transfer.sender), fees=chain.fees())


def _send_predecessors(job: Job[Clients]) -> None:
    with job.db.reading() as tx:
        before = transfers.newest_before(tx, job.id)
    for attempt in before:
        job.clients.chain.send_raw(attempt.raw)


# --- what follows


def _record(job: Job[Clients], tx: Transaction, *, seen: TransferRow, attempts: Sequence[AttemptRow], decision: Decision, key: WalletKey | None) -> Result:
    """Write the decision down, if the transfer still is as it was when the decision was made. `key` is there if it signs."""
    transfer = transfers.lock(tx, seen.id)
    if (transfer.state, transfer.missing, transfer.mined_block_hash) != (seen.state, seen.missing, seen.mined_block_hash):
        return Later(1, "somebody else moved it")
    again = Later(job.config.integer("CHAIN_POLL_S"), getattr(decision, "reason", ""))
    match decision:
        case watching.Bump(bid):
            assert key is not None
            return _bump(job, tx, transfer, attempts[-1], bid, key=key)
        case watching.Ended(receipt, done):
            return _end(tx, transfer, receipt, done=done)
        case watching.Filled(receipt):
            return _end_filled(tx, transfer, receipt)
        case watching.Freeze(reason, stuck):
            _freeze(tx, transfer, reason, stuck=stuck)
            return Later(OPERATOR_WAIT_S, reason)
        case watching.Wait(reason, alert) if alert:
            bury(tx, source="transfer.watch", subject=str(transfer.id), reason=reason[:100], detail={"nonce": transfer.nonce, "state": transfer.state})
        case _:
            RECORDERS.get(type(decision), _nothing)(tx, transfer, decision)
    return again


def _nothing(_tx: Transaction, _transfer: TransferRow, _decision: Any) -> None:
    pass


def _in_pool(tx: Transaction, transfer: TransferRow, _decision: Any) -> None:
    transfers.broadcast(tx, transfer.id)


def _mined(tx: Transaction, transfer: TransferRow, decision: watching.Mined) -> None:
    receipt = decision.receipt
    # A transfer may be in a block before anybody noted that it was in a pool.
    transfers.broadcast(tx, transfer.id)
    transfers.mine(tx, transfer.id, tx_hash=receipt.tx_hash, block=receipt.block_number, block_hash=receipt.block_hash)


def _taken_back(tx: Transaction, transfer: TransferRow, _decision: Any) -> None:
    transfers.take_back(tx, transfer.id)


def _count(tx: Transaction, transfer: TransferRow, _decision: Any) -> None:
    transfers.count_missing(tx, transfer.id, looks=transfer.missing + 1)


def _forget(tx: Transaction, transfer: TransferRow, _decision: Any) -> None:
    transfers.count_missing(tx, transfer.id, looks=0)


RECORDERS: Final[dict[type, Callable[[Transaction, TransferRow, Any], None]]] = {
    watching.InPool: _in_pool,
    watching.Mined: _mined,
    watching.TakenBack: _taken_back,
    watching.Count: _count,
    watching.StillThere: _forget,
}


def _bump(job: Job[Clients], tx: Transaction, transfer: TransferRow, last: AttemptRow, bid: Bid, *, key: WalletKey) -> Result:
    """Sign the same transfer with higher fees and keep it; the next look sends it. A frozen wallet signs nothing, not even this."""
    held = wallet.lock(tx, transfer.wallet_id)
    if held is None or held.frozen_reason is not None or wallet.is_switched_off(tx):
        return Later(OPERATOR_WAIT_S, "nothing may be signed")
    check_ownership(job.config, transfer, key)
    call = job.clients.chain.call_for(transfer.asset, recipient=transfer.recipient, units=transfer.units)
    fields = signing.fields(call, chain_id=held.chain_id, nonce=int(transfer.nonce or 0), gas=last.gas_limit, bid=bid)
    keep(tx, transfer, sign_transfer(key.text, fields), gas=last.gas_limit, bid=bid)
    return Next("start")


def _end(tx: Transaction, transfer: TransferRow, receipt: Receipt, *, done: bool) -> Result:
    """Close the transfer and book what it burned; HOSTPAY1 closes what it was for."""
    end = transfers.finish if done else transfers.fail
    end(tx, transfer.id, gas_wei=receipt.gas_used * receipt.gas_price_wei)
    tx.send("transfer.ended", transfer.id)
    _book_gas(tx, receipt)
    return Done("final" if done else "failed on chain")


def _end_filled(tx: Transaction, transfer: TransferRow, receipt: Receipt) -> Result:
    """An operator's own transaction has the nonce for ever: none of the attempts can move anything any more."""
    tx.send("transfer.ended", transfer.id)
    _book_gas(tx, receipt)
    return Done("superseded")


def _book_gas(tx: Transaction, receipt: Receipt) -> None:
    burned = receipt.gas_used * receipt.gas_price_wei
    if burned:
        ledger.post(tx, "transfer.gas", receipt.tx_hash, [ledger.debit(ledger.gas_expense(GAS), burned), ledger.credit(ledger.wallet(GAS), burned)])


def _freeze(tx: Transaction, transfer: TransferRow, reason: str, *, stuck: bool) -> None:
    if stuck:
        transfers.stick(tx, transfer.id, reason=reason)
    held = wallet.lock(tx, transfer.wallet_id)
    if held is not None:
        detail: dict[str, object] = {"transfer": transfer.id, "nonce": transfer.nonce}
        if stuck:
            detail["next"] = "`pgp transfer resume` if the nonce is its own after all, else `pgp wallet fill`; then `pgp wallet unfreeze`"
        fence.freeze(tx, held, reason=reason, detail=detail)
