"""Leads a payout: asks for a price, judges it, has the order made, and hands it to HOSTPAY1."""

from __future__ import annotations

from functools import partial
from typing import Any

from PGP_COMMON import log
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Outcome
from PGP_COMMON.money_machines import accumulations, payout_ends, payouts, quotes, spending, swaps, wallet
from PGP_COMMON.money_machines.payouts import Payout, PayoutRow, Release
from PGP_COMMON.money_machines.quotes import QuoteRow
from PGP_COMMON.money_machines.swaps import Swap
from PGP_SPLIT_v1 import fees

logger = log.get(__name__)

# How soon a payout that waits for gas or a deposit is looked at again: a person has to act, and money is not in a hurry.
OBSTACLE_WAIT_S = 60
# The first new quote is asked for at once; then the wait doubles up to this.
LONGEST_WAIT_S = 300


# --- payout.start and payout.requote


def start(job: Job[Any]) -> Commit:
    """Ask for the first price of a payout."""
    return partial(_start, job.config, payout_id=job.id)


def _start(config: BaseConfigManager, tx: Transaction, *, payout_id: int) -> Outcome:
    payout = payouts.lock(tx, payout_id)
    if payout.state != Payout.RESERVED or quotes.is_asked_for_payout(tx, payout.id):
        return Done("somebody was first")
    return _ask(config, tx, payout)


def ask_again(job: Job[Any]) -> Commit:
    """Ask for a new price when the old quote (the subject) came to nothing."""
    return partial(_ask_again, job.config, quote_id=job.id)


def _ask_again(config: BaseConfigManager, tx: Transaction, *, quote_id: int) -> Outcome:
    quote = quotes.get(tx, quote_id)
    if quote.payout_id is None:
        return Dead("no_payout", {"quote": quote_id})
    payout = payouts.lock(tx, quote.payout_id)
    if not quotes.is_latest(tx, quote):
        return Done("a newer quote exists")
    if payout.state == Payout.QUOTED:
        payout = _reserve_again(tx, payout, quote)
    if payout.state != Payout.RESERVED:
        return Done(f"the payout is {payout.state}")
    if payout.quotes_failed >= quotes.MAX_QUOTES:
        payouts.forget_failed_quotes(tx, payout.id)
        next_ = "`pgp dead retry` begins a fresh count; `pgp payout release` gives the money back to the balance"
        return Dead("quotes_spent", {"payout": payout.id, "quotes": payout.quotes_failed, "last": payout.reason, "next": next_})
    return _ask(config, tx, payout)


def _reserve_again(tx: Transaction, payout: PayoutRow, quote: QuoteRow) -> PayoutRow:
    """Take a payout back to its reserved money when the swap of its quote was given up before HOSTPAY1 heard of it."""
    swap = swaps.of_quote(tx, quote.id)
    if swap is not None and swap.state == Swap.ABANDONED:
        payouts.reserve_again(tx, payout.id, source=Payout.QUOTED, reason=swap.reason or "its swap was given up")
    return payouts.get(tx, payout.id)


def _ask(config: BaseConfigManager, tx: Transaction, payout: PayoutRow) -> Outcome:
    """Ask for a price, or go straight to the wallet when the owner's coin is what we hold; nothing while the wallet could not pay anyway."""
    ours = wallet.find(tx, config.text("HOST_WALLET_ETH_ADDRESS"))
    obstacle = "the wallet is not opened" if ours is None else wallet.obstacle(tx, ours)
    obstacle = obstacle or spending.limited(config, tx, asset=payout.asset, units=payout.units, what=f"payout {payout.id}")
    if obstacle is not None:
        payouts.note(tx, payout.id, reason=obstacle)
        return Later(OBSTACLE_WAIT_S, obstacle)
    wait_s = 0 if payout.quotes_failed <= 1 else min(LONGEST_WAIT_S, 2 ** min(payout.quotes_failed, 10))
    if payout.payout_asset == payout.asset:
        quote_id = quotes.agree_directly(tx, payout.id)
        payouts.agree(tx, payout.id)
        tx.send("payout.direct", quote_id, after_s=wait_s)
    else:
        tx.send("payout.quote", quotes.ask_for_payout(tx, payout.id), after_s=wait_s)
    return Done()


# --- payout.quoted


def judge(job: Job[Any]) -> Commit:
    """Take an answered quote: within the payout's fee cap its order is made; otherwise the money goes back to the owner's balance."""
    with job.db.reading() as tx:
        quote = quotes.get(tx, job.id)
        if quote.payout_id is None:
            return lambda _tx: Dead("no_payout", {"quote": job.id})
        payout = payouts.get(tx, quote.payout_id)
    # What is decided on never changes once the quote is answered: the answer, and the cap that was written down with the payout.
    reason = _against(quote, payout)
    if reason is not None:
        return partial(_release, quote=quote, payout_id=payout.id, reason=reason)
    return partial(_accept, quote=quote, payout_id=payout.id, refund_address=job.config.text("HOST_WALLET_ETH_ADDRESS"))


def _against(quote: QuoteRow, payout: PayoutRow) -> str | None:
    """Why a quote is not taken, in the owner's words, or None."""
    if quote.refused_reason is not None:
        return quote.refused_reason
    if quote.cost_bps is not None and fees.is_above_cap(quote.cost_bps, cap_percent=payout.fee_cap_percent):
        logger.info("a quote is above the cap", payout=payout.id, cost_percent=fees.percent(quote.cost_bps), cap=str(payout.fee_cap_percent))
        return Release.ABOVE_FEE_CAP.value
    return None


def _accept(tx: Transaction, *, quote: QuoteRow, payout_id: int, refund_address: str) -> Outcome:
    payout = payouts.lock(tx, payout_id)
    if payout.state != Payout.RESERVED or quote.cost_bps is None or quote.rate_id is None or not quotes.is_latest(tx, quote):
        return Done("somebody was first")
    payouts.agree(tx, payout.id)
    swap_id = swaps.plan(tx, quote.id, payout_address=payout.address, payout_extra_id=payout.extra_id, refund_address=refund_address)
    tx.send("swap.create", swap_id)
    return Done()


def _release(tx: Transaction, *, quote: QuoteRow, payout_id: int, reason: str) -> Outcome:
    """Give the money back to the owner's balance, so that new money can join it, and tell him why."""
    accumulations.lock_of_payout(tx, payout_id)
    payout = payouts.lock(tx, payout_id)
    if payout.state != Payout.RESERVED or not quotes.is_latest(tx, quote):
        return Done("somebody was first")
    payout_ends.release(tx, payout, source=Payout.RESERVED, reason=reason)
    logger.info("a payout is released", payout=payout.id, reason=reason)
    return Done(reason)


# --- payout.swap_ready


def hand_over(job: Job[Any]) -> Commit:
    """The exchange waits for our USDT: HOSTPAY1 decides when it leaves."""
    return partial(_hand_over, swap_id=job.id)


def _hand_over(tx: Transaction, *, swap_id: int) -> Outcome:
    payout_id = swaps.get(tx, swap_id).payout_id
    if payout_id is None:
        return Dead("no_payout", {"swap": swap_id})
    payouts.lock(tx, payout_id)
    if swaps.lock(tx, swap_id).state != Swap.CREATED or not payouts.await_funding(tx, payout_id):
        return Done("somebody was first")
    tx.send("swap.fund", swap_id)
    return Done()
