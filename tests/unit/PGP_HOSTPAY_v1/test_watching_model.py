"""Thousands of worlds in memory: whatever the chain and the process do, each transfer is paid once."""

from __future__ import annotations

import pytest

from tests.support.chain_model import Trouble
from tests.support.executor_model import Mutant, Result, play

SEEDS = 2_000
STORM = Trouble()
# Mistakes need more bad weather to show than a right program needs to be believed.
TEMPEST = Trouble(down=0.05, lost=0.2, evict=0.1, lag=0.15, reorg=0.15, drop_in_reorg=0.9, spike=0.05, refuse_cheap=0.3)


def _wrong(result: Result) -> str:
    if any(times > 1 for times in result.paid.values()):
        return "paid twice"
    if result.frozen:
        return "frozen for nothing"
    if result.unfinished:
        return "unfinished"
    return "unpaid" if any(times == 0 for times in result.paid.values()) else ""


@pytest.mark.parametrize("part", range(4))
def test_every_transfer_is_paid_once_and_the_wallet_is_never_frozen_for_nothing(part):
    for seed in range(part, SEEDS, 4):
        result = play(seed, STORM)
        assert _wrong(result) == "", f"seed {seed}: {result}"
        assert result.nonces == list(range(8)), f"seed {seed}"


def test_heavy_crashes_change_nothing():
    for seed in range(300):
        result = play(seed, TEMPEST, crash=0.3)
        assert _wrong(result) == "", f"seed {seed}: {result}"


def test_the_worlds_are_rough_enough_to_need_several_attempts():
    assert max(play(seed, TEMPEST).attempts for seed in range(40)) >= 3


@pytest.mark.parametrize(
    ("mutant", "harm"),
    [
        (Mutant(new_nonce_on_too_low=True), "paid twice"),
        (Mutant(send_before_commit=True), "paid twice"),
        (Mutant(newest_hash_only=True), "frozen for nothing"),
        (Mutant(one_confirmation=True), "unpaid"),
        (Mutant(mined_is_enough=True), "unpaid"),
    ],
    ids=["new nonce on retry", "send before commit", "newest hash only", "one confirmation", "mined is not looked at again"],
)
def test_a_known_mistake_is_caught(mutant, harm):
    seen: set[str] = set()
    for seed in range(400):
        try:
            seen.add(_wrong(play(seed, TEMPEST, crash=0.1, mutant=mutant)))
        except AssertionError:
            seen.add("two transfers with one nonce")
        if harm in seen:
            return
    pytest.fail(f"only {seen}")
