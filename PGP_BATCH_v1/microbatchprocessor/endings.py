"""How a conversion ends: what arrived is shared out, what came back goes back, what was never funded is priced anew."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from PGP_BATCH_v1.microbatchprocessor import retries
from PGP_COMMON import log
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Dead, Done, Job, Later, Next, Outcome
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money import share_out
from PGP_COMMON.money_machines import accumulations, arrivals, conversions, ledger, swaps
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.conversions import Conversion, ConversionRow
from PGP_COMMON.money_machines.ledger import Line
from PGP_COMMON.money_machines.swaps import Swap, SwapRow

logger = log.get(__name__)


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
        conversions.refund(tx, conversion.id, reason=swap.reason or "given up by an operator")
        retries.put_back(tx, conversion, rows)
        return Done("given up")
    return Later(poll_s, f"the swap is {swap.state}")


def _is_current(tx: Transaction, conversion: ConversionRow, swap: SwapRow) -> bool:
    """Whether this is the conversion's newest swap: an older one has been answered by a new quote already."""
    return swaps.newest_of_conversion(tx, conversion.id) == swap.id


def _look(tx: Transaction, tx_hash: str | None, *, poll_s: int, what: str) -> Outcome:
    """Not here yet: have the chain looked at, and come back."""
    if tx_hash:
        tx.send("arrival.look", tx_hash)
    return Later(poll_s, f"{what} has not arrived")


def _share_out(tx: Transaction, conversion: ConversionRow, swap: SwapRow, rows: Sequence[AccumulationRow], *, poll_s: int) -> Outcome:
    """Share out what arrived, not what was promised: to the last unit, by largest remainder, ties to the older payment."""
    if not conversions.is_paid_for(tx, swap.id):
        return Later(poll_s, "our transfer is not final")
    received = arrivals.of_swap(tx, swap.id, cause="swap")
    if received is None:
        return _look(tx, swap.payout_hash, poll_s=poll_s, what="what the swap bought")
    if sum(row.units for row in rows) != conversion.from_units:
        raise BrokenRule(f"conversion {conversion.id} does not carry what it began with")
    if received < swap.to_units:
        logger.warning("less arrived than was agreed", swap=swap.id, agreed=swap.to_units, received=received)
    parts = share_out(received, [row.units for row in rows])
    conversions.finish(tx, conversion.id, received_units=received)
    accumulations.finish_conversion(tx, conversion.id, asset=conversion.to_asset, units={row.id: part for row, part in zip(rows, parts, strict=True)})
    ledger.post(tx, "conv.finish", conversion.id, _lines(conversion, received, rows, parts))
    logger.info("a conversion is done", conversion=conversion.id, received=received)
    return Done()


def _lines(conversion: ConversionRow, received: int, rows: Sequence[AccumulationRow], parts: Sequence[int]) -> list[Line]:
    lines = [ledger.debit(ledger.arrivals(conversion.to_asset), received), ledger.credit(ledger.in_flight(conversion.from_asset), conversion.from_units)]
    for owner_id, units in accumulations.per_owner(rows).items():
        bought = sum(part for row, part in zip(rows, parts, strict=True) if row.owner_id == owner_id)
        lines.append(ledger.debit(ledger.owed(owner_id, "converting", conversion.from_asset), units))
        lines.append(ledger.credit(ledger.owed(owner_id, "available", conversion.to_asset), bought))
    return lines


def _put_back(tx: Transaction, conversion: ConversionRow, swap: SwapRow, rows: Sequence[AccumulationRow], *, poll_s: int) -> Outcome:
    """Everybody has his ETH back in full, once it is seen; what the exchange kept is the platform's cost."""
    if arrivals.of_swap(tx, swap.id, cause="refund") is None:
        return _look(tx, swap.refund_hash, poll_s=poll_s, what="what the exchange sent back")
    conversions.refund(tx, conversion.id, reason=swap.reason or "the exchange sent it back")
    retries.put_back(tx, conversion, rows)
    return Next("cost")


def book_cost(job: Job[Any]) -> Commit:
    """Book what did not come back: in a transaction of its own, because ledger accounts are locked in one order a posting."""
    return partial(_book_cost, swap_id=job.id)


def _book_cost(tx: Transaction, *, swap_id: int) -> Outcome:
    swap = swaps.get(tx, swap_id)
    cost = swap.from_units - (arrivals.of_swap(tx, swap_id, cause="refund") or 0)
    if cost:
        lines = [ledger.debit(ledger.swap_expense(swap.from_asset), cost), ledger.credit(ledger.in_flight(swap.from_asset), cost)]
        ledger.post(tx, "refund.cost", swap_id, lines)
    return Done()
