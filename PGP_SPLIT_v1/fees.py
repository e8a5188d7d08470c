"""What an exchange may cost an owner: pure arithmetic on a quote's cost in hundredths of a percent."""

from __future__ import annotations

from decimal import Decimal

BPS_A_PERCENT = 100


def is_above_cap(cost_bps: int, *, cap_percent: Decimal) -> bool:
    """Whether a quote costs more than a payout may: spread and every fee of the exchange against the mid price. Exactly the cap is allowed."""
    return cost_bps > cap_percent * BPS_A_PERCENT


def percent(cost_bps: int) -> str:
    """A cost for people: 137 is "1.37"."""
    return f"{Decimal(cost_bps) / BPS_A_PERCENT:.2f}"
