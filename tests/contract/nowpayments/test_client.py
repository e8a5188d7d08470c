"""NOWPayments' client against what the vendor is known to answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.http import Http
from tests.support.vendor_records import check, client_records, recorded

CALLS: dict[str, Callable[[NowPayments], Any]] = {
    "create_invoice": lambda vendor: vendor.create_invoice(
        price_amount=Decimal("19.99"),
        price_currency="usd",
        order_id="PGP-7|-1001|x",
        order_description="Monthly",
        ipn_callback_url="https://pay.example/ipn",
        success_url="https://pay.example/done",
        cancel_url="https://pay.example/cancel",
    ),
    "payment": lambda vendor: vendor.payment("6249365965"),
    "payments": lambda vendor: vendor.payments(date_from=datetime(2026, 11, 1, tzinfo=UTC)),
    "min_amount": lambda vendor: vendor.min_amount(currency_from="btc", currency_to="eth"),
    "estimate": lambda vendor: vendor.estimate(amount=Decimal("10.50"), currency_from="usd", currency_to="btc"),
    "currencies": lambda vendor: vendor.currencies(),
    "status": lambda vendor: vendor.status(),
}


@pytest.mark.parametrize("record", client_records("nowpayments"))
def test_the_client_asks_and_reads_as_recorded(record: dict[str, Any]) -> None:
    http = Http("nowpayments", "https://api.nowpayments.io/v1", transport=recorded(record))
    vendor = NowPayments(http, api_key=lambda: "test-api-key", email=lambda: "owner@pay.example", password=lambda: "test-password")
    check(record, lambda: CALLS[record["call"]](vendor))
