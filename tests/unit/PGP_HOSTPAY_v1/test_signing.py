"""The arithmetic of fees, and what an attempt's identity covers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.clients.ethereum_answers import Call, Fees, call_hash
from PGP_HOSTPAY_v1.signing import Bid, first_bid, raised_bid, suggested

GWEI = 10**9
wei = st.integers(0, 10**13)
gas_limits = st.integers(21_000, 100_000)
caps = st.integers(10**12, 10**18)
bids = st.builds(lambda tip, more: Bid(tip + more, tip), wei, st.integers(1, 10**13))


@given(fees=st.builds(Fees, wei, wei), gas=gas_limits, cap=caps)
def test_a_first_attempt_pays_the_next_block_and_never_more_than_the_cap(fees, gas, cap):
    bid = first_bid(fees, gas=gas, cap_wei=cap)
    if bid is None:
        assert (fees.base_fee_wei + fees.tip_wei) * gas > cap
    else:
        assert fees.base_fee_wei + fees.tip_wei <= bid.max_fee_wei <= suggested(fees).max_fee_wei
        assert bid.max_fee_wei * gas <= cap
        assert bid.max_priority_wei <= bid.max_fee_wei


@given(last=bids, fees=st.builds(Fees, wei, wei), gas=gas_limits, cap=caps)
def test_a_raised_attempt_replaces_the_last_one_in_every_pool_and_stays_under_the_cap(last, fees, gas, cap):
    bid = raised_bid(last, fees, gas=gas, cap_wei=cap)
    if bid is None:
        return
    assert bid.max_fee_wei * 8 >= last.max_fee_wei * 9
    assert bid.max_priority_wei * 8 >= last.max_priority_wei * 9
    assert bid.max_fee_wei > last.max_fee_wei
    assert bid.max_priority_wei > last.max_priority_wei
    assert bid.max_priority_wei >= fees.tip_wei
    assert bid.max_fee_wei >= fees.base_fee_wei + bid.max_priority_wei
    assert bid.max_fee_wei * gas <= cap


@given(market=st.lists(st.builds(Fees, wei, wei), min_size=1, max_size=40), gas=gas_limits, cap=caps)
def test_attempts_in_a_row_rise_in_both_fields_stay_under_the_cap_and_end(market, gas, cap):
    """Whatever the market does, up or down: each attempt replaces the one before in every pool, and there are only so many."""
    chain = [first_bid(market[0], gas=gas, cap_wei=cap)]
    for fees in market[1:]:
        if chain[-1] is None:
            break
        chain.append(raised_bid(chain[-1], fees, gas=gas, cap_wei=cap))
    bids_made = [bid for bid in chain if bid is not None]
    for before, after in pairwise(bids_made):
        assert after.max_fee_wei * 8 >= before.max_fee_wei * 9
        assert after.max_priority_wei * 8 >= before.max_priority_wei * 9
    assert all(gas * bid.max_fee_wei <= cap for bid in bids_made)
    assert all(0 <= bid.max_priority_wei <= bid.max_fee_wei for bid in bids_made)
    # An eighth more each time: a cap that lets a first attempt pay p lets no more than log(cap / p) attempts be made.
    assert len(bids_made) <= 2 + (cap // gas).bit_length() * 6


@given(last=bids, fees=st.builds(Fees, wei, wei), gas=gas_limits, cap=caps)
def test_there_is_no_dearer_attempt_only_when_the_cap_does_not_allow_the_least_one(last, fees, gas, cap):
    least = max(-(-last.max_fee_wei * 9 // 8), fees.base_fee_wei + max(-(-last.max_priority_wei * 9 // 8), fees.tip_wei))
    if raised_bid(last, fees, gas=gas, cap_wei=cap) is None:
        assert gas * (least + 2) > cap


def test_a_raised_attempt_follows_the_market_when_that_is_more_than_an_eighth():
    assert raised_bid(Bid(41 * GWEI, GWEI), Fees(400 * GWEI, 2 * GWEI), gas=21_000, cap_wei=10**18) == Bid(802 * GWEI, 2 * GWEI)


def test_under_the_cap_the_room_for_a_rising_base_fee_is_given_up_first():
    assert raised_bid(Bid(41 * GWEI, GWEI), Fees(400 * GWEI, 2 * GWEI), gas=21_000, cap_wei=21_000 * 500 * GWEI) == Bid(500 * GWEI, 2 * GWEI)


def test_at_the_cap_there_is_no_dearer_attempt():
    assert raised_bid(Bid(41 * GWEI, GWEI), Fees(400 * GWEI, 2 * GWEI), gas=21_000, cap_wei=21_000 * 401 * GWEI) is None


def test_the_identity_of_a_transfer_covers_recipient_amount_and_data():
    call = Call("0x" + "aB" * 20, 5, b"\x01")
    others = [Call("0x" + "ac" * 20, 5, b"\x01"), Call(call.to, 6, b"\x01"), Call(call.to, 5, b"\x02")]
    assert call_hash(call) == call_hash(Call(call.to.lower(), 5, b"\x01"))
    assert len({call_hash(other) for other in (call, *others)}) == 4
