"""Looks at an exchange: before our coins leave, and after, until it is done with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Final

from PGP_COMMON.clients.changenow import ChangeNow, Seen
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Outcome, bury
from PGP_COMMON.errors import BadAnswer, Refused
from PGP_COMMON.money_machines import coins, swaps, wallet
from PGP_COMMON.money_machines.swaps import Swap, SwapRow
from PGP_HOSTPAY_v1.following import Finished, Followed, Held, Refunded, Verdict, Working, judge, unknown

HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Clients:
    """The exchange and the chain."""

    chain: Ethereum
    exchange: ChangeNow


def look_before_funding(job: Job[Clients]) -> Commit:
    """Ask whether the exchange still waits for our coins, and have HOSTPAY1 decide; a look that fails says nothing."""
    with job.db.reading() as tx:
        swap = swaps.get(tx, job.id)
    if swap.state != Swap.CREATED:
        return lambda _tx: Done(f"the swap is {swap.state}")
    status = _status(job.clients.exchange, swap)

    def record(tx: Transaction) -> Outcome:
        swaps.lock(tx, swap.id)
        swaps.observe(tx, swap.id, vendor_status=status)
        tx.send("swap.fundable", swap.id)
        return Done(status)

    return record


def _status(exchange: ChangeNow, swap: SwapRow) -> str:
    """The vendor's word; a refusal or an answer that contradicts what was agreed is a word that nobody funds."""
    try:
        seen = exchange.exchange(str(swap.provider_id))
    except (Refused, BadAnswer) as error:
        return f"unreadable: {error.reason}"
    if seen.payin_address.lower() != str(swap.payin_address).lower():
        return "unreadable: another pay-in address"
    return seen.status[:100]


def look_after_funding(job: Job[Clients]) -> Commit:
    """Ask how it is, until it has ended; what the answer means is decided by `judge`."""
    with job.db.reading() as tx:
        swap = swaps.get(tx, job.id)
        if not _is_open(swap):
            return lambda _tx: Done(f"the swap is {swap.state}")
        gives, gets = coins.coin(tx, swap.from_asset), coins.coin(tx, swap.to_asset)
        minutes = swaps.waited_s(tx, swap.id) // 60
    followed = Followed(str(swap.payin_address), swap.payout_address, swap.to_units, gives.decimals, gets.decimals, minutes)
    status, verdict = _ask(job.clients.exchange, swap, followed)
    return partial(_record, job, swap_id=swap.id, status=status, verdict=verdict)


def _is_open(swap: SwapRow) -> bool:
    return swap.state in (Swap.FUNDED, Swap.HOLD) or (swap.state == Swap.REFUNDED and swap.refund_hash is None)


def _ask(exchange: ChangeNow, swap: SwapRow, followed: Followed) -> tuple[str, Verdict]:
    try:
        seen: Seen = exchange.exchange(str(swap.provider_id))
    except (Refused, BadAnswer) as error:
        return f"unreadable: {error.reason}", unknown(followed, f"the exchange cannot be asked about it: {error.reason}")
    return seen.status[:100], judge(followed, seen)


def _record(job: Job[Clients], tx: Transaction, *, swap_id: int, status: str, verdict: Verdict) -> Outcome:
    swap = swaps.lock(tx, swap_id)
    if not _is_open(swap):
        return Done(f"the swap is {swap.state}")
    swaps.observe(tx, swap.id, vendor_status=status)
    again = Later(job.config.integer("SWAP_POLL_S"), status)
    match verdict:
        case Finished(units, tx_hash) if swap.state != Swap.REFUNDED:
            swaps.finish(tx, swap.id, received_units=units, payout_hash=tx_hash)
            _expect_arrival(job, tx, swap, tx_hash)
            tx.send("swap.ended", swap.id)
            return Done(status)
        case Refunded(units, tx_hash):
            return _refund(tx, swap, units, tx_hash, again)
        case Held(reason, alarm, review) if swap.state != Swap.REFUNDED:
            _hold(tx, swap, reason, alarm=alarm, review=review)
        case Working(alarm) if swap.state != Swap.REFUNDED:
            swaps.resume(tx, swap.id)
            if alarm:
                _tell_a_person(tx, swap, alarm)
    return again


def _expect_arrival(job: Job[Clients], tx: Transaction, swap: SwapRow, tx_hash: str) -> None:
    """What comes to our own wallet is looked for on the chain."""
    if HASH.fullmatch(tx_hash) and swap.payout_address.lower() == job.config.text("HOST_WALLET_ETH_ADDRESS").lower():
        tx.send("arrival.look", tx_hash)


def _refund(tx: Transaction, swap: SwapRow, units: int | None, tx_hash: str | None, again: Later) -> Outcome:
    """Our coins come back. The exchange may name the transaction later than the fact."""
    known = tx_hash if tx_hash is not None and HASH.fullmatch(tx_hash) else None
    if swap.state != Swap.REFUNDED:
        swaps.refund(tx, swap.id, refund_units=units, refund_hash=known)
        tx.send("swap.ended", swap.id)
    elif known is not None:
        swaps.remember_refund(tx, swap.id, refund_units=units, refund_hash=known)
    if known is None:
        return again
    tx.send("arrival.look", known)
    return Done("refunded")


def _hold(tx: Transaction, swap: SwapRow, reason: str, *, alarm: bool, review: bool) -> None:
    swaps.hold(tx, swap.id, reason=reason)
    if review:
        tx.send("swap.ended", swaps.review_subject(tx, swap.id))
    elif alarm:
        _tell_a_person(tx, swap, reason)


def _tell_a_person(tx: Transaction, swap: SwapRow, reason: str) -> None:
    bury(
        tx, source="swap.follow", subject=str(swap.id), reason=reason[:100], detail={"exchange": swap.provider_id, "next": "ask the exchange; `pgp swap show`"}
    )


def our_wallet(job: Job[Clients], tx: Transaction) -> wallet.WalletRow | None:
    """The wallet, or None while it has not been opened."""
    return wallet.find(tx, job.config.text("HOST_WALLET_ETH_ADDRESS"))
