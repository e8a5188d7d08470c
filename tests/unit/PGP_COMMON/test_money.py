"""Amounts: integers in base units, exact from text and back, shared out to the last unit."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.errors import BadInput
from PGP_COMMON.money import MAX_UNITS, Amount, exact, fee_of, floor_units, from_units, plain, share_out, to_units

units = st.integers(min_value=0, max_value=10**30)


@given(units, st.integers(0, 18))
def test_an_amount_comes_back_from_its_decimal_text_to_the_unit(value: int, decimals: int) -> None:
    assert to_units(plain(from_units(value, decimals)), decimals) == value


@given(units, st.decimals(min_value=0, max_value=100, places=2))
def test_the_fee_never_takes_more_than_its_percentage_and_the_rest_is_the_owners(value: int, percent: Decimal) -> None:
    fee = fee_of(value, percent)
    assert 0 <= fee <= value
    assert Decimal(fee) <= Decimal(value) * percent / 100 + Decimal(1)
    assert fee * 100 <= value * percent


@given(units, st.lists(st.integers(min_value=0, max_value=10**24), min_size=1, max_size=40).filter(sum))
def test_what_is_shared_out_sums_to_the_last_unit_and_nobody_is_a_whole_unit_off(total: int, weights: list[int]) -> None:
    parts = share_out(total, weights)
    assert sum(parts) == total
    assert all(abs(part * sum(weights) - total * weight) < sum(weights) for part, weight in zip(parts, weights, strict=True))
    assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)


@given(units, st.lists(st.integers(min_value=0, max_value=10**24), min_size=1, max_size=12).filter(sum), st.randoms(use_true_random=False))
def test_whatever_the_order_everybody_gets_the_same_but_for_equal_remainders(total: int, weights: list[int], dice: Random) -> None:
    whole = sum(weights)
    order = list(range(len(weights)))
    dice.shuffle(order)
    parts, shuffled = share_out(total, weights), share_out(total, [weights[place] for place in order])
    moved = dict(zip(order, shuffled, strict=True))
    changed = {total * weights[place] % whole for place, part in enumerate(parts) if moved[place] != part}
    assert len(changed) <= 1


@given(st.integers(0, MAX_UNITS), st.integers(0, 18))
def test_the_largest_number_that_the_database_keeps_survives_every_edge(value: int, decimals: int) -> None:
    assert to_units(plain(from_units(value, decimals)), decimals) == floor_units(from_units(value, decimals), decimals) == value


@given(st.lists(st.integers(0, 10**30), min_size=1, max_size=20), st.decimals(min_value=0, max_value=100, places=2))
def test_fees_taken_one_by_one_are_never_more_than_the_fee_of_it_all(outcomes: list[int], percent: Decimal) -> None:
    """A payment whose outcome grows in steps costs its owner no more than one that came at once."""
    assert sum(fee_of(outcome, percent) for outcome in outcomes) <= fee_of(sum(outcomes), percent)


@given(units, st.lists(st.integers(min_value=1, max_value=10**24), min_size=2, max_size=20))
def test_equal_shares_differ_by_at_most_one_unit_and_the_earlier_has_it(total: int, weights: list[int]) -> None:
    parts = share_out(total, [weights[0]] * len(weights))
    assert parts == sorted(parts, reverse=True)
    assert parts[0] - parts[-1] <= 1


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "", "one", "1,5", "0x10", "1" * 200, "sNaN"])
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        to_units(text, 18)


@pytest.mark.parametrize("value", [1.5, True, None, [1]])
def test_a_float_is_never_money(value: object) -> None:
    with pytest.raises(BadInput):
        exact(value)  # type: ignore[arg-type]
    with pytest.raises((TypeError, BadInput)):
        Amount(value, "eth")  # type: ignore[arg-type]


def test_digits_that_an_asset_does_not_have_are_refused_or_rounded_down_as_asked() -> None:
    with pytest.raises(BadInput):
        to_units("1.0000001", 6)
    assert floor_units("1.0000019", 6) == 1_000_001
    assert floor_units("1e-7", 6) == 0
    with pytest.raises(BadInput):
        floor_units("-1", 6)


def test_nothing_is_larger_than_the_database_can_keep() -> None:
    assert Amount(MAX_UNITS, "eth").units == MAX_UNITS
    for too_much in (lambda: Amount(MAX_UNITS + 1, "eth"), lambda: to_units(MAX_UNITS + 1, 0), lambda: floor_units(MAX_UNITS + 1, 0)):
        with pytest.raises(BadInput):
            too_much()


def test_there_must_be_something_to_share_out_by() -> None:
    for total, weights in ((1, [0, 0]), (-1, [1]), (1, [1, -1]), (1, [])):
        with pytest.raises(BadInput):
            share_out(total, weights)
    with pytest.raises(BadInput):
        fee_of(1, Decimal(101))


def test_a_number_is_written_without_exponent_and_without_empty_zeros() -> None:
    assert [plain(Decimal(text)) for text in ("1E+3", "0.000002", "1e-7", "12.500", "0")] == ["1000", "0.000002", "0.0000001", "12.5", "0"]
