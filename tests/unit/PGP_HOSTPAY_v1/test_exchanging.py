"""What the exchange says of a living order, held against what was agreed and sent."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from PGP_COMMON.clients.changenow import Seen
from PGP_COMMON.money_machines.coins import Coin
from PGP_COMMON.money_machines.swaps import SwapRow
from PGP_HOSTPAY_v1.hostpay2_status_checker.exchanging import difference

PAYIN, OURS, OTHER = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
BITCOIN = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
USDT = Coin("usdterc20", "USDT", "usdt", "eth", 6, "evm", None, None, can_pay=True, can_pay_out=True)
BTC = Coin("btc", "Bitcoin", "btc", "btc", 8, "btc", None, None, can_pay=True, can_pay_out=True)
SWAP = SwapRow(
    id=1, reference=uuid.UUID(int=1), quote_id=1, conversion_id=None, payout_id=1, state="created", from_asset="usdterc20", from_units=50_000_000,
    to_asset="btc", to_units=5_000, payout_address=BITCOIN, payout_extra_id=None, refund_address=OURS, deadline=datetime(2026, 1, 1, tzinfo=UTC), creates=1,
    provider_id="x", payin_address=PAYIN, vendor_status=None, vendor_looked_at=None, received_units=None, payout_hash=None, refund_units=None,
    refund_hash=None, reason=None,
)  # fmt: skip
AGREED = Seen(
    id="x", status="waiting", from_ticker="usdt", from_network="eth", to_ticker="btc", to_network="btc", expected_from=Decimal(50),
    expected_to=Decimal("0.00005"), received=None, paid=None, payin_address=PAYIN.lower(), payin_extra_id=None, payout_address=BITCOIN,
    refund_address=OURS, payin_hash=None, payout_hash=None, refund_hash=None, refund_amount=None, valid_until=None,
)  # fmt: skip


def differs(state: str = "created", **changes: Any) -> str:
    return difference(replace(SWAP, state=state), replace(AGREED, **changes), gives=USDT, gets=BTC)


def test_an_order_that_says_what_was_agreed_agrees() -> None:
    assert differs() == ""
    assert differs(expected_from=None, expected_to=None) == ""
    assert differs(expected_to=Decimal("0.0001")) == ""


@pytest.mark.parametrize("state", ["created", "funding", "funded", "hold"])
@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"payin_address": OTHER}, "pay-in"),
        ({"payin_address": "nonsense"}, "pay-in"),
        ({"payout_address": "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"}, "payout"),
        ({"expected_from": Decimal(51)}, "it wants 51"),
        ({"expected_to": Decimal("0.00004")}, "promises only"),
    ],
)
def test_an_address_or_an_amount_that_changed_differs_in_every_state(state: str, changes: dict[str, Any], what: str) -> None:
    assert what in differs(state, **changes)


@pytest.mark.parametrize("status", ["confirming", "exchanging", "sending", "finished", "refunded"])
def test_an_order_that_moves_although_we_paid_nothing_differs(status: str) -> None:
    assert "we have paid nothing" in differs(status=status)
    assert differs("funding", status=status, received=Decimal(50)) == ""
    assert differs("funded", status=status, received=Decimal(50)) == ""


def test_another_amount_than_we_sent_differs() -> None:
    assert differs("funded", status="exchanging", received=Decimal("49.5")) == "it has received 49.5 usdt"
    assert differs("created", received=Decimal(50)) != ""


@pytest.mark.parametrize("status", ["expired", "failed", "verifying", "something new"])
def test_what_a_status_means_is_the_followers_to_judge(status: str) -> None:
    assert differs("funded", status=status) == ""
