"""The arithmetic of fees, and what an attempt's identity covers."""

from __future__ import annotations

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
