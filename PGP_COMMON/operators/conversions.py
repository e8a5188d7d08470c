"""What a person does about a conversion in review: share out what arrived after all, give everybody his ETH back, or have it priced anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import Conflict
from PGP_COMMON.money_machines import accumulations, arrivals, audit, conversion_ends, conversions, dead_letters, quotes, swap_ends, swaps
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.money_machines.conversions import Conversion, ConversionRow
from PGP_COMMON.money_machines.swaps import Swap, SwapRow


@dataclass(frozen=True)
class Case:
    """A conversion in review with what it carries and its newest swap, locked in the one order."""

    conversion: ConversionRow
    rows: Sequence[AccumulationRow]
    swap: SwapRow


def _case(tx: Transaction, conversion_id: int) -> Case:
    rows = accumulations.lock_of_conversion(tx, conversion_id)
    conversion = conversions.lock(tx, conversion_id)
    newest = swaps.newest_of_conversion(tx, conversion_id)
    if conversion.state != Conversion.REVIEW or newest is None:
        raise Conflict(f"conversion {conversion_id} is {conversion.state}: only one in review is a person's")
    return Case(conversion, rows, swaps.lock(tx, newest))


def _close(tx: Transaction, act: Act, action: str, case: Case, **after: object) -> None:
    before = {"state": case.conversion.state, "reason": case.conversion.reason}
    audit.note(tx, act, f"conversion.{action}", f"conversion {case.conversion.id}", before=before, after=after)
    dead_letters.answer(tx, act, ("conversion.finish", case.swap.id), ("swap.ended", case.swap.id), ("swap.follow", case.swap.id))


def finish(tx: Transaction, conversion_id: int, act: Act) -> int:
    """Share out what the swap has brought to our wallet; gives back how many base units that is.

    Raises Conflict when it is not in review, when its swap has not finished, or when nothing has arrived.
    """
    case = _case(tx, conversion_id)
    received = arrivals.of_swap(tx, case.swap.id, cause="swap")
    if case.swap.state != Swap.FINISHED or received is None:
        raise Conflict(f"swap {case.swap.id} is {case.swap.state}, and {received or 0} units have arrived: there is nothing to share out yet")
    conversion_ends.finish(tx, case.conversion, case.rows, source=Conversion.REVIEW, received=received)
    _close(tx, act, "finish", case, state="done", received_units=received)
    return received


def refund(tx: Transaction, conversion_id: int, act: Act, *, although_missing: bool = False) -> int:
    """Give everybody his ETH back in full; gives back what the platform bears of it, in base units.

    `although_missing`: what the exchange says it sent back has not come. Raises Conflict while the swap could still bring something.
    """
    case = _case(tx, conversion_id)
    missing = _bear(tx, case.swap, although_missing=although_missing)
    conversions.refund(tx, case.conversion.id, source=Conversion.REVIEW, reason=act.reason[:200])
    conversion_ends.put_back(tx, case.conversion, case.rows)
    _close(tx, act, "refund", case, state="refunded", missing=missing)
    return missing


def resume(tx: Transaction, conversion_id: int, act: Act) -> int:
    """Have it priced anew with the ETH that is with us again; gives back the new quote's id. Raises Conflict when it is not."""
    case = _case(tx, conversion_id)
    _bear(tx, case.swap, although_missing=False)
    conversions.plan_again(tx, case.conversion.id, source=Conversion.REVIEW, reason="an operator lets it go on")
    quote_id = quotes.ask_for_conversion(tx, case.conversion.id)
    tx.send("conversion.quote", quote_id)
    _close(tx, act, "resume", case, state="planned", quote=quote_id)
    return quote_id


def _bear(tx: Transaction, swap: SwapRow, *, although_missing: bool) -> int:
    """Make sure that the swap brings nothing more, and book what it cost; gives back how many base units did not come back."""
    if swap.state == Swap.REFUNDED:
        if arrivals.of_swap(tx, swap.id, cause="refund") is None and not although_missing:
            raise Conflict(f"what swap {swap.id} sent back has not arrived; if it never will, `pgp conversion refund --although-missing`")
        return swap_ends.book_cost(tx, swap.id)
    if swap.state not in (Swap.ABANDONED, Swap.LOST):
        raise Conflict(f"swap {swap.id} is {swap.state}: its coins are not with us; `pgp conversion finish`, or end the swap first")
    return swap.from_units if swap.state == Swap.LOST else 0
