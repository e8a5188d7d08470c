"""Every difference between two books is found, and books that agree are left in peace."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos import books
from tests.chaos.books import Access, OwnerBooks, Payment, Sent, Swap, Transfer

WEI = 10**16
PAID = {"id": 11, "payment_status": "finished", "outcome_amount": "0.01", "outcome_currency": "eth", "payout_state": "sent"}
CREDITED = Payment("11", 1, "credited", "eth", WEI, WEI - 5, 5, 0, WEI, 1)


def test_a_payment_that_both_have_alike_is_no_difference() -> None:
    assert list(books.payments([PAID], [CREDITED])) == []
    assert list(books.payments([{**PAID, "payment_status": "waiting", "outcome_amount": "9"}], [])) == []
    held = replace(CREDITED, state="review", owner=0, fee=0, suspense=WEI, credits=0)
    assert list(books.payments([PAID], [held])) == []
    assert list(books.payments([{**PAID, "payment_status": "refunded"}], [replace(CREDITED, state="review")])) == []


@pytest.mark.parametrize(
    ("vendor", "ours", "word"),
    [
        ([PAID], [], "lost"),
        ([PAID], [replace(CREDITED, state="observed", outcome=0)], "lost"),
        ([PAID], [replace(CREDITED, state="rejected")], "lost"),
        ([PAID], [replace(CREDITED, outcome=WEI - 1)], "lost"),
        ([], [CREDITED], "doubled"),
        ([PAID], [replace(CREDITED, credits=2)], "doubled"),
        ([PAID], [replace(CREDITED, credits=0)], "lost"),
        ([PAID], [replace(CREDITED, fee=6)], "payment 11"),
        ([PAID], [replace(CREDITED, arrived=WEI - 1)], "payment 11"),
        ([{**PAID, "payout_state": "due"}], [CREDITED], "payment 11"),
    ],
)
def test_a_payment_that_differs_is_named(vendor: list[Any], ours: list[Payment], word: str) -> None:
    (line,) = books.payments(vendor, ours)
    assert line.startswith(word)


ORDER = {"id": "e1", "source": "usdt:eth", "from_amount": "12.5"}
DEPOSIT = {"exchange_id": "e1", "units": "12500000", "state": "confirmed", "verdict": "taken"}
FUNDED = Swap(5, "e1", "finished", 12_500_000)


def test_an_order_that_received_its_amount_or_nothing_is_no_difference() -> None:
    assert list(books.exchange([ORDER], [DEPOSIT], [FUNDED])) == []
    assert list(books.exchange([ORDER], [{**DEPOSIT, "state": "gone"}], [replace(FUNDED, state="abandoned")])) == []
    # Nobody of ours knows it: an orphan that nobody funded.
    assert list(books.exchange([ORDER], [], [])) == []


@pytest.mark.parametrize(
    ("orders", "deposits", "ours", "words"),
    [
        ([ORDER], [DEPOSIT, {**DEPOSIT, "verdict": "extra"}], [FUNDED], ["exchange e1 received", "doubled"]),
        ([ORDER], [{**DEPOSIT, "units": "12499999", "verdict": "wrong amount"}], [FUNDED], ["exchange e1 received", "lost"]),
        ([ORDER], [{**DEPOSIT, "verdict": "late"}], [FUNDED], ["exchange e1 received"]),
        ([ORDER], [DEPOSIT], [], ["lost"]),
        ([ORDER], [], [FUNDED], ["swap 5"]),
        ([ORDER], [DEPOSIT], [replace(FUNDED, state="abandoned")], ["swap 5"]),
        ([], [], [FUNDED], ["swap 5: the exchange knows no e1"]),
    ],
)
def test_an_order_that_differs_is_named(orders: list[Any], deposits: list[Any], ours: list[Swap], words: list[str]) -> None:
    lines = list(books.exchange(orders, deposits, ours))
    assert [any(line.startswith(word) for line in lines) for word in words] == [True] * len(words) == [True] * len(lines)


SENT = Sent("0xaa", 0, "usdterc20", "0xAb", 7, 21, succeeded=True)
FINAL = Transfer(3, "0xaa", 0, "usdterc20", "0xab", 7, 21, "swap")


def test_what_left_the_wallet_is_its_final_transfers() -> None:
    assert list(books.wallet_sent([SENT], [FINAL])) == []


@pytest.mark.parametrize(
    ("chain", "ours", "words"),
    [
        ([SENT, replace(SENT, tx_hash="0xbb", nonce=1)], [FINAL], {"doubled", "14"}),
        ([SENT, replace(SENT, tx_hash="0xbb", nonce=1, units=0)], [FINAL], {"strange"}),
        ([], [FINAL], {"lost", "0"}),
        ([replace(SENT, gas_wei=22)], [FINAL], {"transfer"}),
        ([replace(SENT, units=8)], [FINAL], {"transfer", "8"}),
        ([replace(SENT, succeeded=False)], [FINAL], {"transfer"}),
        ([replace(SENT, recipient="0xcd")], [FINAL], {"transfer"}),
    ],
)
def test_whatever_else_left_it_is_named(chain: list[Sent], ours: list[Transfer], words: set[str]) -> None:
    assert {line.split()[0].rstrip(":") for line in books.wallet_sent(chain, ours)} == words


def test_what_came_to_the_wallet_is_what_was_sent_and_what_was_booked() -> None:
    same = {"eth": 5, "usdterc20": 0}
    assert list(books.wallet_received(same, vendor={"eth": 5}, arrivals={"eth": 5})) == []
    for other in ({"chain": {"eth": 6}}, {"vendor": {"eth": 6}}, {"arrivals": {"eth": 4}}):
        given = {"chain": same, "vendor": {"eth": 5}, "arrivals": {"eth": 5}} | other
        assert len(list(books.wallet_received(given["chain"], vendor=given["vendor"], arrivals=given["arrivals"]))) == 1


OWNER = OwnerBooks(1, "0xCC", "eth", earned=100, converted_from=90, owed_eth=10, became=80, owed_usdt=30, paid_out=50, coin_units=WEI, payouts=1)
PAYOUT = {"kind": "payout", "address": "0xcc", "asset": "eth:eth", "amount": "0.01"}


def test_an_owner_received_what_our_payouts_say() -> None:
    held = {("0xcc", "eth"): WEI}
    assert list(books.owners_received([OWNER], [PAYOUT, {**PAYOUT, "kind": "refund"}], [], held)) == []
    direct = replace(OWNER, asset="usdterc20", coin_units=7)
    assert list(books.owners_received([direct], [], [replace(FINAL, purpose="direct", recipient="0xCC")], {("0xcc", "usdterc20"): 7})) == []
    assert list(books.owners_received([replace(OWNER, asset="btc", address="bc1", coin_units=0)], [], [], {})) == []


@pytest.mark.parametrize(
    ("payouts", "held", "words"),
    [
        ([PAYOUT, PAYOUT], {("0xcc", "eth"): 2 * WEI}, ["doubled"]),
        ([], {("0xcc", "eth"): 0}, ["lost"]),
        ([PAYOUT], {("0xcc", "eth"): WEI - 1}, ["owner 1"]),
    ],
)
def test_an_owner_who_received_something_else_is_named(payouts: list[Any], held: dict[tuple[str, str], int], words: list[str]) -> None:
    lines = list(books.owners_received([OWNER], payouts, [], held))
    assert [line.startswith(word) for line, word in zip(lines, words, strict=True)] == [True] * len(words)


def test_what_an_owner_earned_was_paid_out_or_is_still_his_to_the_unit() -> None:
    assert list(books.owners_money([OWNER])) == []
    for change in ({"earned": 101}, {"owed_eth": 11}, {"paid_out": 49}, {"owed_usdt": 31}):
        assert len(list(books.owners_money([replace(OWNER, **change)]))) == 1


LINK = {"link": "https://t.me/+a", "is_revoked": 0}
HAS = Access(-5, 42, live=True, invite_state="sent", link="https://t.me/+a")
INSIDE = {"chat_id": -5, "user_id": 42, "status": "member"}


def _members(*, telegram: list[Any], links: list[Any], ours: list[Access]) -> Iterator[str]:
    return books.members(telegram, links, ours)


def test_whoever_has_paid_is_in_or_has_a_way_in() -> None:
    assert list(_members(telegram=[INSIDE], links=[], ours=[HAS])) == []
    assert list(_members(telegram=[], links=[LINK], ours=[HAS])) == []
    assert list(_members(telegram=[{**INSIDE, "status": "left"}], links=[], ours=[replace(HAS, live=False)])) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda: {"telegram": [], "links": [{**LINK, "is_revoked": 1}], "ours": [HAS]},
        lambda: {"telegram": [], "links": [], "ours": [HAS]},
        lambda: {"telegram": [], "links": [LINK], "ours": [replace(HAS, invite_state="planned")]},
        lambda: {"telegram": [INSIDE], "links": [], "ours": []},
        lambda: {"telegram": [INSIDE], "links": [], "ours": [replace(HAS, live=False)]},
    ],
)
def test_whoever_has_not_paid_is_not_in_and_who_has_paid_is_not_left_outside(change: Callable[[], dict[str, Any]]) -> None:
    assert len(list(_members(**change()))) == 1


def test_a_fraction_of_a_unit_is_nobodys_money() -> None:
    assert books.units("0.000001", "usdterc20") == 1
    with pytest.raises(ValueError, match="fraction"):
        books.units("0.0000001", "usdterc20")
