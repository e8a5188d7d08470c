"""The whole intake against the vendor's simulator: its invoices, its signatures, its callbacks over a socket, its answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from deploy.simulators.server import Server
from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.http import Http
from PGP_COMMON.money_machines import orders, owners
from PGP_ORCHESTRATOR_v1.steps import Clients
from tests.support.sales import BUYER, Shop
from tests.support.signing import ring
from tests.support.simulators import Simulator, eventually, simulator


class Street:
    """A shop whose vendor is the simulator, and whose webhook listens on a socket."""

    def __init__(self, shop: Shop, vendor: Simulator, url: str) -> None:
        self.shop, self.vendor, self.url = shop, vendor, url
        self.client = NowPayments(Http("nowpayments", f"{vendor.url}/v1"), api_key=lambda: "key", email=lambda: "a@b.test", password=lambda: "word")
        runtime = shop.orchestrator.extensions["pgp"]
        runtime.engine.clients = Clients(self.client, shop.vendor.prices, runtime.publish)

    def invoice(self, invoice_id: int | None = None) -> tuple[int, str]:
        """Have the vendor make an order's invoice; gives back the order and the vendor's id."""
        with self.shop.db.transaction() as tx:
            channel = owners.channel(tx, self.shop.channel_id)
            assert channel is not None
            invoice_id = invoice_id or orders.create(
                tx,
                channel=channel,
                buyer_id=BUYER,
                buyer_name="",
                price_usd=Decimal(20),
                fee_percent=Decimal(3),
                lifetime_s=600,
                tier_id=self.shop.tier_id,
                days=30,
            )
            wanted = orders.invoice(tx, invoice_id)
            assert wanted is not None
        made = self.client.create_invoice(
            price_amount=wanted.price_usd,
            price_currency="usd",
            order_id=wanted.sent_id,
            order_description="order",
            ipn_callback_url=self.url,
            success_url="https://x.test/s",
            cancel_url="https://x.test/c",
        )
        with self.shop.db.transaction() as tx:
            assert orders.attach_invoice(tx, invoice_id, provider_id=made.id, url=made.url)
        return wanted.order_id, made.id

    def until_told(self) -> None:
        """Wait until every callback of the vendor has come, and settle them."""
        eventually(lambda: all(ipn["state"] == "delivered" for ipn in self.vendor.book("ipns")))
        self.shop.settle()

    def state(self, order_id: int) -> str:
        """Where an order is."""
        return str(self.shop.value("SELECT state FROM orders WHERE id = :id", id=order_id))


@pytest.fixture
def street(database_url: str, settings: dict[str, str], tmp_path: Path) -> Iterator[Street]:
    """A shop, its vendor, and the socket between them."""
    shop = Shop(database_url, settings)
    shop.vendor.usd = Decimal(3500)
    server = Server("127.0.0.1", 0, shop.ipn)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    secret = settings["NOWPAYMENTS_IPN_SECRET"]
    flags = ("--state-dir", tmp_path, "--api-key", "key", "--ipn-secret", secret, "--email", "a@b.test", "--password", "word", "--status-pace-s", "0")
    with simulator("nowpayments", *flags) as vendor:
        yield Street(shop, vendor, f"http://127.0.0.1:{server.port}/webhooks/nowpayments-ipn")
    server.shutdown()
    server.server_close()
    shop.close()


def test_an_invoice_that_is_paid_opens_the_channel(street: Street) -> None:
    order_id, invoice = street.invoice()
    street.vendor.control(f"invoices/{invoice}/pay", pay_currency="btc")
    street.until_told()
    assert street.state(order_id) == "paid"
    assert street.shop.rows("SELECT status, state, pay_currency, outcome_asset FROM processed_payments") == [("finished", "credited", "btc", "eth")]
    assert street.shop.value("SELECT count(*) FROM inbox") == 5


def test_half_of_it_and_then_the_rest(street: Street) -> None:
    order_id, invoice = street.invoice()
    street.vendor.control(f"invoices/{invoice}/pay", actually_paid="0.003", pay_currency="eth")
    street.until_told()
    assert street.state(order_id) == "part_paid"
    rest = int(street.shop.value("SELECT max(id) FROM invoice"))
    _, invoice = street.invoice(rest)
    street.vendor.control(f"invoices/{invoice}/pay")
    street.until_told()
    assert street.state(order_id) == "paid"


def test_a_second_deposit_to_the_same_address_is_the_owners(street: Street) -> None:
    _, invoice = street.invoice()
    first = street.vendor.control(f"invoices/{invoice}/pay")
    street.until_told()
    street.vendor.control(f"payments/{first['payment_id']}/deposit", actually_paid="0.002")
    street.until_told()
    assert street.shop.rows("SELECT state, excess FROM processed_payments ORDER BY id") == [("credited", False), ("credited", True)]
    assert street.shop.value("SELECT count(*) FROM entitlement") == 1


def test_a_deposit_in_another_coin_waits_for_a_person(street: Street) -> None:
    order_id, invoice = street.invoice()
    first = street.vendor.control(f"invoices/{invoice}/pay", pay_currency="eth", actually_paid="0.001")
    street.until_told()
    street.vendor.control(f"payments/{first['payment_id']}/deposit", actually_paid="13", pay_currency="usdtbsc", outcome_currency="bnbbsc")
    street.until_told()
    assert street.state(order_id) == "part_paid"
    assert street.shop.rows("SELECT state, review_reason FROM processed_payments ORDER BY id") == [("credited", None), ("review", "wrong_asset")]
    assert street.shop.balance("suspense", "bnbbsc") > 0


def test_callbacks_that_never_came_are_found_in_the_vendors_list(street: Street) -> None:
    order_id, invoice = street.invoice()
    street.vendor.control(f"invoices/{invoice}/pay", ipns=False)
    assert ring(street.shop.orchestrator, "/reconcile", "payments-reconcile", "2026-03-01T09:30:00Z").status_code == 200
    street.shop.settle()
    assert street.state(order_id) == "paid"


def test_a_vendor_that_fails_and_comes_back_loses_nothing(street: Street) -> None:
    order_id, invoice = street.invoice()
    street.vendor.fault("GET /v1/payment/{id}", "status", 500, times=3)
    street.vendor.control(f"invoices/{invoice}/pay")
    street.until_told()
    assert street.state(order_id) == "invoiced"
    street.shop.later(700)
    street.shop.settle(within_s=700)
    assert street.state(order_id) == "paid"
    assert street.shop.letters() == []
