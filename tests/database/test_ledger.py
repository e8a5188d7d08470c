"""The ledger: it balances or it does not exist, nothing changes it afterwards, and spending stops at zero."""

from __future__ import annotations

import random
import threading
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import ledger
from PGP_COMMON.money_machines.ledger import credit, debit

ETH, USDT = "eth", "usdterc20"


def test_a_posting_moves_both_sides_once(db: BaseDatabaseManager) -> None:
    lines = [debit(ledger.wallet(ETH), 5), credit(ledger.equity(ETH), 5)]
    with db.transaction() as tx:
        assert ledger.post(tx, "wallet.open", 1, lines)
        assert not ledger.post(tx, "wallet.open", 1, lines)
        assert ledger.balance(tx, ledger.wallet(ETH)) == 5
        assert ledger.balance(tx, ledger.equity(ETH)) == 5


def test_what_does_not_balance_in_every_asset_is_refused(db: BaseDatabaseManager) -> None:
    with pytest.raises(BrokenRule), db.transaction() as tx:
        ledger.post(tx, "odd", 1, [debit(ledger.wallet(ETH), 5), credit(ledger.equity(USDT), 5)])
    with pytest.raises(BrokenRule), db.transaction() as tx:
        ledger.post(tx, "empty", 1, [])


def test_the_database_itself_refuses_an_unbalanced_or_empty_transaction_at_commit(db: BaseDatabaseManager) -> None:
    with pytest.raises(BrokenRule, match="ledger_balanced"), db.transaction() as tx:
        tx.run("SELECT ledger_post('odd', '1', CAST(:lines AS jsonb))", lines='[{"code":"wallet","asset":"eth","side":"D","units":5}]')
    with pytest.raises(BrokenRule, match="ledger_balanced"), db.transaction() as tx:
        tx.run("INSERT INTO ledger_tx (kind, reference) VALUES ('empty', '1')")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_posting SET units = units + 1",
        "DELETE FROM ledger_posting",
        "UPDATE ledger_tx SET kind = 'x'",
        "DELETE FROM ledger_tx",
        "TRUNCATE ledger_posting",
    ],
)
def test_nothing_that_was_posted_can_be_changed(db: BaseDatabaseManager, change: str) -> None:
    with db.transaction() as tx:
        ledger.post(tx, "wallet.open", 1, [debit(ledger.wallet(ETH), 5), credit(ledger.equity(ETH), 5)])
    with pytest.raises(BrokenRule, match="append_only"), db.transaction() as tx:
        tx.run(change)  # type: ignore[arg-type]


def test_a_line_cannot_be_added_to_an_older_transaction(db: BaseDatabaseManager) -> None:
    with db.transaction() as tx:
        ledger.post(tx, "wallet.open", 1, [debit(ledger.wallet(ETH), 5), credit(ledger.equity(ETH), 5)])
    with pytest.raises(BrokenRule, match="append_only"), db.transaction() as tx:
        tx.run("INSERT INTO ledger_posting (tx_id, line, account_id, asset, units) SELECT tx_id, 9, account_id, asset, 1 FROM ledger_posting LIMIT 1")


def test_an_owner_cannot_be_paid_what_he_is_not_owed_and_a_fact_is_booked_whatever_it_does(db: BaseDatabaseManager) -> None:
    with pytest.raises(BrokenRule, match="ledger_floor"), db.transaction() as tx:
        ledger.post(tx, "payout.reserve", 1, [debit(ledger.owed(_owner(db), "available", USDT), 5), credit(ledger.owed(_owner(db), "reserved", USDT), 5)])
    with db.transaction() as tx:
        ledger.post(tx, "transfer.gas", 1, [debit(ledger.gas_expense(), 5), credit(ledger.np_transit(ETH), 5)])
        assert ledger.balance(tx, ledger.np_transit(ETH)) == -5


def _owner(db: BaseDatabaseManager) -> int:
    with db.transaction() as tx:
        account = tx.value("INSERT INTO account (email, password_hash) VALUES (gen_random_uuid() || '@x.test', 'x') RETURNING id")
        return int(tx.value("INSERT INTO client_table (account_id) VALUES (:id) RETURNING id", id=account))


def test_writers_that_touch_the_same_accounts_in_other_orders_never_lock_each_other_out(db: BaseDatabaseManager) -> None:
    failures: list[BaseException] = []

    def write(seed: int) -> None:
        dice = random.Random(seed)
        accounts = [ledger.np_transit(ETH), ledger.arrivals(ETH), ledger.suspense(ETH), ledger.equity(ETH), ledger.fee_income(ETH)]
        try:
            for n in range(25):
                one, two, three = dice.sample(accounts, 3)
                with db.transaction() as tx:
                    ledger.post(tx, "mix", f"{seed}/{n}", [debit(one, 3), credit(two, 1), credit(three, 2)])
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with db.reading() as tx:
        assert tx.value("SELECT sum(balance) FROM ledger_account") == 0
        assert tx.value("SELECT count(*) FROM ledger_tx") == 100


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.integers(min_value=-(10**30), max_value=10**30).filter(bool), min_size=1, max_size=6), number=st.integers(0, 10**9))
def test_random_lines_are_taken_exactly_when_they_sum_to_zero(db: BaseDatabaseManager, parts: list[int], number: int) -> None:
    lines = [debit(ledger.np_transit(ETH) if n % 2 else ledger.suspense(ETH), part) for n, part in enumerate(parts)]
    balanced = sum(parts) == 0
    for closing in (lines, [*lines, debit(ledger.equity(ETH), -sum(parts))]):
        reference = uuid.uuid4()
        if sum(line.units for line in closing) == 0 and any(line.units for line in closing):
            with db.transaction() as tx:
                assert ledger.post(tx, "random", reference, closing)
        else:
            assert not balanced
            with pytest.raises(BrokenRule), db.transaction() as tx:
                ledger.post(tx, "random", reference, closing)
