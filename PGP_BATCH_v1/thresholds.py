"""How much must have come together before it is worth moving: pure arithmetic in base units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, Decimal, localcontext
from operator import attrgetter

from PGP_COMMON.errors import BadInput
from PGP_COMMON.money import MAX_UNITS, PRECISION
from PGP_COMMON.money_machines.accumulations import AccumulationRow

# An exchange's minimum moves with the market; this much above it an order is still taken a moment later.
ABOVE_MINIMUM = Decimal("1.1")
# What an accumulation counts: what was earned, or what that has become.
EARNED: Callable[[AccumulationRow], int] = attrgetter("units")
CONVERTED: Callable[[AccumulationRow], int] = attrgetter("converted_units")


def units_worth(usd: Decimal, *, price_usd: Decimal, decimals: int) -> int:
    """The fewest base units worth so many USD, when one whole coin is worth `price_usd`; raises BadInput for no price."""
    if price_usd <= 0 or usd < 0:
        raise BadInput("no price to compare with")
    return _up((usd / price_usd).scaleb(decimals))


def usd_of(units: int, *, price_usd: Decimal, decimals: int) -> Decimal:
    """What base units are worth in USD."""
    with localcontext() as context:
        context.prec = PRECISION
        return Decimal(units).scaleb(-decimals) * price_usd


def units_above_minimum(minimum: Decimal, *, decimals: int) -> int:
    """The fewest base units that are a tenth above an exchange's minimum (whole coins)."""
    return _up((minimum * ABOVE_MINIMUM).scaleb(decimals))


def units_for_gas(gas_wei: int, *, share_percent: Decimal) -> int:
    """The fewest wei of which so much gas is no more than the share; a share of nothing is never met."""
    if share_percent <= 0:
        return MAX_UNITS
    return _up(Decimal(gas_wei) * 100 / share_percent)


def fitting(rows: Sequence[AccumulationRow], *, most_units: int | None, units: Callable[[AccumulationRow], int] = EARNED) -> list[AccumulationRow]:
    """The first rows whose sum stays within the most that is carried at once; None is no such limit. What is too large by itself keeps nobody up."""
    taken, left = [], most_units
    for row in rows:
        if left is not None:
            if most_units is not None and units(row) > most_units:
                continue
            if units(row) > left:
                break
            left -= units(row)
        taken.append(row)
    return taken


def too_large(rows: Sequence[AccumulationRow], *, most_units: int, units: Callable[[AccumulationRow], int] = EARNED) -> list[AccumulationRow]:
    """The rows that nothing carries, because each is more than the limit by itself."""
    return [row for row in rows if units(row) > most_units]


def _up(number: Decimal) -> int:
    with localcontext() as context:
        context.prec = PRECISION
        return min(MAX_UNITS, int(number.to_integral_value(ROUND_CEILING)))
