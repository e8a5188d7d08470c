"""What the bot says fits into Telegram's limits, however long names are."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from PGP_COMMON.money_machines.owners import Channel, Tier
from PGP_SERVER_v1 import conversation, texts
from PGP_SERVER_v1.members_store import Access

LONG = "🙂" * 128
CHANNEL = Channel(2**62, 1, -1, -2, LONG, LONG, "x" * 500, "y" * 500, "join_request", None, 100)
TIERS = [Tier(2**62, 1, place, "z" * 64, Decimal("9999.99"), 3660) for place in range(1, 11)]
ACCESS = Access(1, 1, LONG, datetime(2026, 9, 30, 23, 59, tzinfo=UTC), present=False, link="https://t.me/+x", usable=True, spent=False)


def check(said: texts.Say) -> None:
    assert 1 <= len(said.text.encode("utf-16-le")) // 2 <= 4096
    for row in said.buttons:
        for label, kind, value in row:
            assert label
            assert kind in {"url", "data"}
            if kind == "data":
                assert 1 <= len(value.encode()) <= 64


def test_every_message_fits() -> None:
    check(texts.menu([CHANNEL] * conversation.CHANNELS_SHOWN, [ACCESS] * conversation.ACCESSES_SHOWN))
    check(texts.menu([]))
    check(texts.offers(CHANNEL, TIERS))
    check(texts.donation(CHANNEL))
    check(texts.invoice(LONG, Decimal("9999.99"), 3660, "https://pay.test/", rest=False))
    check(texts.way_in(ACCESS))


def test_an_invoice_says_what_it_is_for() -> None:
    assert texts.invoice("Club", Decimal("10.00"), 30, "u", rest=False).text.startswith("30 days of Club: $10.")
    assert texts.invoice("Club", Decimal("2.50"), 30, "u", rest=True).text.startswith("The rest for 30 days of Club: $2.5.")
    assert texts.invoice("Club", Decimal(5), None, "u", rest=False).text.startswith("Your donation to Club: $5.")
