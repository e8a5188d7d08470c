"""What only a unique index forbids: each of these is refused by the database itself, whoever else forgot to look."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import bury
from PGP_COMMON.errors import Conflict
from PGP_COMMON.money_machines import arrivals, payouts, quotes, swaps, transfers
from tests.support.country import Country, a_country
from tests.support.crowd import at_once
from tests.support.earnings import DOLLAR
from tests.support.fake_exchange import an_address
from tests.support.hostpay import TestChain


@pytest.fixture
def country(database_url: str, chain: TestChain) -> Iterator[Country]:
    with a_country(database_url, chain) as made:
        yield made


def reserve_without_a_look(tx: Transaction, owner_id: int, details_id: int) -> int:
    return payouts.reserve(tx, owner_id=owner_id, details_id=details_id, asset="usdterc20", units=5, fee_cap_percent=2, correlation="c")  # type: ignore[arg-type]


def test_an_owner_has_one_open_payout_though_nobody_held_his_row(country: Country) -> None:
    owner = country.shop()
    details = int(country.value("SELECT id FROM payout_details WHERE owner_id = :o", o=owner))

    def reserve() -> bool:
        try:
            with country.db.transaction() as tx:
                reserve_without_a_look(tx, owner, details)
        except Conflict:
            return False
        return True

    assert sorted(at_once(*[reserve] * 6)) == [False] * 5 + [True]


def test_a_payout_and_a_conversion_have_one_swap_that_may_carry_money(country: Country) -> None:
    payout = country.reserved()
    country.swap_for(payout)
    with pytest.raises(Conflict, match="swap_live_payout"), country.db.transaction() as tx:
        plan_again(tx, quotes.ask_for_payout(tx, payout))
    with country.db.transaction() as tx:
        conversion = int(
            tx.value("INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', 5, 'usdterc20', 'x') RETURNING id")
        )
        plan_again(tx, quotes.ask_for_conversion(tx, conversion))
    with pytest.raises(Conflict, match="swap_live_conversion"), country.db.transaction() as tx:
        plan_again(tx, quotes.ask_for_conversion(tx, conversion))


def plan_again(tx: Transaction, quote_id: int) -> None:
    tx.run("UPDATE quote SET to_units = 1, rate_id = 'r', valid_until = pgp_now(), priced_at = pgp_now() WHERE id = :id", id=quote_id)
    swaps.plan(tx, quote_id, payout_address=an_address(), payout_extra_id=None, refund_address=an_address())


def test_a_swap_and_a_direct_payout_have_one_transfer_however_many_ask_at_once(country: Country) -> None:
    swap_id, direct = country.swap_for(country.reserved()), country.reserved(asset="usdterc20", address=an_address())

    def ask(**whose: int) -> int | None:
        with country.db.transaction() as tx:
            return transfers.request(
                tx,
                wallet_id=country.wallet_id,
                purpose="swap" if "swap_id" in whose else "direct",
                asset="usdterc20",
                recipient=an_address(),
                units=DOLLAR,
                **whose,
            )

    for whose in ({"swap_id": swap_id}, {"payout_id": direct}):
        given = at_once(*[partial(ask, **whose)] * 6)
        assert sum(asked is not None for asked in given) == 1


def test_one_nonce_of_a_wallet_is_one_transfers(country: Country) -> None:
    first, second = country.ask(units=DOLLAR), country.ask(units=DOLLAR)
    with country.db.transaction() as tx:
        assert transfers.sign(tx, first, nonce=0, calldata_hash=b"x", max_total_fee_wei=1)
    with pytest.raises(Conflict), country.db.transaction() as tx:
        transfers.sign(tx, second, nonce=0, calldata_hash=b"x", max_total_fee_wei=1)


def test_an_arrival_is_booked_once_and_a_letter_is_open_once(country: Country) -> None:
    def book() -> int | None:
        with country.db.transaction() as tx:
            bury(tx, source="a", subject="b", reason="odd")
            return arrivals.book(tx, wallet_id=country.wallet_id, asset="eth", units=5, tx_hash="0x" + "ab" * 32, log="native", block=1, sender=an_address())

    assert sum(made is not None for made in at_once(*[book] * 6)) == 1
    assert country.count("ledger_tx", "kind = 'arrival'") == country.count("failed_transactions") == 1
