"""Finds what a transaction brought into our wallet, once its block is final, and why it came."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Receipt
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Next, Outcome, bury
from PGP_COMMON.errors import BadInput
from PGP_COMMON.money_machines import arrivals
from PGP_COMMON.money_machines.wallet import FUNDING, GAS
from PGP_HOSTPAY_v1.hostpay2_status_checker.steps import HASH, Clients, our_wallet

# A final transaction that brought nothing stays so; an hour between looks is for the vendor to correct itself.
NOTHING_WAIT_S: Final = 3600
NO_WALLET_WAIT_S: Final = 60


@dataclass(frozen=True, slots=True)
class Coming:
    """So many base units of an asset in one transaction: a token's event, or ETH itself (`native`)."""

    asset: str
    units: int
    log: str
    sender: str


def find_arrivals(job: Job[Clients]) -> Commit:
    """Read the transaction from the chain and book what it brought, from a final block only."""
    tx_hash = job.subject
    if not HASH.fullmatch(tx_hash):
        raise BadInput("not a transaction's hash")
    with job.db.reading() as tx:
        wallet = our_wallet(job, tx)
    if wallet is None:
        return lambda _tx: Later(NO_WALLET_WAIT_S, "no wallet is open")
    receipt = _final_receipt(job.clients.chain, tx_hash)
    if receipt is None:
        return partial(_wait, tx_hash=tx_hash, wait_s=job.config.integer("ARRIVAL_POLL_S"), reason="not_final")
    coming = _coming(job.clients.chain, receipt, wallet=wallet.address, token=job.config.text("USDT_CONTRACT"))
    if not coming:
        reason = "brought_nothing" if receipt.succeeded else "failed_on_chain"
        return partial(_wait, tx_hash=tx_hash, wait_s=NOTHING_WAIT_S, reason=reason)

    def book(tx: Transaction) -> Outcome:
        for one in coming:
            arrivals.book(
                tx,
                wallet_id=wallet.id,
                asset=one.asset,
                units=one.units,
                tx_hash=tx_hash,
                log=one.log,
                block=receipt.block_number,
                sender=one.sender,
            )
        return Next("match")

    return book


def _final_receipt(chain: Ethereum, tx_hash: str) -> Receipt | None:
    receipt = chain.receipts([tx_hash]).by_hash.get(tx_hash)
    if receipt is None or receipt.block_number > chain.finalized():
        return None
    return receipt if chain.has_block(number=receipt.block_number, block_hash=receipt.block_hash) else None


def _coming(chain: Ethereum, receipt: Receipt, *, wallet: str, token: str) -> list[Coming]:
    """What a transaction brought: the token's events, and ETH that it carried itself. What a contract passed on is not seen here."""
    if not receipt.succeeded:
        return []
    ours = wallet.lower()
    found = [
        Coming(FUNDING, event.units, str(event.log_index), event.sender)
        for event in receipt.transfers
        if event.token.lower() == token.lower() and event.recipient.lower() == ours and event.sender.lower() != ours and event.units
    ]
    transaction = chain.transaction(receipt.tx_hash)
    if transaction is not None and (transaction.recipient or "").lower() == ours and transaction.sender.lower() != ours and transaction.value_wei:
        found.append(Coming(GAS, transaction.value_wei, arrivals.NATIVE, transaction.sender))
    return found


def _wait(tx: Transaction, *, tx_hash: str, wait_s: int, reason: str) -> Outcome:
    """Look again; after a day a person does."""
    if arrivals.waits_since_a_day(tx, tx_hash):
        return Dead(reason, {"tx": tx_hash, "next": "look at the transaction; an internal transfer shows as a balance difference"})
    return Later(wait_s, reason)


def name_cause(job: Job[Clients]) -> Commit:
    """Find out why it came: one arrival a transaction, because each locks what caused it."""

    def match(tx: Transaction) -> Outcome:
        waiting = [arrival for arrival in arrivals.of_transaction(tx, job.subject) if arrival.cause is None]
        if any(arrivals.match(tx, arrival) for arrival in waiting):
            return Done() if len(waiting) == 1 else Later(1, "it brought more than one thing")
        if not waiting:
            return Done()
        if not arrivals.waits_since_a_day(tx, job.subject):
            return Later(job.config.integer("ARRIVAL_POLL_S"), "its cause is not known yet")
        for arrival in waiting:
            tell_a_person(tx, arrival)
        return Done("a person looks")

    return match


def tell_a_person(tx: Transaction, arrival: arrivals.ArrivalRow) -> None:
    """An arrival whose cause is not known after a day: never an automatic posting (money.md 5)."""
    detail = {"tx": arrival.tx_hash, "units": arrival.units, "asset": arrival.asset, "next": "`pgp treasury expect` if it is the platform's own"}
    bury(tx, source="arrival", subject=str(arrival.id), reason="unknown_arrival", detail=detail)
