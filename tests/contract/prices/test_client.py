"""The price sources' clients against what the sources are known to answer."""

from __future__ import annotations

from typing import Any

import pytest

from PGP_COMMON.clients.prices import ONEINCH_NATIVE, PricedCoin, Prices
from PGP_COMMON.http import Http
from tests.support.vendor_records import check, client_records, recorded

ETHER = PricedCoin(coingecko_id="ethereum", symbol="eth", token=ONEINCH_NATIVE)


@pytest.mark.parametrize("record", client_records("prices"))
def test_the_client_asks_and_reads_as_recorded(record: dict[str, Any]) -> None:
    transport = recorded(record)
    prices = Prices(
        coingecko=Http("coingecko", "https://api.coingecko.com", transport=transport),
        cryptocompare=Http("cryptocompare", "https://min-api.cryptocompare.com", transport=transport),
        oneinch=Http("1inch", "https://api.1inch.dev", transport=transport),
        coingecko_key=lambda: "gecko-key",
        cryptocompare_key=lambda: "compare-key",
        oneinch_key=lambda: "inch-key",
        now=lambda: 1711356360.0,
    )
    check(record, lambda: getattr(prices, record["call"])(ETHER))
