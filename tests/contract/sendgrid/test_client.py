"""SendGrid's client against what the vendor is known to answer."""

from __future__ import annotations

from typing import Any

import pytest

from PGP_COMMON.clients.sendgrid import SendGrid
from PGP_COMMON.http import Http
from tests.support.vendor_records import check, client_records, recorded


@pytest.mark.parametrize("record", client_records("sendgrid"))
def test_the_client_asks_and_reads_as_recorded(record: dict[str, Any]) -> None:
    http = Http("sendgrid", "https://api.sendgrid.com", transport=recorded(record))
    vendor = SendGrid(http, api_key=lambda: "SG.test", from_email="noreply@pay.example", from_name="PayGatePrime")
    check(
        record,
        lambda: vendor.send(
            "owner@pay.example",
            subject="Payout sent",
            text="It is on its way.",
            html="<p>It is on its way.</p>",
            custom_args={"mail": "17"},
        ),
    )
