"""Every row of the watch's table: what the chain says, and the one thing that follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from PGP_COMMON.clients.ethereum_answers import Fees, Outcome, Receipt, Receipts, TokenTransfer
from PGP_HOSTPAY_v1 import watching
from PGP_HOSTPAY_v1.signing import Bid
from PGP_HOSTPAY_v1.watching import Attempt, Facts, Watched, decide

GWEI = 10**9
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WALLET, RECIPIENT, TOKEN = "0x" + "a1" * 20, "0x" + "B0" * 20, "0x" + "7e" * 20
BLOCK = "0x" + "bb" * 32
SIGNED = Watched("signed", WALLET, None, RECIPIENT, 7, 5, 10**16)
BROADCAST = replace(SIGNED, state="broadcast")
MINED = replace(SIGNED, state="mined", mined_hash="h1", mined_block_hash=BLOCK)


def an_attempt(number: int, *, age_s: int = 0) -> Attempt:
    return Attempt(f"h{number}", 21_000, Bid(40 * GWEI, GWEI), NOW - timedelta(seconds=age_s))


def a_receipt(tx_hash: str, *, block: int = 100, block_hash: str = BLOCK, succeeded: bool = True, units: int | None = None, token: str = TOKEN) -> Receipt:
    logs = () if units is None else (TokenTransfer(tx_hash, 0, block, block_hash, token, WALLET, RECIPIENT.lower(), units),)
    return Receipt(tx_hash, block, block_hash, succeeded, 21_000, 30 * GWEI, WALLET, logs)


def facts(*receipts: Receipt, complete: bool = True, on_chain: frozenset[str] = frozenset({BLOCK}), finalized: int = 90, **more: object) -> Facts:
    known = {receipt.tx_hash: receipt for receipt in receipts}
    base = Facts(Receipts(known, complete), on_chain, finalized, nonce_latest=5, nonce_finalized=5, fees=Fees(20 * GWEI, GWEI))
    return replace(base, **more)


def after(sending: Outcome, *, transfer: Watched = BROADCAST, age_s: int = 0, attempts: int = 1, **more: object):
    tried = [an_attempt(number, age_s=age_s) for number in range(1, attempts + 1)]
    return decide(transfer, tried, facts(sending=sending, **more), NOW)


# --- not in a block


def test_what_is_nowhere_is_sent_first():
    assert decide(SIGNED, [an_attempt(1)], facts(), NOW) == watching.Send()


@pytest.mark.parametrize("answer", [Outcome.SENT, Outcome.ALREADY_KNOWN])
def test_a_signed_transfer_that_a_node_has_is_broadcast(answer):
    assert after(answer, transfer=SIGNED) == watching.InPool()


def test_what_was_counted_is_forgotten_once_a_node_has_it():
    assert after(Outcome.ALREADY_KNOWN, transfer=replace(BROADCAST, missing=7)) == watching.InPool()


def test_in_a_pool_it_is_given_its_time():
    assert after(Outcome.ALREADY_KNOWN, age_s=47) == watching.Wait("in a pool")


def test_the_head_of_the_line_is_raised_after_its_time():
    assert after(Outcome.ALREADY_KNOWN, age_s=48) == watching.Bump(Bid(45 * GWEI, 1_125_000_000))


def test_each_attempt_is_given_twice_the_time_of_the_one_before_up_to_ten_minutes():
    assert [watching.patience_s(n) for n in (1, 2, 3, 4, 5, 9)] == [48, 96, 192, 384, 600, 600]
    assert after(Outcome.SENT, attempts=2, age_s=95) == watching.Wait("in a pool")


def test_whoever_is_not_the_head_of_the_line_is_not_raised():
    assert after(Outcome.ALREADY_KNOWN, age_s=4000, nonce_latest=4) == watching.Wait("others are before it")


def test_at_the_cap_the_same_bytes_go_on_and_a_person_is_told():
    capped = replace(BROADCAST, max_total_fee_wei=21_000 * 41 * GWEI)
    assert after(Outcome.ALREADY_KNOWN, transfer=capped, age_s=4000) == watching.Wait("its fees are at their cap", alert=True)


@pytest.mark.parametrize("answer", [Outcome.UNKNOWN, Outcome.INSUFFICIENT_FUNDS, Outcome.FEE_CAP])
def test_an_answer_that_may_pass_means_the_same_bytes_again_and_a_person_only_when_it_lasts(answer):
    assert after(answer) == watching.Wait(watching.UNCLEAR.get(answer, "no clear answer"))
    assert after(answer, age_s=600).alert


def test_too_cheap_is_raised_at_most_once_a_block():
    assert after(Outcome.UNDERPRICED, age_s=11) == watching.Wait("too cheap")
    assert isinstance(after(Outcome.UNDERPRICED, age_s=12), watching.Bump)


def test_a_refused_replacement_of_our_own_waits_and_a_strangers_is_told():
    assert after(Outcome.REPLACEMENT_UNDERPRICED, attempts=2) == watching.Wait("another transaction with this nonce is in a pool")
    assert after(Outcome.REPLACEMENT_UNDERPRICED).alert
    assert isinstance(after(Outcome.REPLACEMENT_UNDERPRICED, age_s=48), watching.Bump)


def test_a_gap_sends_the_predecessors():
    assert after(Outcome.NONCE_GAP) == watching.SendPredecessors()


def test_what_can_never_be_mined_freezes_the_wallet():
    assert after(Outcome.BUG) == watching.Freeze("a node says that the transaction can never be mined")


def test_a_used_nonce_is_counted_and_never_answered_with_another_one():
    assert after(Outcome.NONCE_TOO_LOW) == watching.Count()
    assert after(Outcome.NONCE_TOO_LOW, transfer=replace(BROADCAST, missing=38), nonce_finalized=6) == watching.Count()


def test_a_nonce_that_is_used_for_good_by_somebody_else_is_stuck():
    waited = replace(BROADCAST, missing=39)
    assert after(Outcome.NONCE_TOO_LOW, transfer=waited, nonce_finalized=6) == watching.Freeze("somebody else used the transfer's nonce", stuck=True)


@pytest.mark.parametrize("more", [{"nonce_finalized": 5}, {"nonce_finalized": 6, "complete": False}])
def test_it_is_not_stuck_before_the_nonce_is_final_and_every_node_was_asked(more):
    assert after(Outcome.NONCE_TOO_LOW, transfer=replace(BROADCAST, missing=500), **more) == watching.Count()


# --- in a block


@pytest.mark.parametrize("state", ["signed", "broadcast"])
@pytest.mark.parametrize("number", [1, 2])
def test_any_attempt_that_is_in_a_block_counts(state, number):
    tried = [an_attempt(1), an_attempt(2)]
    assert decide(replace(SIGNED, state=state), tried, facts(a_receipt(f"h{number}")), NOW) == watching.Mined(a_receipt(f"h{number}"))


def test_a_receipt_from_a_block_that_is_not_on_the_chain_counts_for_nothing():
    assert decide(BROADCAST, [an_attempt(1)], facts(a_receipt("h1"), on_chain=frozenset()), NOW) == watching.Send()


def test_a_mined_transfer_waits_until_its_block_is_final():
    assert decide(MINED, [an_attempt(1)], facts(a_receipt("h1"), finalized=99), NOW) == watching.Wait("not final yet")
    assert decide(MINED, [an_attempt(1)], facts(a_receipt("h1"), finalized=100), NOW) == watching.Ended(a_receipt("h1"), done=True)


def test_a_receipt_that_is_missing_three_times_on_every_node_was_taken_back():
    assert decide(MINED, [an_attempt(1)], facts(), NOW) == watching.Count()
    assert decide(replace(MINED, missing=1), [an_attempt(1)], facts(), NOW) == watching.Count()
    assert decide(replace(MINED, missing=2), [an_attempt(1)], facts(), NOW) == watching.TakenBack()


def test_a_node_that_does_not_answer_takes_nothing_back():
    assert decide(replace(MINED, missing=2), [an_attempt(1)], facts(complete=False), NOW) == watching.Wait("a node did not answer")


def test_a_receipt_that_comes_back_is_not_counted_against_it():
    assert decide(replace(MINED, missing=2), [an_attempt(1)], facts(a_receipt("h1"), finalized=1), NOW) == watching.StillThere()


def test_another_block_or_another_attempt_is_noted():
    moved = a_receipt("h1", block=101, block_hash="0x" + "cc" * 32)
    assert decide(MINED, [an_attempt(1)], facts(moved, on_chain=frozenset({moved.block_hash})), NOW) == watching.Mined(moved)
    assert decide(MINED, [an_attempt(1), an_attempt(2)], facts(a_receipt("h2")), NOW) == watching.Mined(a_receipt("h2"))


def test_a_failed_transaction_is_an_end_only_when_it_is_final():
    failed = a_receipt("h1", succeeded=False)
    assert decide(MINED, [an_attempt(1)], facts(failed, finalized=99), NOW) == watching.Wait("not final yet")
    assert decide(MINED, [an_attempt(1)], facts(failed, finalized=100), NOW) == watching.Ended(failed, done=False)


def test_a_token_moved_only_if_its_event_says_so_exactly():
    tokens = replace(MINED, token=TOKEN)
    right = a_receipt("h1", units=7)
    assert decide(tokens, [an_attempt(1)], facts(right, finalized=100), NOW) == watching.Ended(right, done=True)
    for wrong in (a_receipt("h1"), a_receipt("h1", units=6), a_receipt("h1", units=7, token="0x" + "11" * 20)):
        assert decide(tokens, [an_attempt(1)], facts(wrong, finalized=100), NOW).alert


# --- after an operator had to step in


def test_a_stuck_transfer_waits_for_the_operator_and_tells_when_one_of_its_attempts_won():
    stuck = replace(SIGNED, state="stuck")
    assert decide(stuck, [an_attempt(1)], facts(), NOW) == watching.Wait("an operator acts")
    assert decide(stuck, [an_attempt(1)], facts(a_receipt("h1")), NOW).alert


def test_a_superseded_transfer_ends_when_the_fill_is_final_and_not_before():
    superseded = replace(SIGNED, state="superseded", fills=("fill",))
    assert decide(superseded, [an_attempt(1)], facts(), NOW) == watching.Send()
    assert decide(superseded, [an_attempt(1)], facts(sending=Outcome.SENT), NOW) == watching.Wait("the nonce is being filled")
    assert decide(superseded, [an_attempt(1)], facts(a_receipt("fill"), finalized=99), NOW) == watching.Wait("the nonce is being filled")
    assert decide(superseded, [an_attempt(1)], facts(a_receipt("fill"), finalized=100), NOW) == watching.Filled(a_receipt("fill"))


def test_an_old_attempt_may_still_win_against_the_fill():
    superseded = replace(SIGNED, state="superseded", fills=("fill",))
    assert decide(superseded, [an_attempt(1)], facts(a_receipt("h1"), finalized=100), NOW).alert
