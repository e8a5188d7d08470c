"""Amounts, addresses and mails as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from PGP_BROADCAST_v1 import texts
from PGP_BROADCAST_v1.store import AddressFacts, Ending, PayoutFacts, Sale
from PGP_COMMON.money_machines.mails import Mail

SALE = Sale("Club", Decimal("20.00"), 30, "Bea", Decimal(9_700_000_000_000_000), "eth", 18, Decimal("19.8049"))
PAYOUT = PayoutFacts(Decimal(50_000_000), 6, "eth", 18, "eth", Decimal(2 * 10**18), "0x" + "a" * 64, None)


@pytest.mark.parametrize(
    ("units", "decimals", "shown"),
    [(1, 18, "0.000000000000000001 ETH"), (10**18, 18, "1 ETH"), (0, 18, "0 ETH"), (123_456_789, 8, "1.23456789 ETH"), (10**38, 0, "1" + "0" * 38 + " ETH")],
)
def test_an_amount_has_every_digit_and_no_exponent(units: int, decimals: int, shown: str) -> None:
    assert texts.amount(units, decimals, "eth") == shown
    assert texts.amount(Decimal(units), decimals, "eth") == shown


def test_the_notices_kind_decides_what_is_said() -> None:
    assert texts.sale("sale", SALE).startswith("🎉 Bea subscribed to Club: 30 days for $20.")
    assert texts.sale("part_paid", SALE).startswith("🟡 Bea paid a part of $20 for Club.")
    assert texts.sale("donation", SALE).startswith("💝 Bea donated $20 to Club.")
    assert "≈ $19.80" in texts.sale("sale", SALE)


def test_only_the_chain_that_the_explorer_knows_is_linked() -> None:
    assert texts.payout_settled(PAYOUT, "https://etherscan.io/tx").endswith(f"https://etherscan.io/tx/0x{'a' * 64}")
    elsewhere = PayoutFacts(Decimal(1), 6, "bnbbsc", 18, "bsc", Decimal(1), "0x" + "a" * 64, None)
    assert "etherscan" not in texts.payout_settled(elsewhere, "https://etherscan.io/tx")


def test_an_address_is_recognised_by_its_owner_and_by_nobody_else() -> None:
    said = texts.address_changed(AddressFacts("eth", "0x52908400098527886E0F7030069857D2E4169EE7", datetime(2026, 5, 4, 3, 2, tzinfo=UTC)))
    assert "0x5290…9EE7" in said
    assert "04 May 2026, 03:02 UTC" in said
    assert "0x52908400" not in said


def test_times_are_said_with_their_zone() -> None:
    ending = Ending("Club", 1, datetime(2026, 5, 4, 3, 2, tzinfo=UTC))
    assert "04 May 2026, 03:02 UTC" in texts.reminder(ending)
    assert "Club" in texts.access_ended(ending)


@pytest.mark.parametrize("kind", ["verify_email", "reset_password"])
def test_a_mails_token_stands_in_the_fragment_alone_and_once_to_copy(kind: str) -> None:
    _, text = texts.mail(Mail(1, kind, "a@b.cc", "t" * 32, sent=False, unknown_sends=0), "https://pay.test/app")
    assert f"https://pay.test/app#{kind.partition('_')[0]}={'t' * 32}" in text
    assert text.count("t" * 32) == 2
    assert "?" not in text
