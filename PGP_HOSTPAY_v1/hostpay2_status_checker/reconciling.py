"""Compares our books with the chain and the exchange: what went out, what came in, what the wallet holds, and which orders nobody may fund."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from PGP_COMMON.clients.changenow import ChangeNow, Standing
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Next, Outcome, bury
from PGP_COMMON.errors import BadAnswer, Lost, Refused, TryAgain
from PGP_COMMON.money_machines import arrivals, reconciliations, swaps, transfers, wallet
from PGP_COMMON.money_machines.wallet import FUNDING, GAS, WalletRow
from PGP_HOSTPAY_v1.hostpay2_status_checker.arriving import tell_a_person
from PGP_HOSTPAY_v1.hostpay2_status_checker.steps import Clients, our_wallet

# Blocks read at a time: each is one whole block over the wire, and the lease is 90 s.
BLOCKS_AT_ONCE: Final = 40
# More arrivals or orders than this in one run are left to the next one.
AT_ONCE: Final = 20
# For so long a difference may be money that is just being booked: by a process that died its lease (90 s), the sweep's patience and its minute,
# and a look at the chain later. With a run every five minutes that is two in a row.
LASTS_S: Final = 240


@dataclass(frozen=True, slots=True)
class Traffic:
    """The hashes of what went out of the wallet and of what came in."""

    outgoing: frozenset[str]
    incoming: frozenset[str]


def read_chain(job: Job[Clients]) -> Commit:
    """Read the final blocks that nobody has read yet: every arrival is looked at, and a transaction that is not ours freezes the wallet."""
    with job.db.reading() as tx:
        held = our_wallet(job, tx)
    if held is None:
        return lambda _tx: Done("no wallet is open")
    final = job.clients.chain.finalized()
    last = min(final, held.scanned_block + BLOCKS_AT_ONCE)
    if last <= held.scanned_block:
        return lambda _tx: Next("compare")
    traffic = _traffic(job.clients.chain, held.address, first=held.scanned_block + 1, last=last)
    return partial(_record_traffic, held=held, traffic=traffic, last=last, is_all=last == final)


def _traffic(chain: Ethereum, address: str, *, first: int, last: int) -> Traffic:
    ours = address.lower()
    seen = [mined for block in range(first, last + 1) for mined in chain.transactions_of(address, block=block)]
    tokens = chain.transfers_to(FUNDING, address, from_block=first, to_block=last)
    outgoing = frozenset(mined.transaction.tx_hash for mined in seen if mined.transaction.sender.lower() == ours)
    carried = {mined.transaction.tx_hash for mined in seen if mined.receipt.succeeded and mined.transaction.value_wei}
    return Traffic(outgoing, frozenset((carried | {event.tx_hash for event in tokens if event.units}) - outgoing))


def _record_traffic(tx: Transaction, *, held: WalletRow, traffic: Traffic, last: int, is_all: bool) -> Outcome:
    if not wallet.mark_scanned(tx, held.id, after=held.scanned_block, block=last):
        return Done("another run reads the chain")
    for tx_hash in sorted(traffic.incoming):
        tx.send("arrival.look", tx_hash)
    foreign = [tx_hash for tx_hash in sorted(traffic.outgoing) if not transfers.is_ours(tx, tx_hash)]
    if foreign:
        _freeze(tx, held, reason=f"a transaction that is not ours: {foreign[0]}", detail={"transactions": foreign})
    return Next("compare") if is_all else Later(1, f"read up to block {last}")


def _freeze(tx: Transaction, held: WalletRow, *, reason: str, detail: dict[str, Any]) -> None:
    """Nothing is signed any more until an operator has looked."""
    wallet.freeze(tx, held.id, reason=reason)
    bury(tx, source="wallet", subject=held.address, reason="wallet_frozen", detail={"why": reason, "next": "`pgp wallet show`", **detail})


# --- what it holds


def compare_balances(job: Job[Clients]) -> Commit:
    """Compare the wallet at one final block with the books at the same block, and its nonces with those that we gave."""
    chain = job.clients.chain
    block = chain.finalized()
    with job.db.reading() as tx:
        held = our_wallet(job, tx)
        if held is None:
            return lambda _tx: Done("no wallet is open")
        books = reconciliations.holdings(tx, held.id, block=block)
    receipts = chain.receipts([tx_hash for holding in books for tx_hash in holding.hashes or ()]).by_hash
    expected = reconciliations.expected_units(books, receipts, block=block)
    on_chain = {asset: chain.balance(asset, held.address, block=block) for asset in (GAS, FUNDING)}
    # Asked for before the row is read again: the wallet's own count only grows.
    nonce = chain.nonce(held.address)
    breaks = [
        {"asset": asset, "chain": str(units), "books": str(expected[asset]), "differs": str(units - expected[asset])}
        for asset, units in on_chain.items()
        if units != expected[asset]
    ]
    return partial(_record_comparison, held=held, block=block, breaks=breaks, nonce=nonce)


def _record_comparison(tx: Transaction, *, held: WalletRow, block: int, breaks: list[dict[str, Any]], nonce: int) -> Outcome:
    now = wallet.lock(tx, held.id)
    if now is None or nonce > now.next_nonce:
        _freeze(tx, held, reason="the chain has nonces that we did not give", detail={"chain": nonce, "ours": now.next_nonce if now else None})
    before = [{(found["asset"], found["differs"]) for found in run} for run in reconciliations.lasting_breaks(tx, "wallet", for_s=LASTS_S)]
    # What every run since then agrees on is no longer something that was under way.
    lasting = [found for found in breaks if before and all((found["asset"], found["differs"]) in run for run in before)]
    reconciliations.keep(tx, "wallet", compared=2, breaks=[{**found, "block": block} for found in breaks])
    for found in lasting:
        # Money that came by way of a contract shows as more than the books say, and anybody can send it: an operator books it.
        # Less than the books say is money that is gone: nothing more may leave.
        if int(found["differs"]) < 0:
            _freeze(tx, held, reason=f"less {found['asset']} on the chain than in the books", detail=found)
        bury(tx, source="wallet.reconcile", subject=found["asset"], reason="balance_differs", detail=found)
    if now is not None and now.frozen_reason is None:
        _ask_for_deposit(tx, now)
    return Next("arrivals")


def _ask_for_deposit(tx: Transaction, held: WalletRow) -> None:
    """Payouts that wait for gas or USDT wait in silence; a person is asked for a deposit."""
    reason = wallet.obstacle(tx, held)
    if reason is not None:
        detail = {"why": reason, "next": "`pgp treasury`; send it to the wallet, and `pgp treasury expect` its hash"}
        bury(tx, source="wallet.deposit", subject=held.address, reason="deposit_needed", detail=detail)


# --- what came and is still unexplained, and what nobody may fund


def name_old_arrivals(_job: Job[Clients]) -> Commit:
    """Try once more to explain arrivals that nobody has explained for a day; those that stay so are a person's."""

    def name(tx: Transaction) -> Outcome:
        for arrival in arrivals.overdue(tx, limit=AT_ONCE):
            if arrivals.match(tx, arrival):
                # Each match locks what caused it: the next one waits for the next run.
                break
            tell_a_person(tx, arrival)
        return Next("exchanges")

    return name


def look_at_exchanges(job: Job[Clients]) -> Commit:
    """Look for money at orders that nobody may fund, and for swaps that nobody follows."""
    with job.db.reading() as tx:
        unpaid = swaps.never_to_be_paid(tx, limit=AT_ONCE)
        neglected = swaps.neglected(tx, limit=AT_ONCE)
    try:
        funded = [order for order in unpaid if _has_money(job.clients.exchange, order)]
    except (TryAgain, Lost) as error:
        reason = error.reason
        return lambda tx: _record_exchanges(tx, compared=0, breaks=[{"exchange": reason}], neglected=neglected)
    return partial(_record_exchanges, compared=len(unpaid), breaks=[{"order": order, "has": "money"} for order in funded], neglected=neglected)


def _has_money(exchange: ChangeNow, order: str) -> bool:
    try:
        seen = exchange.exchange(order)
    except (Refused, BadAnswer):
        # The exchange forgets orders that were never paid.
        return False
    return seen.received is not None or seen.standing in (Standing.WAIT, Standing.FINISHED, Standing.REFUNDED)


def _record_exchanges(tx: Transaction, *, compared: int, breaks: list[dict[str, Any]], neglected: list[int]) -> Outcome:
    found = [*breaks, *({"swap": swap_id, "is": "not followed"} for swap_id in neglected)]
    reconciliations.keep(tx, "exchanges", compared=compared + len(neglected), breaks=found)
    for order in (entry["order"] for entry in breaks if "order" in entry):
        bury(tx, source="swap.orphan", subject=order, reason="orphan_has_money", detail={"next": "ask the exchange for it back"})
    for swap_id in neglected:
        bury(tx, source="swap.follow", subject=str(swap_id), reason="not_followed", detail={"next": "`pgp dead retry` its swap.follow"})
    return Done()
