"""A payout that is settled, released and refunded at the same moment, five times each: one of them succeeds, and the books say which."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Job
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import accumulations, payout_ends, payouts
from PGP_COMMON.money_machines.payouts import Payout
from PGP_HOSTPAY_v1.hostpay1_orchestrator import closing
from PGP_HOSTPAY_v1.hostpay2_status_checker import steps as hostpay2
from tests.support.crowd import at_once
from tests.support.earnings import DOLLAR, Town, a_town
from tests.support.fake_exchange import FakeExchange

TIMES = 5
UNITS = 60 * DOLLAR


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url, pool=32) as made:
        for name in ("hostpay1", "hostpay2"):
            made.services[f"pgp-{name}-v1"] = made.start(f"pgp-{name}-v1")
        yield made


def funded(town: Town) -> tuple[int, int]:
    """A payout whose USDT the exchange has; gives back it and its swap."""
    town.available(town.owner(), UNITS)
    town.run("payout.plan", town.fire("payout.plan"))
    town.drain(but=("swap.fund",))
    payout, swap = town.rows("SELECT payout_id, id FROM swap WHERE state = 'created'")[0]
    town.send_coins(int(swap))
    return int(payout), int(swap)


def attempt(town: Town, work: Callable[[Transaction], object], *, service: str = "pgp-hostpay1-v1") -> bool:
    """One transaction of a service; False when it finds that somebody was first."""
    try:
        with town.services[service].db.transaction() as tx:
            return bool(work(tx))
    except BrokenRule:
        return False


# --- three moves from one state


def settle(payout_id: int, tx: Transaction) -> bool:
    accumulations.lock_of_payout(tx, payout_id)
    payout_ends.settle(tx, payouts.lock(tx, payout_id), source=Payout.REVIEW, paid_out_units=1, tx_hash="0x1")
    return True


def release(payout_id: int, tx: Transaction) -> bool:
    accumulations.lock_of_payout(tx, payout_id)
    return payout_ends.release(tx, payouts.lock(tx, payout_id), source=Payout.REVIEW, reason="a person said so")


def refund(payout_id: int, tx: Transaction) -> bool:
    """The exchange's refund, as HOSTPAY1 takes it: it needs a payout that is funded, which this one is no longer."""
    accumulations.lock_of_payout(tx, payout_id)
    payouts.lock(tx, payout_id)
    return payouts.expect_refund(tx, payout_id)


@pytest.mark.parametrize("turn", range(4))
def test_of_five_settlements_releases_and_refunds_at_once_one_succeeds(town: Town, dice: random.Random, turn: int) -> None:
    payout_id, swap_id = funded(town)
    town.finish_swap(swap_id, 1)
    with town.db.transaction() as tx:
        assert payouts.review(tx, payout_id, source=Payout.FUNDED, reason="odd")
    owner = int(town.value("SELECT owner_id FROM split_payout_que WHERE id = :id", id=payout_id))
    moves = [partial(attempt, town, partial(move, payout_id)) for move in (settle, release, refund) for _ in range(TIMES)]
    dice.shuffle(moves)
    won = at_once(*moves)
    assert won.count(True) == 1
    state = town.value("SELECT state FROM split_payout_que WHERE id = :id", id=payout_id)
    if state == "released":
        # No verb releases it while its swap has paid; here only the race counts.
        town.known_breaches = (*town.known_breaches, "I10")
    posted = {kind for (kind,) in town.rows("SELECT kind FROM ledger_tx WHERE kind IN ('payout.settle', 'payout.release')")}
    assert (state, posted) in [("settled", {"payout.settle"}), ("released", {"payout.release"})]
    assert town.balance(owner, "reserved", "usdterc20") == 0
    assert town.balance(owner, "available", "usdterc20") == (UNITS if state == "released" else 0)
    assert town.count("payout_accumulation", "state = 'paid'") == int(state == "settled")
    town.check_books()


# --- the exchange says one thing and another


def look(town: Town, swap_id: int, **says: Any) -> Commit:
    """What HOSTPAY2 makes of an exchange that says this."""
    engine = town.services["pgp-hostpay2-v1"].engine
    exchange = FakeExchange(exchanges=town.exchange.exchanges, on_look=[lambda seen: seen.update(says)])
    clients = hostpay2.Clients(chain=town.chain, exchange=exchange.client)
    return hostpay2.look_after_funding(Job("swap.follow", str(swap_id), "start", 1, 1, engine.db, engine.config, clients))


def close(town: Town, subject: str) -> Commit:
    """What HOSTPAY1 makes of an end."""
    engine = town.services["pgp-hostpay1-v1"].engine
    return closing.close_swap(Job("swap.ended", subject, "start", 1, 1, engine.db, engine.config, None))


@pytest.mark.parametrize("turn", range(4))
def test_an_exchange_that_says_finished_refunded_and_failed_at_once_is_believed_once(town: Town, dice: random.Random, turn: int) -> None:
    payout_id, swap_id = funded(town)
    came_back = "0x" + "ab" * 32
    to_units = town.value("SELECT to_units FROM swap WHERE id = :id", id=swap_id)
    words = [
        {"status": "finished", "amountTo": str(Decimal(to_units) / 10**8), "payoutHash": "abc"},
        {"status": "refunded", "refundHash": came_back, "refundAmount": "60"},
        {"status": "failed"},
    ]
    looks = [look(town, swap_id, **words[number % 3]) for number in range(3 * TIMES)]
    dice.shuffle(looks)
    at_once(*(partial(attempt, town, commit, service="pgp-hostpay2-v1") for commit in looks))
    ends = [
        end
        for (end,) in town.rows("SELECT target FROM state_history WHERE machine = 'swap' AND subject = :id AND target IN ('finished', 'refunded')", id=swap_id)
    ]
    assert len(ends) <= 1
    if ends == ["refunded"]:
        town.see(came_back, "usdterc20", UNITS)
    closes = [close(town, subject) for subject in (str(swap_id), f"{swap_id}:review") for _ in range(TIMES)]
    dice.shuffle(closes)
    at_once(*(partial(attempt, town, commit) for commit in closes))
    state = town.value("SELECT state FROM split_payout_que WHERE id = :id", id=payout_id)
    if state == "released":
        # No verb releases it while its swap has paid; here only the race counts.
        town.known_breaches = (*town.known_breaches, "I10")
    posted = sorted(kind for (kind,) in town.rows("SELECT kind FROM ledger_tx WHERE kind IN ('payout.settle', 'payout.release')"))
    expected = {("finished",): ("settled", ["payout.settle"]), ("refunded",): ("released", ["payout.release"]), (): ("review", [])}[tuple(ends)]
    assert (state, posted) == expected
    town.check_books()
