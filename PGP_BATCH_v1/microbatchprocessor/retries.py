"""What happens to a conversion whose price or swap came to nothing: a new quote, or its money back where it was."""

from __future__ import annotations

from collections.abc import Sequence

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Dead, Done, Outcome, bury
from PGP_COMMON.money_machines import accumulations, conversion_ends, conversions, quotes, swaps
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.conversions import Conversion, ConversionRow
from PGP_COMMON.money_machines.swaps import Swap, SwapRow

# The first new quote is asked for at once; then the wait doubles up to this.
LONGEST_WAIT_S = 300


def wait_s(failed: int) -> int:
    """How long to wait before a new quote, after so many that came to nothing."""
    return 0 if failed <= 1 else min(LONGEST_WAIT_S, 2 ** min(failed, 10))


def abandon(tx: Transaction, swap: SwapRow, reason: str) -> Outcome:
    """Give up an order that nobody will fund, and ask for a new price: the rate lapsed, or the exchange did not hold it."""
    if swap.conversion_id is None:
        return Dead("no_conversion", {"swap": swap.id})
    rows = accumulations.lock_of_conversion(tx, swap.conversion_id)
    conversion = conversions.lock(tx, swap.conversion_id)
    swaps.lock(tx, swap.id)
    if conversion.state != Conversion.QUOTED or not swaps.abandon(tx, swap.id, source=Swap.PLANNED, reason=reason):
        return Done("somebody was first")
    return ask_again(tx, conversion, rows, source=Conversion.QUOTED, reason=reason)


def ask_again(tx: Transaction, conversion: ConversionRow, rows: Sequence[AccumulationRow], *, source: Conversion, reason: str) -> Outcome:
    """Plan a conversion again and ask for a new price; after twenty its money goes back to pending and a person looks. Rows are locked."""
    if not conversions.plan_again(tx, conversion.id, source=source, reason=reason):
        return Done("somebody was first")
    asked = quotes.count_of_conversion(tx, conversion.id)
    if asked >= quotes.MAX_QUOTES:
        give_up(tx, conversion, rows, reason="quotes_spent")
        detail = {"quotes": asked, "last": reason, "next": "the money is pending again"}
        bury(tx, source="conversion", subject=str(conversion.id), reason="quotes_spent", detail=detail)
        return Done("quotes_spent")
    tx.send("conversion.quote", quotes.ask_for_conversion(tx, conversion.id), after_s=wait_s(asked))
    return Done(reason)


def give_up(tx: Transaction, conversion: ConversionRow, rows: Sequence[AccumulationRow], *, reason: str) -> None:
    """Cancel a planned conversion: every owner's money is pending again, in full. Its rows and itself are locked."""
    conversions.cancel(tx, conversion.id, reason=reason)
    conversion_ends.put_back(tx, conversion, rows)
