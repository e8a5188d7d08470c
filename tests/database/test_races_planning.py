"""Two schedulers plan conversions and payouts at once while money keeps coming in and owners change where they are paid."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import pytest

from PGP_BATCH_v1.batchprocessor.steps import Terms, reserve
from PGP_COMMON.money_machines import coins, owners
from PGP_WEBAPI_v1 import payout_store
from tests.support.crowd import a_crowd, at_once
from tests.support.earnings import BITCOIN, DOLLAR, ETHER, Town, a_town
from tests.support.fake_exchange import an_address

OWNERS, PAYMENTS, PAYERS = 20, 500, 4
PLANNERS = {"conversion.plan": "pgp-microbatchprocessor-v1", "payout.plan": "pgp-batchprocessor-v1"}


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url, pool=32) as made:
        yield made


def pay(town: Town, owner_ids: list[int], seed: int) -> None:
    """A fourth of the payments: half of them in ETH, to be converted, half in USDT, to be paid out; a fifth of them arrive later."""
    dice = random.Random(seed)
    for _ in range(PAYMENTS // PAYERS):
        in_eth = dice.random() < 0.5
        units = dice.randrange(ETHER // 1000, ETHER // 100) if in_eth else dice.randrange(1, 20 * DOLLAR)
        town.earn(dice.choice(owner_ids), units, asset="eth" if in_eth else "usdterc20", arrived=dice.random() > 0.2, fee=dice.randrange(3))


def plan_until_over(town: Town, step: str, number: int, over: threading.Event) -> None:
    """Two schedulers fire for the same moments, and each moment is planned by two threads of two processes."""
    engine = town.start(PLANNERS[step]).engine
    for turn in itertools.count():
        engine.run(step, town.fire(step, f"moment {turn} of thread {number % 5}"))
        if over.wait(0.1):
            return


def test_ten_planners_of_either_kind_lose_and_double_nothing_while_five_hundred_payments_come_in(town: Town) -> None:
    owner_ids = [town.owner(threshold=20) for _ in range(OWNERS)]
    with a_crowd() as crowd:
        for step, number in itertools.product(PLANNERS, range(10)):
            crowd.start(plan_until_over, town, step, number, crowd.over)
        for payer in [crowd.start(pay, town, owner_ids, seed) for seed in range(PAYERS)]:
            payer.join()
        for (payment,) in town.rows("SELECT id FROM processed_payments WHERE payout_hash IS NULL"):
            town.arrive(int(payment))
    # What came last is planned for when nobody else plans.
    town.earn(owner_ids[0], ETHER)
    town.settle_down(but=("conversion.quote", "payout.start"))
    for step in (*PLANNERS, *PLANNERS):
        town.run(step, town.fire(step))
    assert town.count("payout_accumulation") == PAYMENTS + 1
    assert town.count("payout_accumulation", "state = 'pending'") == 0
    assert town.count("batch_conversions") > 3
    assert town.count("split_payout_que") > 5
    assert_planned_once(town)


def assert_planned_once(town: Town) -> None:
    """I07 and I08 before anything is sent: what is planned is the sum of its rows, and the books saw each plan once."""
    town.check_books()
    town.check_invariants()
    assert not town.rows(
        """
        SELECT c.id FROM batch_conversions c LEFT JOIN payout_accumulation a ON a.conversion_id = c.id GROUP BY c.id
        HAVING c.from_units <> coalesce(sum(a.units), 0)
        """
    )
    assert not town.rows("SELECT owner_id FROM split_payout_que WHERE state <> 'released' GROUP BY owner_id HAVING count(*) > 1")
    assert town.count("ledger_tx", "kind = 'conv.start'") == town.count("batch_conversions")
    assert town.count("ledger_tx", "kind = 'payout.reserve'") == town.count("split_payout_que")
    assert town.count("failed_transactions") == 0


def change_address(town: Town, owner_id: int) -> str:
    """What the owners' API does, without its waiting time; gives back the new address."""
    address = an_address()
    with town.db.transaction() as tx:
        owners.lock(tx, owner_id)
        payout_store.drop_waiting_details(tx, owner_id)
        payout_store.add_details(tx, owner_id=owner_id, asset="eth", address=address, wait_s=0)
    return address


@pytest.mark.parametrize("turn", range(3))
def test_an_address_that_changes_while_a_payout_is_reserved_is_in_it_whole_or_not_at_all(town: Town, turn: int) -> None:
    """Coin, address and the row they come from are one snapshot, and everything after it uses that snapshot."""
    owner_ids = [town.owner() for _ in range(8)]
    for owner_id in owner_ids:
        town.available(owner_id, 60 * DOLLAR)
    planners = [town.start("pgp-batchprocessor-v1").engine for _ in range(2)]
    subject = town.fire("payout.plan", "now")
    given = at_once(*(partial(engine.run, "payout.plan", subject) for engine in planners), *(partial(change_address, town, owner_id) for owner_id in owner_ids))
    assert set(given[:2]) <= {"done", "held"}
    assert town.count("split_payout_que") == len(owner_ids)
    # A second change, after the reservation: none of it is read again.
    before = town.rows("SELECT owner_id, details_id, payout_asset, address FROM split_payout_que ORDER BY owner_id")
    assert {(asset, address in {BITCOIN, *given}) for _, _, asset, address in before} <= {("btc", True), ("eth", True)}
    assert all((asset == "btc") == (address == BITCOIN) for _, _, asset, address in before)
    assert (
        town.rows("SELECT p.id FROM split_payout_que p JOIN payout_details d ON d.id = p.details_id WHERE (d.asset, d.address) <> (p.payout_asset, p.address)")
        == []
    )
    for owner_id in owner_ids:
        change_address(town, owner_id)
    town.drain()
    assert town.rows("SELECT owner_id, details_id, payout_asset, address FROM split_payout_que ORDER BY owner_id") == before
    swaps = town.rows("SELECT p.owner_id, s.to_asset, s.payout_address FROM swap s JOIN split_payout_que p ON p.id = s.payout_id ORDER BY 1")
    assert swaps == [(owner_id, asset, address) for owner_id, _, asset, address in before]


def test_whoever_plans_for_an_owner_while_another_one_does_waits_and_finds_him_taken(town: Town) -> None:
    """New money comes in while the first plan is being written: the second one may not begin another payout with it."""
    owner_id = town.owner()
    town.available(owner_id, 60 * DOLLAR)
    runtimes = [town.start("pgp-batchprocessor-v1") for _ in range(2)]
    with town.db.reading() as tx:
        terms = Terms(coins.coin(tx, "usdterc20"), Decimal(1), Decimal(20), Decimal(2), 1000 * DOLLAR)
    given: list[str] = []

    def plan() -> None:
        with runtimes[1].db.transaction() as tx:
            given.append(reserve(tx, owner_id, terms))

    with a_crowd() as crowd:
        with runtimes[0].db.transaction() as tx:
            given.append(reserve(tx, owner_id, terms))
            town.available(owner_id, 70 * DOLLAR)
            second = crowd.start(plan)
            second.join(0.3)
            assert second.is_alive()
        second.join()
    assert given == ["planned", "open"]
    assert town.rows("SELECT units FROM split_payout_que") == [(60 * DOLLAR,)]
    assert_planned_once(town)
