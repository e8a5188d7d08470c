"""Compares our books with the chain: what went out, what came in, the nonces, and what the wallet holds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.clients.ethereum_answers import Mined
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Next, Outcome, bury
from PGP_COMMON.money_machines import arrivals, reconciliations, strays, transfers, wallet
from PGP_COMMON.money_machines.wallet import FUNDING, GAS, WalletRow
from PGP_HOSTPAY_v1 import fence
from PGP_HOSTPAY_v1.hostpay2_status_checker.arriving import tell_a_person
from PGP_HOSTPAY_v1.hostpay2_status_checker.steps import Clients, our_wallet

# Blocks read at a time: each is one whole block over the wire, and the lease is 90 s.
BLOCKS_AT_ONCE: Final = 40
# More arrivals than this in one run are left to the next one.
AT_ONCE: Final = 20
# For so long a difference may be money that is just being booked: by a process that died its lease (90 s), the sweep's patience and its minute,
# and a look at the chain later. With a run every five minutes that is two in a row.
LASTS_S: Final = 240


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went out of the wallet, and the hashes of what came in."""

    outgoing: tuple[Mined, ...]
    incoming: frozenset[str]


def read_chain(job: Job[Clients]) -> Commit:
    """Read the final blocks that nobody has read yet: every arrival is looked at, and a transaction that no row of ours made freezes the wallet."""
    with job.db.reading() as tx:
        held = our_wallet(job, tx)
    if held is None:
        return lambda _tx: Done("no wallet is open")
    final = job.clients.chain.finalized()
    last = max(held.scanned_block, min(final, held.scanned_block + BLOCKS_AT_ONCE))
    traffic = _traffic(job.clients.chain, held.address, first=held.scanned_block + 1, last=last)
    return partial(_record_traffic, held=held, traffic=traffic, last=last, is_all=last >= final, token=job.config.text("USDT_CONTRACT"))


def _traffic(chain: Ethereum, address: str, *, first: int, last: int) -> Traffic:
    ours = address.lower()
    seen = [mined for block in range(first, last + 1) for mined in chain.transactions_of(address, block=block)]
    tokens = chain.transfers_to(FUNDING, address, from_block=first, to_block=last) if first <= last else ()
    outgoing = tuple(mined for mined in seen if mined.transaction.sender.lower() == ours)
    carried = {mined.transaction.tx_hash for mined in seen if mined.receipt.succeeded and mined.transaction.value_wei}
    sent = {mined.transaction.tx_hash for mined in outgoing}
    return Traffic(outgoing, frozenset((carried | {event.tx_hash for event in tokens if event.units}) - sent))


def _record_traffic(tx: Transaction, *, held: WalletRow, traffic: Traffic, last: int, is_all: bool, token: str) -> Outcome:
    if not wallet.mark_scanned(tx, held.id, after=held.scanned_block, block=last):
        return Done("another run reads the chain")
    for tx_hash in sorted(traffic.incoming):
        tx.send("arrival.look", tx_hash)
    foreign = [mined for mined in traffic.outgoing if not transfers.is_ours(tx, mined.transaction.tx_hash)]
    for mined in foreign:
        strays.keep(tx, held.id, mined, token=token)
    unknown = [{"transaction": stray.tx_hash, "nonce": stray.nonce, "found": "no row of ours made it"} for stray in strays.unexplained(tx, held.id)]
    reconciliations.keep(tx, "chain", compared=len(traffic.outgoing) + len(traffic.incoming), breaks=unknown)
    # Away from home the reason is that; the fence, which is looked at next, says so.
    if foreign and held.at_home:
        reason = f"a transaction that is not ours: {foreign[0].transaction.tx_hash}"
        fence.freeze(tx, held, reason=reason, detail={"transactions": [mined.transaction.tx_hash for mined in foreign], "next": "`pgp wallet adopt`"})
    return Next("fence") if is_all else Later(1, f"read up to block {last}")


def look_at_fence(job: Job[Clients]) -> Commit:
    """See whether the wallet is at home, and its nonces are those that we gave."""
    with job.db.reading() as tx:
        held = our_wallet(job, tx)
    if held is None:
        return lambda _tx: Done("no wallet is open")
    seen = fence.look(job.db, job.clients.chain, held)

    def record(tx: Transaction) -> Outcome:
        fence.record(tx, held, seen)
        return Next("compare")

    return record


# --- what it holds


def compare_balances(job: Job[Clients]) -> Commit:
    """Compare the wallet at one final block with the books at the same block."""
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
    breaks = [
        {"asset": asset, "chain": str(units), "books": str(expected[asset]), "differs": str(units - expected[asset])}
        for asset, units in on_chain.items()
        if units != expected[asset]
    ]
    return partial(_record_comparison, held=held, block=block, breaks=breaks)


def _record_comparison(tx: Transaction, *, held: WalletRow, block: int, breaks: list[dict[str, Any]]) -> Outcome:
    now = wallet.lock(tx, held.id)
    before = [{(found["asset"], found["differs"]) for found in run} for run in reconciliations.lasting_breaks(tx, "wallet", for_s=LASTS_S)]
    # What every run since then agrees on is no longer something that was under way.
    lasting = [found for found in breaks if before and all((found["asset"], found["differs"]) in run for run in before)]
    reconciliations.keep(tx, "wallet", compared=2, breaks=[{**found, "block": block} for found in breaks])
    for found in lasting:
        # Money that came by way of a contract shows as more than the books say, and anybody can send it: an operator books it.
        # Less than the books say is money that is gone: nothing more may leave.
        if int(found["differs"]) < 0:
            fence.freeze(tx, held, reason=f"less {found['asset']} on the chain than in the books", detail=found)
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


# --- what came and is still unexplained


def name_old_arrivals(job: Job[Clients]) -> Commit:
    """Try once more to explain arrivals that nobody has explained for a day; those that stay so are a person's."""

    def name(tx: Transaction) -> Outcome:
        for arrival in arrivals.overdue(tx, turn=job.subject, limit=AT_ONCE):
            if arrivals.match(tx, arrival):
                # Each match locks what caused it: the next one waits for the next run.
                break
            tell_a_person(tx, arrival)
        return Next("exchanges")

    return name
