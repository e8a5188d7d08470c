"""No transfer and no day carries more than an operator allows; what is kept says so, and what can wait for the next one does."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Thread

import pytest

from PGP_COMMON.money_machines import accumulations, ledger, payouts, spending, transfers
from PGP_COMMON.money_machines.payouts import Payout
from PGP_COMMON.money_machines.spending import Limits
from PGP_COMMON.runtime import Runtime
from tests.support.earnings import DOLLAR, ETHER, Town, a_town
from tests.support.hostpay import Harbour, TestChain, a_harbour

# Ten dollars at the exchange's 3 500.
TEN_DOLLARS = ETHER * 10 // 3500


@pytest.fixture
def harbour(database_url: str, chain: TestChain) -> Iterator[Harbour]:
    limits = {"TRANSFER_LIMIT_USDT": "100", "DAILY_LIMIT_USDT": "250.5", "TRANSFER_LIMIT_ETH": "1", "DAILY_LIMIT_ETH": "1.5"}
    with a_harbour(database_url, chain, **limits) as made:
        yield made


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


def limit(town: Town, **settings: str) -> None:
    """Start every service anew under other settings."""
    town._environment.update(settings)
    town.services = {name: town.start(name) for name in town.services}


def sign(harbour: Harbour, asked: int) -> str:
    harbour.hurry("transfer.sign", asked)
    harbour.run("transfer.sign", asked)
    return str(harbour.transfer(asked).state)


@pytest.mark.parametrize(("asset", "most"), [("usdterc20", 100 * DOLLAR), ("eth", ETHER)])
def test_a_transfer_above_the_limit_waits_and_an_operator_is_told_once(harbour, asset, most):
    fits, above = harbour.ask(units=most, asset=asset), harbour.ask(units=most + 1, asset=asset)
    assert sign(harbour, fits) == "signed"
    for _ in range(3):
        assert sign(harbour, above) == "requested"
    assert (
        harbour.value("SELECT last_error FROM work WHERE step = 'transfer.sign' AND subject = :id", id=str(above)) == "it is more than one transfer may carry"
    )
    assert harbour.letters() == [("wallet.limit", f"transfer {above}", "above_transfer_limit")]
    harbour._environment |= {"TRANSFER_LIMIT_USDT": "1000", "TRANSFER_LIMIT_ETH": "1.2", "DAILY_LIMIT_ETH": "3"}
    harbour.services["pgp-hostpay3-v1"] = harbour.start("pgp-hostpay3-v1")
    assert sign(harbour, above) == "signed"


def test_a_day_carries_so_much_of_an_asset_and_the_next_one_goes_on(harbour):
    asked = [harbour.ask(units=100 * DOLLAR) for _ in range(3)]
    assert [sign(harbour, one) for one in asked] == ["signed", "signed", "requested"]
    # The other asset has its own limit.
    assert sign(harbour, harbour.ask(units=ETHER, asset="eth")) == "signed"
    small = harbour.ask(units=50 * DOLLAR + DOLLAR // 2)
    assert sign(harbour, small) == "signed"
    assert sign(harbour, harbour.ask(units=1)) == "requested"
    assert harbour.letters() == [("wallet.limit", "usdterc20", "daily_limit_reached")]
    assert harbour.transfer(asked[2]).nonce is None
    harbour.pass_time(24 * 3600 + 1)
    assert sign(harbour, asked[2]) == "signed"


def test_what_came_back_does_not_count_for_the_day(harbour):
    first = harbour.ask(units=100 * DOLLAR)
    sign(harbour, first)
    with harbour.db.transaction() as tx:
        assert spending.spent(tx, asset="usdterc20") == 100 * DOLLAR
        assert spending.room(tx, Limits(100 * DOLLAR, 150 * DOLLAR), asset="usdterc20") == 50 * DOLLAR
        transfers.stick(tx, first, reason="test")
        transfers.supersede(tx, first, raw=b"", tx_hash="0x" + "ab" * 32, reason="test")
        assert spending.spent(tx, asset="usdterc20") == 0


def test_nothing_is_sent_of_what_has_a_limit_of_nothing(database_url, chain):
    with a_harbour(database_url, chain, TRANSFER_LIMIT_USDT="0") as harbour:
        assert sign(harbour, harbour.ask(units=1)) == "requested"
        assert sign(harbour, harbour.ask(units=1, asset="eth")) == "signed"


def test_two_executors_at_once_do_not_pass_the_days_limit_together(harbour):
    asked = [harbour.ask(units=100 * DOLLAR) for _ in range(4)]
    runtimes = [harbour.start("pgp-hostpay3-v1") for _ in asked]
    barrier = Barrier(len(asked))

    def go(runtime: Runtime, one: int) -> None:
        barrier.wait()
        runtime.engine.run("transfer.sign", str(one))

    threads = [Thread(target=go, args=pair) for pair in zip(runtimes, asked, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in asked:
        sign(harbour, one)
    assert harbour.count("transfer", "state = 'signed'") == 2


# --- planning


def plan_payouts(town: Town) -> list[int]:
    """Plan once; gives back the units of every payout so far."""
    town.fire("payout.plan")
    town.drain(but=("payout.start",))
    return [int(found) for (found,) in town.rows("SELECT units FROM split_payout_que ORDER BY id")]


def pay(town: Town) -> None:
    """The open payout goes its way to the end."""
    town.drain()
    payout, owner, units = town.rows("SELECT id, owner_id, units FROM split_payout_que WHERE state = 'swap_ready'")[0]
    swap = int(town.value("SELECT id FROM swap WHERE payout_id = :id", id=payout))
    town.send_coins(swap)
    tx_hash = town.finish_swap(swap, 1)
    with town.db.transaction() as tx:
        assert payouts.settle(tx, payout, source=Payout.FUNDED, paid_out_units=1, tx_hash=tx_hash)
        accumulations.pay(tx, payout)
        lines = [ledger.debit(ledger.owed(owner, "reserved", "usdterc20"), int(units)), ledger.credit(ledger.in_flight("usdterc20"), int(units))]
        ledger.post(tx, "payout.settle", payout, lines)


def letters(town: Town, source: str) -> list[tuple[str, str]]:
    return [
        (str(subject), str(reason)) for subject, reason in town.rows("SELECT subject, reason FROM failed_transactions WHERE source = :s ORDER BY id", s=source)
    ]


def test_an_owner_with_more_than_a_transfer_carries_is_paid_in_several_payouts(town: Town) -> None:
    limit(town, TRANSFER_LIMIT_USDT="100")
    town.available(town.owner(threshold=50), 60 * DOLLAR, 30 * DOLLAR, 55 * DOLLAR, 99 * DOLLAR)
    assert plan_payouts(town) == [90 * DOLLAR]
    pay(town)
    assert plan_payouts(town) == [90 * DOLLAR, 55 * DOLLAR]
    pay(town)
    assert plan_payouts(town) == [90 * DOLLAR, 55 * DOLLAR, 99 * DOLLAR]
    assert letters(town, "payout.plan") == []


def test_the_days_limit_bounds_a_payout_too(town: Town) -> None:
    limit(town, DAILY_LIMIT_USDT="70")
    town.available(town.owner(threshold=50), 60 * DOLLAR, 60 * DOLLAR)
    assert plan_payouts(town) == [60 * DOLLAR]


def test_money_of_one_payment_above_the_limit_is_a_persons_and_keeps_nobody_up(town: Town) -> None:
    limit(town, TRANSFER_LIMIT_USDT="100", TRANSFER_LIMIT_ETH="0.01")
    owner = town.owner(threshold=50)
    town.available(owner, 200 * DOLLAR, 60 * DOLLAR)
    assert plan_payouts(town) == plan_payouts(town) == [60 * DOLLAR]
    assert letters(town, "payout.plan") == [("accumulation 1", "above_transfer_limit")]
    large, small = town.earn(owner, ETHER // 50), town.earn(owner, TEN_DOLLARS)
    town.fire("conversion.plan")
    town.drain(but=("conversion.quote",))
    assert town.rows("SELECT id FROM payout_accumulation WHERE state = 'converting'") == [(small,)]
    assert letters(town, "conversion.plan") == [(f"accumulation {large}", "above_transfer_limit")]


def test_a_conversion_takes_what_one_transfer_carries_and_the_rest_waits_for_the_next(town: Town) -> None:
    limit(town, TRANSFER_LIMIT_ETH="0.01")
    owner = town.owner()
    rows = [town.earn(owner, TEN_DOLLARS) for _ in range(5)]
    for _ in range(3):
        town.fire("conversion.plan")
        town.drain(but=("conversion.quote",))
    assert town.rows("SELECT from_units FROM batch_conversions ORDER BY id") == [(3 * TEN_DOLLARS,), (2 * TEN_DOLLARS,)]
    assert town.count("payout_accumulation", "state = 'converting'") == len(rows)


def test_a_conversion_takes_no_more_than_the_day_has_left(town: Town) -> None:
    limit(town, DAILY_LIMIT_ETH="0.007")
    owner = town.owner()
    for _ in range(4):
        town.earn(owner, TEN_DOLLARS)
    town.fire("conversion.plan")
    town.drain(but=("conversion.quote",))
    assert town.rows("SELECT from_units FROM batch_conversions") == [(2 * TEN_DOLLARS,)]
    town.drain()
    town.send_coins(int(town.value("SELECT id FROM swap")))
    with town.db.transaction() as tx:
        tx.run("UPDATE transfer SET signed_at = pgp_now()")
    town.fire("conversion.plan")
    town.drain(but=("conversion.quote",))
    assert town.count("batch_conversions") == 1
    with town.db.transaction() as tx:
        tx.run("UPDATE transfer SET signed_at = pgp_now() - interval '25 hours'")
    town.fire("conversion.plan")
    town.drain(but=("conversion.quote",))
    assert town.count("batch_conversions") == 2


def start_again(town: Town) -> None:
    """What waits to be priced is due now, and whatever follows."""
    with town.db.transaction() as tx:
        tx.run("UPDATE work SET not_before = pgp_now() WHERE step = 'payout.start'")
    town.drain()


@pytest.mark.parametrize("setting", ["TRANSFER_LIMIT_USDT", "DAILY_LIMIT_USDT"])
def test_a_payout_above_a_limit_that_was_lowered_asks_for_no_price_and_an_operator_is_told_once(town: Town, setting: str) -> None:
    town.available(town.owner(), 100 * DOLLAR)
    assert plan_payouts(town) == [100 * DOLLAR]
    limit(town, **{setting: "99"})
    for _ in range(3):
        start_again(town)
    assert town.rows("SELECT state, reason FROM split_payout_que") == [("reserved", "it is more than one transfer may carry")]
    assert town.count("quote") == 0
    assert letters(town, "wallet.limit") == [("payout 1", "above_transfer_limit")]
    limit(town, **{setting: "100"})
    start_again(town)
    assert town.count("quote") == 1


def test_a_payout_that_the_day_has_no_room_for_waits_for_the_next_and_an_operator_is_told(town: Town) -> None:
    limit(town, DAILY_LIMIT_USDT="150")
    town.available(town.owner(), 100 * DOLLAR)
    plan_payouts(town)
    pay(town)
    with town.db.transaction() as tx:
        tx.run("UPDATE transfer SET signed_at = pgp_now()")
    town.available(town.owner(), 100 * DOLLAR)
    assert plan_payouts(town) == [100 * DOLLAR, 100 * DOLLAR]
    start_again(town)
    assert town.value("SELECT reason FROM split_payout_que WHERE state = 'reserved'") == "the wallet has sent as much usdterc20 as it may in a day"
    assert letters(town, "wallet.limit") == [("usdterc20", "daily_limit_reached")]
    with town.db.transaction() as tx:
        tx.run("UPDATE transfer SET signed_at = pgp_now() - interval '25 hours'")
    start_again(town)
    assert town.count("quote") == 2
