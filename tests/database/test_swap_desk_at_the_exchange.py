"""The desk against the exchange's simulator, over HTTP: prices, orders, lost answers and rates that lapse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from PGP_COMMON.clients.changenow import ChangeNow
from PGP_COMMON.http import Http
from tests.support.earnings import BITCOIN, DOLLAR, ETHER, OURS, Town, a_town
from tests.support.simulators import Simulator, simulator


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder: Path = tmp_path_factory.mktemp("changenow")
    with simulator("changenow", "--state-dir", folder, "--api-key", "key", "--rate-ttl-s", "600") as running:
        yield running


@pytest.fixture
def town(database_url: str, vendor: Simulator) -> Iterator[Town]:
    vendor.control("reset")
    with a_town(database_url) as made:
        made.meet(ChangeNow(Http("changenow", f"{vendor.url}/v2", read_timeout_s=2), api_key=lambda: "key"))
        yield made


def test_a_conversion_and_a_payout_are_ordered_as_agreed(town: Town, vendor: Simulator) -> None:
    owner = town.owner()
    town.available(owner, 100 * DOLLAR)
    town.earn(owner, ETHER // 10)
    town.fire("conversion.plan")
    town.fire("payout.plan")
    town.drain()
    assert town.value("SELECT state FROM batch_conversions") == "swapping"
    assert town.value("SELECT state FROM split_payout_que") == "swap_ready"
    orders = {order["id"]: order for order in vendor.book("exchanges")}
    mine = []
    for provider_id, payin, receiver in town.rows("SELECT provider_id, payin_address, payout_address FROM swap"):
        order = orders[provider_id]
        mine.append(order["payout_address"])
        assert (order["payin_address"].lower(), order["payout_address"], order["refund_address"]) == (payin.lower(), receiver, OURS)
    assert set(mine) == {OURS, BITCOIN}


def test_a_lost_answer_leaves_a_twin_at_the_exchange_and_one_order_with_us(town: Town, vendor: Simulator) -> None:
    known = len(vendor.book("exchanges"))
    town.available(town.owner(), 100 * DOLLAR)
    vendor.fault("POST /v2/exchange", "lost_answer")
    town.fire("payout.plan")
    town.settle_down()
    assert town.rows("SELECT state, creates FROM swap") == [("created", 2)]
    assert len(vendor.book("exchanges")) - known == 2


def test_below_the_exchanges_minimum_the_money_goes_back(town: Town) -> None:
    town.available(town.owner(threshold=1), DOLLAR)
    town.fire("payout.plan")
    town.drain()
    assert town.rows("SELECT state, reason FROM split_payout_que") == [("released", "the exchange does not take so little")]


def test_small_money_is_too_dear_to_exchange(town: Town) -> None:
    # Ten cents of withdrawal fee are 4 % of two and a half dollars.
    town.available(town.owner(threshold=1), 2_500_000)
    town.fire("payout.plan")
    town.drain()
    assert town.rows("SELECT state, reason FROM split_payout_que") == [("released", "the exchange would cost more than your limit")]
