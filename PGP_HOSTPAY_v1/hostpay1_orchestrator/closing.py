"""What follows when the exchange is done with our coins: the owner has his, or ours come back, or a person must look."""

from __future__ import annotations

from typing import Any, Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Next, Outcome, bury
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import accumulations, arrivals, payout_ends, payouts, swap_ends, swaps
from PGP_COMMON.money_machines.payouts import Payout, PayoutRow, Release
from PGP_COMMON.money_machines.swaps import Swap, SwapRow

# money.md 7: after three days a person looks for what the exchange says it has sent back.
REFUND_WAIT_S: Final = 72 * 3600
# What a person does, in a letter.
ENDS: Final = "ask the exchange; then `pgp swap finished`, `pgp swap refunded` or `pgp swap lost`"
NEVER_CAME: Final = "look at the transaction; `pgp payout release` once it has come, or --although-missing if it never will"


def close_swap(job: Job[Any]) -> Commit:
    """Close what a swap was for. The subject is the swap, or `<swap>:review:<hold>` when it did not end but a person must look."""
    swap_id, _, review = job.subject.partition(":")

    def close(tx: Transaction) -> Outcome:
        seen = swaps.get(tx, int(swap_id))
        if seen.payout_id is None:
            return _close_conversion(tx, seen, review=bool(review))
        accumulations.lock_of_payout(tx, seen.payout_id)
        payout = payouts.lock(tx, seen.payout_id)
        swap = swaps.lock(tx, seen.id)
        if review:
            return _review(tx, swap, payout)
        if swap.state == Swap.FINISHED:
            return _finish(tx, swap, payout)
        if swap.state == Swap.REFUNDED:
            return _refund(tx, swap, payout, wait_s=job.config.integer("ARRIVAL_POLL_S"))
        raise BrokenRule(f"swap {swap.id} is {swap.state}, which is no end")

    return close


def _close_conversion(tx: Transaction, swap: SwapRow, *, review: bool) -> Outcome:
    """MICROBATCH shares out what arrives, or gives back what came back."""
    if review:
        _tell_a_person(tx, swap, reason=swap.reason or "held", detail={"conversion": swap.conversion_id, "next": ENDS})
        return Done("a person looks")
    tx.send("conversion.finish", swap.id)
    return Done()


def _review(tx: Transaction, swap: SwapRow, payout: PayoutRow) -> Outcome:
    if swap.state != Swap.HOLD:
        return Done(f"the swap is {swap.state} again")
    payouts.review(tx, payout.id, source=Payout.FUNDED, reason=swap.reason or "held by the exchange")
    _tell_a_person(tx, swap, reason=swap.reason or "held", detail={"payout": payout.id, "next": f"{ENDS}; `pgp payout settle` if the owner has his coin"})
    return Done("a person looks")


def _finish(tx: Transaction, swap: SwapRow, payout: PayoutRow) -> Outcome:
    if payout.state == Payout.REVIEW:
        _tell_a_person(tx, swap, reason="finished_after_review", detail={"payout": payout.id, "next": "`pgp payout settle`"})
        return Done("a person looks")
    if payout.state != Payout.FUNDED:
        return Done(f"the payout is {payout.state}")
    payout_ends.settle(tx, payout, source=Payout.FUNDED, paid_out_units=int(swap.received_units or 0), tx_hash=str(swap.payout_hash))
    return Done()


def _refund(tx: Transaction, swap: SwapRow, payout: PayoutRow, *, wait_s: int) -> Outcome:
    """Wait until our coins are back on the chain; then the owner has his balance again, and what is missing is the platform's."""
    if payout.state == Payout.REVIEW:
        _tell_a_person(tx, swap, reason="refunded_after_review", detail={"payout": payout.id, "next": "`pgp payout release` once it has arrived"})
        return Done("a person looks")
    payouts.expect_refund(tx, payout.id)
    if arrivals.of_swap(tx, swap.id, cause="refund") is not None:
        return _release(tx, payout)
    if swaps.waited_s(tx, swap.id) > REFUND_WAIT_S:
        payouts.review(tx, payout.id, source=Payout.REFUNDING, reason="the refund has not arrived")
        _tell_a_person(tx, swap, reason="refund_missing", detail={"payout": payout.id, "tx": swap.refund_hash, "next": NEVER_CAME})
        return Done("a person looks")
    return Later(wait_s, "waits for the refund to arrive")


def _release(tx: Transaction, payout: PayoutRow) -> Outcome:
    if not payout_ends.release(tx, payout, source=Payout.REFUNDING, reason=Release.REFUNDED):
        return Done(f"the payout is {payout.state}")
    return Next("cost")


def book_cost(job: Job[Any]) -> Commit:
    """Book what did not come back: in a transaction of its own, because ledger accounts are locked in one order a posting."""

    def book(tx: Transaction) -> Outcome:
        swap_ends.book_cost(tx, job.id)
        return Done()

    return book


def _tell_a_person(tx: Transaction, swap: SwapRow, *, reason: str, detail: dict[str, Any]) -> None:
    known = {"exchange": swap.provider_id, "status": swap.vendor_status, **detail}
    bury(tx, source="swap.ended", subject=str(swap.id), reason=reason[:100], detail=known)
