"""How much must have come together: the arithmetic of it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_BATCH_v1 import thresholds
from PGP_COMMON.errors import BadInput
from PGP_COMMON.money import MAX_UNITS, share_out
from PGP_COMMON.money_machines.accumulations import AccumulationRow, per_owner

AMOUNTS = st.integers(min_value=1, max_value=10**24)


def row(number: int, owner: int, units: int) -> AccumulationRow:
    return AccumulationRow(id=number, payment_id=number, owner_id=owner, asset="eth", units=units, converted_units=None)


@given(usd=st.decimals("0.01", "100000", places=2), price=st.decimals("0.0001", "200000", places=4), decimals=st.integers(6, 18))
def test_the_units_of_a_threshold_are_worth_it_and_one_less_is_not(usd: Decimal, price: Decimal, decimals: int) -> None:
    units = thresholds.units_worth(usd, price_usd=price, decimals=decimals)
    assert thresholds.usd_of(units, price_usd=price, decimals=decimals) >= usd
    assert thresholds.usd_of(units - 1, price_usd=price, decimals=decimals) < usd


def test_without_a_price_nothing_can_be_compared() -> None:
    with pytest.raises(BadInput):
        thresholds.units_worth(Decimal(5), price_usd=Decimal(0), decimals=18)


def test_a_tenth_above_the_minimum_is_rounded_up() -> None:
    assert thresholds.units_above_minimum(Decimal("0.000001"), decimals=6) == 2
    assert thresholds.units_above_minimum(Decimal("0.01"), decimals=18) == 11 * 10**15


@given(gas=AMOUNTS, percent=st.decimals("0.1", "100", places=1))
def test_gas_is_no_more_than_its_share(gas: int, percent: Decimal) -> None:
    least = thresholds.units_for_gas(gas, share_percent=percent)
    assert gas * 100 <= percent * least
    assert gas * 100 > percent * (least - 1)


def test_a_share_of_nothing_is_never_met() -> None:
    assert thresholds.units_for_gas(1, share_percent=Decimal(0)) == MAX_UNITS


@given(amounts=st.lists(AMOUNTS, max_size=30), most=st.one_of(st.none(), AMOUNTS))
def test_what_fits_is_a_beginning_of_the_rows_that_stays_within_the_maximum(amounts: list[int], most: int | None) -> None:
    rows = [row(i, 1, units) for i, units in enumerate(amounts)]
    fitting = thresholds.fitting(rows, most_units=most)
    if most is not None:
        # What is too large by itself waits for a person, and keeps nobody up.
        assert all(r.units > most for r in thresholds.too_large(rows, most_units=most))
        rows = [r for r in rows if r not in thresholds.too_large(rows, most_units=most)]
    assert fitting == rows[: len(fitting)]
    if most is None:
        assert fitting == rows
    else:
        assert sum(r.units for r in fitting) <= most
        assert len(fitting) == len(rows) or sum(r.units for r in rows[: len(fitting) + 1]) > most


@given(total=st.integers(0, 10**30), weights=st.lists(AMOUNTS, min_size=1, max_size=60))
def test_sharing_out_gives_every_unit_away_and_nobody_more_than_a_unit_too_much_or_too_little(total: int, weights: list[int]) -> None:
    parts = share_out(total, weights)
    whole = sum(weights)
    assert sum(parts) == total
    assert all(abs(part * whole - total * weight) < whole for part, weight in zip(parts, weights, strict=True))
    # Equal weights differ by a unit at most, and the earlier one is not behind.
    for i, one in enumerate(weights):
        for j in range(i + 1, len(weights)):
            if weights[j] == one:
                assert 0 <= parts[i] - parts[j] <= 1


@given(st.lists(st.tuples(st.integers(1, 5), AMOUNTS), min_size=1, max_size=40), st.integers(1, 10**15))
def test_what_owners_get_is_the_sum_of_what_their_rows_get(pairs: list[tuple[int, int]], received: int) -> None:
    rows = [row(i, owner, units) for i, (owner, units) in enumerate(pairs)]
    assert sum(per_owner(rows).values()) == sum(units for _, units in pairs)
    assert list(per_owner(rows)) == sorted(per_owner(rows))
    assert sum(share_out(received, [r.units for r in rows])) == received
