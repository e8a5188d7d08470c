"""How a conversion ends: what arrived is shared out, what came back goes back, what was never funded is priced anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from PGP_BATCH_v1.microbatchprocessor import retries
from PGP_COMMON import log
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Next, Outcome, bury
from PGP_COMMON.money_machines import accumulations, arrivals, conversion_ends, conversions, swap_ends, swaps
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.conversions import Conversion, ConversionRow
from PGP_COMMON.money_machines.swaps import Swap, SwapRow

logger = log.get(__name__)

# money.md 7, for conversions as for payouts: after three days a person looks for what the exchange says it has sent.
ARRIVAL_WAIT_S: Final = 72 * 3600


def finish(job: Job[Any]) -> Commit:
    """Close a conversion once its swap has ended and its money is seen on chain."""
    return partial(_finish, swap_id=job.id, poll_s=job.config.integer("ARRIVAL_POLL_S"))


def _finish(tx: Transaction, *, swap_id: int, poll_s: int) -> Outcome:
    swap = swaps.get(tx, swap_id)
    if swap.conversion_id is None:
        return Dead("no_conversion", {"swap": swap.id})
    rows = accumulations.lock_of_conversion(tx, swap.conversion_id)
    conversion = conversions.lock(tx, swap.conversion_id)
    swap = swaps.lock(tx, swap_id)
    if conversion.state != Conversion.SWAPPING or not _is_current(tx, conversion, swap):
        return Done("somebody was first")
    if swap.state == Swap.FINISHED:
        return _share_out(tx, conversion, swap, rows, poll_s=poll_s)
    if swap.state == Swap.REFUNDED:
        return _put_back(tx, conversion, swap, rows, poll_s=poll_s)
    if swap.state == Swap.ABANDONED:
        return retries.ask_again(tx, conversion, rows, source=Conversion.SWAPPING, reason=swap.reason or "abandoned")
    if swap.state == Swap.LOST:
        # An operator gave the coins up and booked their loss (swap.lost): owners are owed what they were.
        conversions.refund(tx, conversion.id, source=Conversion.SWAPPING, reason=swap.reason or "given up by an operator")
        conversion_ends.put_back(tx, conversion, rows)
        return Done("given up")
    return Later(poll_s, f"the swap is {swap.state}")


def _is_current(tx: Transaction, conversion: ConversionRow, swap: SwapRow) -> bool:
    """Whether this is the conversion's newest swap: an older one has been answered by a new quote already."""
    return swaps.newest_of_conversion(tx, conversion.id) == swap.id


def _look(tx: Transaction, conversion: ConversionRow, swap: SwapRow, tx_hash: str | None, *, poll_s: int, reason: str) -> Outcome:
    """Not here yet: have the chain looked at, and come back; after three days a person decides."""
    if swaps.waited_s(tx, swap.id) > ARRIVAL_WAIT_S:
        conversions.review(tx, conversion.id, reason=reason)
        detail = {"conversion": conversion.id, "exchange": swap.provider_id, "tx": tx_hash, "next": "`pgp conversion show`; then finish, refund or resume it"}
        bury(tx, source="conversion.finish", subject=str(swap.id), reason=reason, detail=detail)
        return Done("a person looks")
    if tx_hash:
        tx.send("arrival.look", tx_hash)
    return Later(poll_s, reason)


def _share_out(tx: Transaction, conversion: ConversionRow, swap: SwapRow, rows: Sequence[AccumulationRow], *, poll_s: int) -> Outcome:
    """Share out what arrived, not what was promised: to the last unit, by largest remainder, ties to the older payment."""
    if not swaps.is_paid_for(tx, swap.id):
        return Later(poll_s, "our transfer is not final")
    received = arrivals.of_swap(tx, swap.id, cause="swap")
    if received is None:
        return _look(tx, conversion, swap, swap.payout_hash, poll_s=poll_s, reason="purchase_missing")
    if received < swap.to_units:
        logger.warning("less arrived than was agreed", swap=swap.id, agreed=swap.to_units, received=received)
    conversion_ends.finish(tx, conversion, rows, source=Conversion.SWAPPING, received=received)
    logger.info("a conversion is done", conversion=conversion.id, received=received)
    return Done()


def _put_back(tx: Transaction, conversion: ConversionRow, swap: SwapRow, rows: Sequence[AccumulationRow], *, poll_s: int) -> Outcome:
    """Everybody has his ETH back in full, once it is seen; what the exchange kept is the platform's cost."""
    if arrivals.of_swap(tx, swap.id, cause="refund") is None:
        return _look(tx, conversion, swap, swap.refund_hash, poll_s=poll_s, reason="refund_missing")
    conversions.refund(tx, conversion.id, source=Conversion.SWAPPING, reason=swap.reason or "the exchange sent it back")
    conversion_ends.put_back(tx, conversion, rows)
    return Next("cost")


def book_cost(job: Job[Any]) -> Commit:
    """Book what did not come back: in a transaction of its own, because ledger accounts are locked in one order a posting."""

    def book(tx: Transaction) -> Outcome:
        swap_ends.book_cost(tx, job.id)
        return Done()

    return book
