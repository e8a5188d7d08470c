"""Any transfer, any attempts, anything that a chain can say: there is one decision, and never one that could pay twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from PGP_COMMON.clients.ethereum_answers import Fees, Outcome, Receipt, Receipts, TokenTransfer
from PGP_COMMON.money_machines.transfers import Transfer
from PGP_HOSTPAY_v1 import watching
from PGP_HOSTPAY_v1.signing import Bid
from PGP_HOSTPAY_v1.watching import Attempt, Facts, Watched, decide

US, THEM, TOKEN = "0x" + "a1" * 20, "0x" + "b0" * 20, "0x" + "70" * 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WATCHED_STATES = [state.value for state in Transfer if state not in {Transfer.REQUESTED, Transfer.CANCELLED, Transfer.FINAL, Transfer.FAILED_ONCHAIN}]
HASHES = [f"0x{number:064x}" for number in range(5)]
BLOCKS = [f"0x{number:064x}" for number in range(100, 104)]
nonces = st.integers(0, 3)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    """A receipt of one of our hashes, or of an operator's fill, in one of a few blocks."""
    tx_hash, block = draw(st.sampled_from(HASHES)), draw(st.sampled_from(range(4)))
    moved = TokenTransfer(tx_hash, 0, block, BLOCKS[block], TOKEN, US, draw(st.sampled_from([THEM, US])), draw(st.sampled_from([5, 6])))
    return Receipt(
        tx_hash,
        block,
        BLOCKS[block],
        succeeded=draw(st.booleans()),
        gas_used=21_000,
        gas_price_wei=1,
        sender=US,
        transfers=tuple(draw(st.lists(st.just(moved), max_size=2))),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[Watched, list[Attempt], Facts]:
    """A transfer of which one to four attempts exist, and what the nodes say of it."""
    state = draw(st.sampled_from(WATCHED_STATES))
    watched = Watched(
        state,
        US,
        draw(st.sampled_from([None, TOKEN])),
        THEM,
        5,
        draw(nonces),
        draw(st.integers(1, 10**16)),
        missing=draw(st.integers(0, 50)),
        mined_hash=draw(st.sampled_from([None, *HASHES])),
        mined_block_hash=draw(st.sampled_from([None, *BLOCKS])),
        fills=tuple(draw(st.lists(st.just(HASHES[4]), max_size=1))),
    )
    age = st.integers(0, 2_000).map(lambda seconds: NOW - timedelta(seconds=seconds))
    attempts = [Attempt(tx_hash, 21_000, Bid(draw(st.integers(1, 10**12)), 1), draw(age)) for tx_hash in HASHES[: draw(st.integers(1, 4))]]
    found = {receipt.tx_hash: receipt for receipt in draw(st.lists(receipts(), max_size=4))}
    on_chain = set(draw(st.lists(st.sampled_from(BLOCKS), max_size=4)))
    if found and draw(st.booleans()):
        # The row of a transfer in a block says which, and mostly that is still true.
        known = next(iter(found.values()))
        watched = replace(watched, state="mined", mined_hash=known.tx_hash, mined_block_hash=known.block_hash)
        on_chain.add(known.block_hash)
    facts = Facts(
        Receipts(found, complete=draw(st.booleans())),
        frozenset(on_chain),
        finalized=draw(st.integers(-1, 4)),
        nonce_latest=draw(nonces),
        nonce_finalized=draw(nonces),
        fees=Fees(draw(st.integers(0, 10**12)), draw(st.integers(0, 10**9))),
        sending=draw(st.sampled_from([None, *Outcome])),
    )
    return watched, attempts, facts


@settings(max_examples=400)
@given(situations())
def test_every_situation_has_one_decision_that_its_facts_bear_out(situation: tuple[Watched, list[Attempt], Facts]) -> None:
    watched, attempts, facts = situation
    decision = decide(watched, attempts, facts, NOW)
    assert isinstance(decision, watching.Decision)
    ours = {attempt.tx_hash for attempt in attempts}
    match decision:
        case watching.Mined(receipt):
            assert receipt.tx_hash in ours
            assert receipt.block_hash in facts.on_chain
        case watching.Ended(receipt, done):
            assert watched.state == "mined"
            assert receipt.tx_hash == watched.mined_hash in ours
            assert receipt.block_hash == watched.mined_block_hash in facts.on_chain
            assert receipt.block_number <= facts.finalized
            assert done == receipt.succeeded
            assert not (done and watched.token) or [t.recipient for t in receipt.transfers if t.units == watched.units].count(THEM) == 1
        case watching.Bump(bid):
            assert facts.nonce_latest == watched.nonce
            assert bid.max_fee_wei * 8 >= attempts[-1].bid.max_fee_wei * 9
            assert bid.max_fee_wei * attempts[-1].gas <= watched.max_total_fee_wei
        case watching.Freeze(_, stuck) if stuck:
            assert facts.receipts.complete
            assert facts.nonce_finalized > watched.nonce
            assert watched.missing + 1 >= watching.LOOKS_UNTIL_STUCK
        case watching.TakenBack():
            assert watched.state == "mined"
            assert facts.receipts.complete
            assert watched.missing + 1 >= watching.LOOKS_UNTIL_TAKEN_BACK
        case watching.Filled(receipt):
            assert watched.state == "superseded"
            assert receipt.tx_hash in watched.fills
            assert receipt.block_number <= facts.finalized
            assert not ours & {found.tx_hash for found in facts.receipts.by_hash.values() if found.block_hash in facts.on_chain}


def test_every_answer_of_a_node_in_every_state_is_a_decision() -> None:
    """The table whole: states × answers × waited long or not × looked often or not."""
    seen = set()
    for state, sending, age, missing, behind in product(WATCHED_STATES, [None, *Outcome], (0, 10_000), (0, 40), (False, True)):
        watched = Watched(state, US, None, THEM, 5, 1, 10**15, missing=missing, mined_hash=HASHES[0], mined_block_hash=BLOCKS[0])
        facts = Facts(Receipts({}, complete=True), frozenset(), 9, nonce_latest=1, nonce_finalized=2 if behind else 1, fees=Fees(1, 1), sending=sending)
        decision = decide(watched, [Attempt(HASHES[0], 21_000, Bid(10, 1), NOW - timedelta(seconds=age))], facts, NOW)
        seen.add(type(decision))
    assert {
        watching.Wait,
        watching.Send,
        watching.SendPredecessors,
        watching.InPool,
        watching.Count,
        watching.TakenBack,
        watching.Bump,
        watching.Freeze,
    } <= seen


@pytest.mark.parametrize("state", WATCHED_STATES)
@pytest.mark.parametrize("sending", list(Outcome))
def test_only_the_chain_itself_ends_a_transfer(state: str, sending: Outcome) -> None:
    """No answer of a node to our bytes, in any state, however often, is an end, and none asks for another nonce."""
    for missing, complete in product(range(45), (True, False)):
        watched = Watched(state, US, None, THEM, 5, 1, 10**15, missing=missing, mined_hash=HASHES[0], mined_block_hash=BLOCKS[0])
        facts = Facts(Receipts({}, complete=complete), frozenset(), 9, nonce_latest=1, nonce_finalized=1, fees=Fees(1, 1), sending=sending)
        decision = decide(watched, [Attempt(HASHES[0], 21_000, Bid(10, 1), NOW)], facts, NOW)
        assert not isinstance(decision, watching.Ended | watching.Mined | watching.Filled)
