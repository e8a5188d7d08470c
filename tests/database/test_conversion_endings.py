"""How conversions end: shared out to the last unit, back in full, or priced anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from PGP_COMMON.money_machines import swaps
from PGP_COMMON.money_machines.swaps import Swap
from tests.support.earnings import ETHER, Town, a_town


@pytest.fixture
def town(database_url: str) -> Iterator[Town]:
    with a_town(database_url) as made:
        yield made


@pytest.fixture
def funded(town: Town) -> Town:
    """Two owners' thirds of an ETH with an odd wei between them, with the exchange."""
    ann, ben = town.owner(), town.owner()
    for owner, units in ((ann, ETHER // 3), (ben, ETHER // 3 + 1), (ann, ETHER // 7)):
        town.earn(owner, units, fee=ETHER // 1000)
    order(town)
    town.send_coins(1)
    return town


def order(town: Town) -> None:
    town.fire("conversion.plan")
    town.drain()


def finish(town: Town, swap: int = 1) -> None:
    town.fire("conversion.finish", str(swap))
    town.settle_down()


def test_what_arrived_is_shared_out_to_the_last_unit(funded: Town) -> None:
    promised = int(funded.value("SELECT to_units FROM swap"))
    received = promised + 1
    tx_hash = funded.finish_swap(1, promised)
    funded.fire("conversion.finish", "1")
    funded.drain()
    # Nothing is shared out before it is seen.
    assert funded.value("SELECT state FROM batch_conversions") == "swapping"
    assert funded.rows("SELECT step FROM work WHERE subject = :hash", hash=tx_hash) == [("arrival.look",)]
    funded.see(tx_hash, "usdterc20", received)
    funded.settle_down()
    assert funded.rows("SELECT state, received_units FROM batch_conversions") == [("done", received)]
    assert funded.value("SELECT sum(converted_units) FROM payout_accumulation WHERE state = 'converted'") == received
    first, second = funded.rows("SELECT converted_units FROM payout_accumulation ORDER BY id LIMIT 2")
    assert abs(first[0] - second[0]) <= 1
    assert funded.balance(1, "available", "usdterc20") + funded.balance(2, "available", "usdterc20") == received
    assert funded.balance(1, "converting", "eth") == funded.balance(2, "converting", "eth") == 0
    assert funded.value("SELECT balance FROM ledger_account WHERE code = 'in_flight' AND asset = 'eth'") == 0
    assert funded.value("SELECT balance FROM ledger_account WHERE code = 'arrivals' AND asset = 'usdterc20'") == 0


def test_hearing_of_the_end_again_changes_nothing(funded: Town) -> None:
    tx_hash = funded.finish_swap(1, 10**9)
    funded.see(tx_hash, "usdterc20", 10**9)
    finish(funded)
    assert funded.value("SELECT state FROM batch_conversions") == "done"
    before = funded.picture()
    funded.do_everything_again()
    assert funded.picture() == before


def test_a_swap_whose_transfer_is_not_final_is_not_shared_out(town: Town) -> None:
    town.earn(town.owner(), ETHER)
    order(town)
    town.send_coins(1)
    tx_hash = town.finish_swap(1, 5)
    town.see(tx_hash, "usdterc20", 5)
    with town.db.transaction() as tx:
        tx.run("ALTER TABLE transfer DISABLE TRIGGER guard_move")
        tx.run("UPDATE transfer SET state = 'mined'")
    town.known_breaches += ("I11", "I18")
    town.fire("conversion.finish", "1")
    town.drain()
    assert town.rows("SELECT state, last_error FROM work WHERE step = 'conversion.finish'") == [("open", "our transfer is not final")]


def test_a_refund_gives_every_owner_his_eth_back_in_full_and_the_platform_pays_what_is_missing(funded: Town) -> None:
    sent = int(funded.value("SELECT from_units FROM swap"))
    tx_hash = funded.refund_swap(1, sent - 1000)
    finish(funded)
    assert funded.value("SELECT state FROM batch_conversions") == "swapping"
    funded.see(tx_hash, "eth", sent - 1000)
    funded.settle_down()
    assert funded.value("SELECT state FROM batch_conversions") == "refunded"
    assert funded.balance(1, "pending", "eth") == ETHER // 3 + ETHER // 7
    assert funded.balance(2, "pending", "eth") == ETHER // 3 + 1
    assert funded.value("SELECT balance FROM ledger_account WHERE code = 'expense:swap' AND asset = 'eth'") == 1000
    assert funded.value("SELECT balance FROM ledger_account WHERE code = 'in_flight' AND asset = 'eth'") == 0
    before = funded.picture()
    funded.do_everything_again()
    # The plan that is run again collects what came back: that is what it is for.
    assert [row for row in funded.picture()[5] if row[0] != "conv.start"] == [row for row in before[5] if row[0] != "conv.start"]


def test_a_refund_that_comes_back_whole_costs_nothing(funded: Town) -> None:
    sent = int(funded.value("SELECT from_units FROM swap"))
    funded.see(funded.refund_swap(1, sent), "eth", sent)
    finish(funded)
    assert funded.value("SELECT state FROM batch_conversions") == "refunded"
    assert funded.count("ledger_tx", "kind = 'refund.cost'") == 0


def test_a_swap_that_was_never_funded_is_priced_anew(town: Town) -> None:
    town.earn(town.owner(), ETHER)
    order(town)
    with town.db.transaction() as tx:
        assert swaps.abandon(tx, 1, source=Swap.CREATED, reason="deadline too near")
    finish(town)
    assert town.rows("SELECT state FROM swap ORDER BY id") == [("abandoned",), ("created",)]
    assert town.value("SELECT state FROM batch_conversions") == "swapping"
    # Hearing of the first swap again does not touch the second.
    before = town.picture()
    town.do_everything_again()
    assert town.picture() == before


def test_a_swap_that_an_operator_gave_up_leaves_owners_what_they_were_owed(funded: Town) -> None:
    with funded.db.transaction() as tx:
        assert swaps.hold(tx, 1, reason="verifying")
        assert swaps.lose(tx, 1, reason="the exchange is gone")
    finish(funded)
    assert funded.value("SELECT state FROM batch_conversions") == "refunded"
    assert funded.balance(2, "pending", "eth") == ETHER // 3 + 1


def test_after_two_refunds_in_a_row_nothing_is_converted_until_a_person_has_looked(town: Town) -> None:
    town.earn(town.owner(), ETHER)
    for swap in (1, 2):
        order(town)
        town.send_coins(swap)
        town.see(town.refund_swap(swap, ETHER), "eth", ETHER)
        finish(town, swap)
    order(town)
    order(town)
    assert town.count("batch_conversions") == 2
    assert town.rows("SELECT source, reason FROM failed_transactions") == [("conversion.plan", "refunded_twice")]
    town.value("UPDATE failed_transactions SET resolved_at = pgp_now() RETURNING 1")
    order(town)
    assert town.count("batch_conversions", "state = 'swapping'") == 1
