"""This is the amount: integers in base units beside their asset, decimals only at the edges, no float anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext

from PGP_COMMON.errors import BadInput

# The widest number that the database keeps: the domain `pos_units` is NUMERIC(38, 0).
MAX_UNITS = 10**38 - 1
PRECISION = 120


@dataclass(frozen=True, slots=True, order=False)
class Amount:
    """So many base units (wei, satoshi, 10^-6 USDT) of one asset, named by its NOWPayments code ("eth", "usdterc20")."""

    units: int
    asset: str

    def __post_init__(self) -> None:
        """Refuse anything but an integer in range: a float here is a bug."""
        if type(self.units) is not int:
            raise TypeError(f"units must be int, not {type(self.units).__name__}")
        if abs(self.units) > MAX_UNITS:
            raise BadInput("amount out of range", asset=self.asset)


def exact(value: str | int | Decimal) -> Decimal:
    """Read a number without losing a digit; raises BadInput for floats, NaN, infinities and text that is no plain number."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise BadInput(f"not a number: {type(value).__name__}")
    try:
        with localcontext() as context:
            context.prec = PRECISION
            number = Decimal(value)
    except (InvalidOperation, ValueError) as error:
        raise BadInput("not a number") from error
    if not number.is_finite() or abs(number.adjusted()) > PRECISION // 2:
        raise BadInput("number out of range")
    return number


def to_units(value: str | int | Decimal, decimals: int) -> int:
    """Turn a decimal amount into base units, exactly; raises BadInput when digits would be lost."""
    with localcontext() as context:
        context.prec = PRECISION
        scaled = exact(value).scaleb(decimals)
        units = int(scaled)
        if units != scaled:
            raise BadInput("more decimals than the asset has")
    if abs(units) > MAX_UNITS:
        raise BadInput("amount out of range")
    return units


def floor_units(value: str | int | Decimal, decimals: int) -> int:
    """Turn a decimal amount into base units, rounding down: for a vendor's figures, which may carry more digits than the asset."""
    with localcontext() as context:
        context.prec = PRECISION
        scaled = exact(value).scaleb(decimals)
        if scaled < 0:
            raise BadInput("a negative amount")
        units = int(scaled)
    if units > MAX_UNITS:
        raise BadInput("amount out of range")
    return units


def from_units(units: int, decimals: int) -> Decimal:
    """Turn base units into an exact decimal without exponent."""
    with localcontext() as context:
        context.prec = PRECISION
        return Decimal(units).scaleb(-decimals)


def plain(number: Decimal) -> str:
    """Write a decimal the way vendors read it: no exponent, no trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def fee_of(units: int, percent: Decimal) -> int:
    """The platform's fee in base units: floor(units × percent / 100), so that the remainder is the owner's (money.md 5)."""
    if units < 0 or not 0 <= percent <= 100:  # noqa: PLR2004 - a percentage
        raise BadInput("fee out of range")
    with localcontext() as context:
        context.prec = PRECISION
        return int(Decimal(units) * percent / 100)


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """Split `total` units over weights by largest remainder, ties to the earlier one; the parts sum to `total` exactly.

    Raises BadInput when there is nothing to weigh by.
    """
    whole = sum(weights)
    if total < 0 or whole <= 0 or any(w < 0 for w in weights):
        raise BadInput("nothing to share out by")
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts
