"""What an exchange may cost an owner."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.errors import BadInput
from PGP_COMMON.money_machines.quotes import cost_bps
from PGP_SPLIT_v1 import fees

PRICES = st.decimals("0.0001", "200000", places=4)


@pytest.mark.parametrize(
    ("gets", "cost"),
    [("0.00100000", 0), ("0.00099000", 100), ("0.00098001", 200), ("0.00097999", 201), ("0.00101000", -100), ("0.00000001", 10_000)],
)
def test_the_cost_is_what_is_missing_against_the_mid_price(gets: str, cost: int) -> None:
    assert cost_bps(gives=Decimal(100), gets=Decimal(gets), gives_usd=Decimal(1), gets_usd=Decimal(100_000)) == cost


def test_a_dollar_coin_is_not_taken_for_a_dollar() -> None:
    assert cost_bps(gives=Decimal(100), gets=Decimal("0.00097"), gives_usd=Decimal("0.97"), gets_usd=Decimal(100_000)) == 0


@given(gives=PRICES, gets=PRICES, gives_usd=PRICES, gets_usd=PRICES)
def test_the_cost_is_never_rounded_in_the_exchanges_favour(gives: Decimal, gets: Decimal, gives_usd: Decimal, gets_usd: Decimal) -> None:
    cost = cost_bps(gives=gives, gets=gets, gives_usd=gives_usd, gets_usd=gets_usd)
    assert cost <= 10_000
    if cost > -1_000_000:
        assert (gives * gives_usd - gets * gets_usd) * 10_000 <= cost * gives * gives_usd


@pytest.mark.parametrize("nothing", ["gives", "gets", "gives_usd", "gets_usd"])
def test_nothing_is_compared_with_nothing(nothing: str) -> None:
    with pytest.raises(BadInput):
        cost_bps(**{name: Decimal(0 if name == nothing else 1) for name in ("gives", "gets", "gives_usd", "gets_usd")})


@pytest.mark.parametrize(
    ("cost", "cap", "above"), [(200, "2", False), (201, "2", True), (0, "0", False), (1, "0", True), (-5, "0", False), (137, "1.37", False)]
)
def test_exactly_the_cap_is_allowed(cost: int, cap: str, above: bool) -> None:
    assert fees.is_above_cap(cost, cap_percent=Decimal(cap)) is above


def test_a_cost_is_written_in_percent() -> None:
    assert fees.percent(137) == "1.37"
