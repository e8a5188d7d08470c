"""What each word of the exchange means once it has our coins."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from PGP_COMMON.clients.changenow import STANDINGS, Seen, Standing, standing
from PGP_HOSTPAY_v1.following import Finished, Followed, Held, Refunded, Working, judge, unknown

SWAP = Followed("0xPayIn", "bc1owner", to_units=5_000, from_decimals=6, to_decimals=8, minutes=1)
HOUR, THREE_DAYS = 60, 72 * 60


def seen(status: str, **more: object) -> Seen:
    base = Seen(
        id="x", status=status, from_ticker="usdt", from_network="eth", to_ticker="btc", to_network="btc", expected_from=None, expected_to=None,
        received=None, paid=None, payin_address="0xPAYIN", payin_extra_id=None, payout_address="bc1owner", refund_address=None, payin_hash=None,
        payout_hash=None, refund_hash=None, refund_amount=None, valid_until=None,
    )  # fmt: skip
    return replace(base, **more)


@pytest.mark.parametrize("status", ["new", "waiting"])
def test_an_exchange_that_has_not_seen_our_coins_is_fine_for_an_hour(status):
    assert judge(SWAP, seen(status)) == Working()
    assert judge(replace(SWAP, minutes=HOUR), seen(status)) == Working("the exchange has not seen our coins")


@pytest.mark.parametrize("status", ["confirming", "exchanging", "sending"])
def test_an_exchange_that_works_is_waited_for(status):
    assert judge(SWAP, seen(status)) == Working()
    assert judge(replace(SWAP, minutes=THREE_DAYS), seen(status)).alarm


def test_finished_needs_a_hash_and_at_least_what_was_agreed():
    assert judge(SWAP, seen("finished", paid=Decimal("0.00005000"), payout_hash="AbC")) == Finished(5_000, "AbC")
    assert judge(SWAP, seen("finished", paid=Decimal("0.00006"), payout_hash="0xAB")) == Finished(6_000, "0xab")
    assert judge(SWAP, seen("finished", paid=Decimal("0.00004999"), payout_hash="AbC")).review
    assert judge(SWAP, seen("finished", paid=Decimal("0.00005"))) == Working()
    assert judge(replace(SWAP, minutes=HOUR), seen("finished", payout_hash="AbC")).alarm


def test_a_refund_may_say_its_amount_and_transaction_later():
    assert judge(SWAP, seen("refunded")) == Refunded(None, None)
    assert judge(SWAP, seen("refunded", refund_amount=Decimal("49.5"), refund_hash="0xAB")) == Refunded(49_500_000, "0xab")


@pytest.mark.parametrize("status", ["failed", "expired"])
def test_a_failed_exchange_is_a_persons(status):
    assert judge(SWAP, seen(status)) == Held(f"the exchange says {status}", alarm=True, review=True)


def test_an_identity_check_is_a_quiet_hold_for_three_days():
    assert judge(SWAP, seen("verifying")) == Held("the exchange says verifying")
    assert judge(replace(SWAP, minutes=THREE_DAYS), seen("verifying")) == Held("the exchange says verifying", review=True)


@pytest.mark.parametrize("status", ["", "FINISHED", "on_fire", "x" * 5_000])
def test_a_word_that_nobody_knows_is_a_hold_and_an_alarm(status):
    verdict = judge(SWAP, seen(status))
    assert isinstance(verdict, Held)
    assert verdict.alarm
    assert not verdict.review


def test_other_addresses_than_agreed_are_never_a_finish():
    for change in ({"payin_address": "0xother"}, {"payout_address": "bc1other"}):
        assert judge(SWAP, seen("finished", paid=Decimal(1), payout_hash="h", **change)).review


def test_a_look_without_an_answer_is_no_waiting():
    assert unknown(SWAP, "why") == Held("why", alarm=True)
    assert unknown(replace(SWAP, minutes=THREE_DAYS), "why").review


words = st.one_of(st.sampled_from([*STANDINGS, "Finished", "FINISHED", " finished", "", "completed"]), st.text(max_size=30))
amounts = st.none() | st.decimals(min_value=0, max_value=10**12, places=8)
hashes = st.none() | st.sampled_from(["0x" + "AB" * 32, "abc", ""])


@given(
    st.builds(seen, words, paid=amounts, refund_amount=amounts, payout_hash=hashes, refund_hash=hashes, payin_address=st.sampled_from(["0xPayIn", "0xother"])),
    st.integers(0, 10_000),
)
def test_every_word_has_one_meaning_and_only_finished_as_agreed_is_a_finish(found: Seen, minutes: int) -> None:
    verdict = judge(replace(SWAP, minutes=minutes), found)
    assert isinstance(verdict, Working | Finished | Refunded | Held)
    if isinstance(verdict, Finished):
        assert found.status == "finished"
        assert found.payin_address == "0xPayIn"
        assert verdict.units >= SWAP.to_units
    if isinstance(verdict, Refunded):
        assert found.status == "refunded"
    if found.status not in STANDINGS:
        assert verdict == Held(f"the exchange says {found.status}"[:80], alarm=True, review=minutes >= THREE_DAYS) or found.payin_address == "0xother"


@given(st.text(max_size=40))
def test_a_status_that_nobody_knows_is_never_fundable(status: str) -> None:
    assert standing(status) in Standing
    assert (standing(status) is Standing.FUNDABLE) == (status in {"new", "waiting"})


def test_every_standing_is_somebodys_word() -> None:
    assert set(STANDINGS.values()) == set(Standing)
