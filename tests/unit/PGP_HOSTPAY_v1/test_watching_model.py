"""Thousands of worlds in memory: whatever the chain and the process do, each transfer is paid once."""

from __future__ import annotations

import pytest

from tests.simulation import transfers
from tests.support.chain_model import TEMPEST, Trouble
from tests.support.executor_model import Mutant, play

SEEDS = 2_000
STORM = Trouble()


@pytest.mark.parametrize("part", range(4))
def test_every_transfer_is_paid_once_and_the_wallet_is_never_frozen_for_nothing(part):
    for seed in range(part, SEEDS, 4):
        result = play(seed, STORM)
        assert result.harm == "", f"seed {seed}: {result}"
        assert result.nonces == list(range(8)), f"seed {seed}"


def test_heavy_crashes_change_nothing():
    for seed in range(300):
        result = play(seed, TEMPEST, crash=0.3)
        assert result.harm == "", f"seed {seed}: {result}"


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
        (Mutant(no_second_look=True), "unfinished"),
    ],
    ids=["new nonce on retry", "send before commit", "newest hash only", "one confirmation", "mined is not looked at again", "no second look under the lock"],
)
def test_a_known_mistake_is_caught(mutant, harm):
    seen: set[str] = set()
    for seed in range(400):
        try:
            seen.add(play(seed, TEMPEST, crash=0.1, mutant=mutant).harm)
        except AssertionError:
            seen.add("two transfers with one nonce")
        if harm in seen:
            return
    pytest.fail(f"only {seen}")


def test_the_command_tells_of_every_world_and_fails_when_one_goes_wrong(capsys):
    assert transfers.main(["--seeds", "60", "--heavy-seeds", "10", "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "paid twice" in told
    assert "seeds" in told
    sound = transfers.piece(transfers.Pass("sound", 0, 20, 0.05, STORM), 0, 20)
    assert (sound.seeds, sound.transfers, sound.bad) == (20, 160, {})
    assert all(sound.faults[name] for name in transfers.FAULTS)


@pytest.mark.parametrize("name", transfers.MISTAKES)
def test_the_command_knows_each_mistake(name):
    planted = transfers.Pass(name, 0, 60, transfers.MISTAKE_CRASH, TEMPEST, transfers.MISTAKES[name])
    assert transfers.piece(planted, 0, 60).bad
