"""A running NOWPayments for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.simulators import Listener, Simulator, listener, simulator

API_KEY = "test-api-key"
SECRET = "test-ipn-secret"
FLAGS = ("--api-key", API_KEY, "--ipn-secret", SECRET, "--email", "merchant@example.org", "--password", "test-password")
HEADERS = {"x-api-key": API_KEY}


def nowpayments(state_dir: Path, *flags: str):
    """Start it with the keys that the records use; callbacks are repeated quickly."""
    fast = ("--ipn-repeats", "2", "--ipn-interval-s", "0.2")
    return simulator("nowpayments", "--state-dir", state_dir, *FLAGS, *fast, *flags, headers=HEADERS)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory) -> Iterator[Simulator]:
    with nowpayments(tmp_path_factory.mktemp("nowpayments")) as running:
        yield running


@pytest.fixture(autouse=True)
def calm(request) -> None:
    """Forget what an earlier test left behind: armed faults, and callbacks that would take the next fault."""
    if "vendor" in request.fixturenames:
        request.getfixturevalue("vendor").control("reset", books=True)


@pytest.fixture
def ear() -> Iterator[Listener]:
    with listener() as listening:
        yield listening


@pytest.fixture
def invoice(vendor, ear):
    """Make an invoice over 35 USD whose callbacks come to `ear`."""
    return make_invoice(vendor, ear)


def make_invoice(vendor, ear, **more):
    body = {"price_amount": 35, "price_currency": "usd", "order_id": "PGP-1|-2|a", "ipn_callback_url": ear.url, **more}
    return vendor.http.post("/v1/invoice", json=body).json()
