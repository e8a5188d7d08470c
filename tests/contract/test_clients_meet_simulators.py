"""The product's clients against the running simulators: what goes wrong there is named here as the contract says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from PGP_COMMON import http
from PGP_COMMON.clients.changenow import ChangeNow, Coin, Standing
from PGP_COMMON.clients.nowpayments import NowPayments
from PGP_COMMON.clients.prices import ONEINCH_NATIVE, PricedCoin, Prices
from PGP_COMMON.clients.sendgrid import SendGrid
from PGP_COMMON.clients.telegram import Telegram
from PGP_COMMON.errors import AnswerLost, Refused, Throttled, VendorDown
from PGP_COMMON.http import Http
from tests.support.simulators import Simulator, simulator
from tests.support.telegram_world import TOKEN, TelegramWorld, telegram_world

KEY = "test-api-key"
ETH, USDT = Coin("eth", "eth", 18), Coin("usdt", "eth", 6)
WALLET = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    """A read that is repeated at once would use up the fault that a test arms."""
    monkeypatch.setattr(http, "READ_PAUSES_S", ())


@pytest.fixture(scope="module")
def nowpayments_process(tmp_path_factory) -> Iterator[Simulator]:
    flags = ("--api-key", KEY, "--email", "a@b.example", "--password", "p", "--state-dir", tmp_path_factory.mktemp("np"))
    with simulator("nowpayments", *flags, headers={"x-api-key": KEY}) as running:
        yield running


@pytest.fixture
def shop(nowpayments_process: Simulator) -> Simulator:
    nowpayments_process.control("reset", books=True)
    return nowpayments_process


def nowpayments(shop: Simulator, key: str = KEY) -> NowPayments:
    link = Http("nowpayments", shop.url + "/v1", read_timeout_s=1)
    return NowPayments(link, api_key=lambda: key, email=lambda: "a@b.example", password=lambda: "p")


def invoice(vendor: NowPayments) -> Any:
    return vendor.create_invoice(
        price_amount=Decimal("19.99"),
        price_currency="usd",
        order_id="PGP-7|-1001|x",
        order_description="Monthly",
        ipn_callback_url="http://127.0.0.1:1/ipn",
        success_url="https://pay.example/done",
        cancel_url="https://pay.example/cancel",
    )


def test_an_invoice_is_made_paid_and_found_again(shop):
    vendor = nowpayments(shop)
    made = invoice(vendor)
    shop.control(f"invoices/{made.id}/pay", pay_currency="eth")
    (seen,) = vendor.payments(date_from=datetime.now(UTC) - timedelta(days=1)).payments
    payment = vendor.payment(seen.payment_id)
    assert (payment.order_id, payment.invoice_id, payment.price_amount) == ("PGP-7|-1001|x", made.id, Decimal("19.99"))
    assert payment.rank >= 1
    assert vendor.status()
    assert {"eth", "usdterc20"} <= set(vendor.currencies())
    assert vendor.min_amount(currency_from="usdterc20", currency_to="eth").amount > 0
    assert vendor.estimate(amount=Decimal(10), currency_from="usd", currency_to="eth") > 0


@pytest.mark.parametrize(
    ("mode", "value", "error", "invoices"),
    [
        ("lost_answer", None, AnswerLost, 1),
        ("timeout", 2, AnswerLost, 0),
        ("status", 500, VendorDown, 0),
        ("status", 429, Throttled, 0),
        ("status", 403, VendorDown, 0),
    ],
)
def test_trouble_with_an_invoice_has_its_name_whatever_really_happened(shop, mode: str, value: Any, error: type[Exception], invoices: int):
    shop.fault("POST /v1/invoice", mode, value)
    with pytest.raises(error):
        invoice(nowpayments(shop))
    assert len(shop.book("invoices")) == invoices


def test_a_wrong_key_and_an_unknown_payment_are_told_apart(shop):
    with pytest.raises(VendorDown) as refused:
        nowpayments(shop, key="wrong").payment("123")
    assert refused.value.data["code"] == "key_refused"
    with pytest.raises(Refused) as unknown:
        nowpayments(shop).payment("123")
    assert unknown.value.code == "NOT_FOUND"


@pytest.fixture(scope="module")
def exchange(tmp_path_factory) -> Iterator[Simulator]:
    with simulator("changenow", "--api-key", KEY, "--state-dir", tmp_path_factory.mktemp("cn")) as running:
        yield running


def test_a_swap_is_quoted_created_and_looked_up(exchange):
    vendor = ChangeNow(Http("changenow", exchange.url + "/v2"), api_key=lambda: KEY)
    limits = vendor.range(USDT, ETH)
    quote = vendor.estimate(USDT, ETH, amount=Decimal("100.5"))
    assert quote.valid_until > datetime.now(UTC)
    assert limits.minimum < quote.from_amount
    made = vendor.create_exchange(USDT, ETH, amount=Decimal("100.5"), rate_id=quote.rate_id, address=WALLET, refund_address=WALLET)
    assert (made.from_amount, made.to_amount, made.payout_address) == (quote.from_amount, quote.to_amount, WALLET)
    seen = vendor.exchange(made.id)
    assert seen.standing is Standing.FUNDABLE
    assert (seen.payin_address, seen.refund_address) == (made.payin_address, WALLET)
    assert vendor.validate_address(network="eth", address=WALLET)
    assert not vendor.validate_address(network="eth", address="0x12")
    assert any((coin.ticker, coin.network) == ("usdt", "eth") for coin in vendor.currencies())


def test_a_swap_below_the_minimum_names_it_and_a_lost_answer_leaves_an_orphan(exchange):
    vendor = ChangeNow(Http("changenow", exchange.url + "/v2", read_timeout_s=1), api_key=lambda: KEY)
    with pytest.raises(Refused) as small:
        vendor.estimate(USDT, ETH, amount=Decimal("0.01"))
    assert small.value.data["minimum"] > 0
    with pytest.raises(Refused) as unknown:
        vendor.exchange("00000000000000")
    assert unknown.value.code in {"not_found", "not_valid_params"}
    before = len(exchange.book("exchanges"))
    quote = vendor.estimate(USDT, ETH, amount=Decimal(100))
    exchange.fault("POST /v2/exchange", "lost_answer")
    with pytest.raises(AnswerLost):
        vendor.create_exchange(USDT, ETH, amount=Decimal(100), rate_id=quote.rate_id, address=WALLET, refund_address=WALLET)
    assert len(exchange.book("exchanges")) == before + 1


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TelegramWorld]:
    with telegram_world(tmp_path) as running:
        running.control("/updates", {"user": {"id": 42, "first_name": "Ann"}, "text": "/start"})
        yield running


@pytest.mark.filterwarnings("ignore:Deprecated since version v22.2:DeprecationWarning")
@pytest.mark.parametrize(
    ("mode", "value", "error", "arrived"),
    [("lost_answer", None, AnswerLost, 1), ("status", 500, VendorDown, 0), ("status", 429, Throttled, 0), ("status", 403, Refused, 0)],
)
def test_trouble_with_a_message_has_its_name_whatever_really_happened(world, mode: str, value: Any, error: type[Exception], arrived: int):
    bot = Telegram(lambda: TOKEN, base_url=world.url)
    world.fault("sendMessage", mode, value)
    with pytest.raises(error):
        bot.send_message(42, "hello")
    assert len([message for message in world.look("/chats/42/messages") if message["outgoing"]]) == arrived
    assert bot.send_message(42, "again") > 0
    assert bot.get_me() == (123456, "paygate_test_bot")


def test_the_price_is_the_middle_of_the_sources(tmp_path):
    with simulator("prices", "--state-dir", tmp_path) as sources:
        prices = Prices(
            coingecko=Http("coingecko", sources.url + "/coingecko"),
            cryptocompare=Http("cryptocompare", sources.url + "/cryptocompare"),
            oneinch=Http("1inch", sources.url + "/oneinch"),
            oneinch_key=lambda: "any",
        )
        sources.control("prices", coin="eth", usd="3210.5")
        assert prices.usd(PricedCoin("ethereum", "ETH", ONEINCH_NATIVE)) == Decimal("3210.5")


def test_a_mail_is_sent_once_and_a_wrong_key_waits(tmp_path):
    with simulator("sendgrid", "--state-dir", tmp_path, "--api-key", "SG.right") as post:
        link = Http("sendgrid", post.url)
        assert SendGrid(link, api_key=lambda: "SG.right", from_email="a@b.example", from_name="A").send("c@d.example", subject="s", text="t")
        with pytest.raises(VendorDown):
            SendGrid(link, api_key=lambda: "SG.wrong", from_email="a@b.example", from_name="A").send("c@d.example", subject="s", text="t")
        assert len(post.book("mails")) == 1
