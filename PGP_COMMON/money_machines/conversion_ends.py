"""This is the end of a conversion: what arrived is shared out to the last unit, or everybody has his ETH back in full."""

from __future__ import annotations

from collections.abc import Sequence

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money import share_out
from PGP_COMMON.money_machines import accumulations, conversions, ledger
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.conversions import Conversion, ConversionRow
from PGP_COMMON.money_machines.ledger import Line


def finish(tx: Transaction, conversion: ConversionRow, rows: Sequence[AccumulationRow], *, source: Conversion, received: int) -> None:
    """Share out what arrived (base units of `to_asset`), not what was promised: by largest remainder, ties to the older payment.

    The caller has locked the rows and the conversion. Raises BrokenRule when they are not what it began with, or not in `source` any more.
    """
    if sum(row.units for row in rows) != conversion.from_units:
        raise BrokenRule(f"conversion {conversion.id} does not carry what it began with")
    parts = share_out(received, [row.units for row in rows])
    if not conversions.finish(tx, conversion.id, source=source, received_units=received):
        raise BrokenRule(f"conversion {conversion.id} is not {source}")
    accumulations.finish_conversion(tx, conversion.id, asset=conversion.to_asset, units={row.id: part for row, part in zip(rows, parts, strict=True)})
    ledger.post(tx, "conv.finish", conversion.id, _lines(conversion, received, rows, parts))


def _lines(conversion: ConversionRow, received: int, rows: Sequence[AccumulationRow], parts: Sequence[int]) -> list[Line]:
    lines = [ledger.debit(ledger.arrivals(conversion.to_asset), received), ledger.credit(ledger.in_flight(conversion.from_asset), conversion.from_units)]
    for owner_id, units in accumulations.per_owner(rows).items():
        bought = sum(part for row, part in zip(rows, parts, strict=True) if row.owner_id == owner_id)
        lines.append(ledger.debit(ledger.owed(owner_id, "converting", conversion.from_asset), units))
        lines.append(ledger.credit(ledger.owed(owner_id, "available", conversion.to_asset), bought))
    return lines


def put_back(tx: Transaction, conversion: ConversionRow, rows: Sequence[AccumulationRow]) -> None:
    """Post every owner's part back from converting to pending. The caller has locked the rows, and ends the conversion."""
    accumulations.undo_conversion(tx, conversion.id)
    lines = []
    for owner_id, units in accumulations.per_owner(rows).items():
        lines.append(ledger.debit(ledger.owed(owner_id, "converting", conversion.from_asset), units))
        lines.append(ledger.credit(ledger.owed(owner_id, "pending", conversion.from_asset), units))
    ledger.post(tx, "conv.refund", conversion.id, lines)
