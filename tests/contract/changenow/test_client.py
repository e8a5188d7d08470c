"""ChangeNOW's client against what the vendor is known to answer."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from PGP_COMMON.clients.changenow import ChangeNow, Coin
from PGP_COMMON.http import Http
from tests.support.vendor_records import check, client_records, recorded

USDT = Coin("usdt", "eth", 6)
BTC = Coin("btc", "btc", 8)

CALLS: dict[str, Callable[[ChangeNow], Any]] = {
    "estimate": lambda vendor: vendor.estimate(USDT, BTC, amount=Decimal("50.25")),
    "range": lambda vendor: vendor.range(USDT, BTC),
    "create_exchange": lambda vendor: vendor.create_exchange(
        USDT,
        BTC,
        amount=Decimal("50.25"),
        rate_id="rate-1",
        address="bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
        refund_address="0x00D2aa5C8E0a1bE9c6b3f1D9a8C7e6F5a4B3c2D1",
        user_id="u-1",
    ),
    "exchange": lambda vendor: vendor.exchange("c2036055d1f776"),
    "validate_address": lambda vendor: vendor.validate_address(network="btc", address="abc"),
    "currencies": lambda vendor: vendor.currencies(),
}


@pytest.mark.parametrize("record", client_records("changenow"))
def test_the_client_asks_and_reads_as_recorded(record: dict[str, Any]) -> None:
    vendor = ChangeNow(Http("changenow", "https://api.changenow.io/v2", transport=recorded(record)), api_key=lambda: "test-api-key")
    check(record, lambda: CALLS[record["call"]](vendor))
