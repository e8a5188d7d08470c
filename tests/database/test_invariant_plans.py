"""What is asked every five minutes does not grow with the age of the fleet: no table of history is read from end to end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.money_machines.invariants import INVARIANTS, Breach, Since, breaches, here
from tests.conftest import migrate
from tests.support import postgres
from tests.support.filled import fill

# Tables with a row, or several, for each payment ever made. A few hundred transfers and payouts are read faster than they are looked up.
GROWING = {
    *("orders", "entitlement", "invite", "membership", "processed_payments", "payout_accumulation", "state_history", "ledger_tx", "ledger_posting", "work"),
    "transfer_attempt",
}
PAYMENTS = 20_000


@pytest.fixture(scope="module")
def filled() -> Iterator[BaseDatabaseManager]:
    with postgres.fresh_database(migrate) as url:
        engine = make_engine(url, application="tests")
        db = BaseDatabaseManager(engine)
        fill(db, payments=PAYMENTS)
        yield db
        engine.dispose()


def plan(db: BaseDatabaseManager, sql: str, since: Since) -> str:
    with db.transaction() as tx:
        tx.run("SET LOCAL plan_cache_mode = force_custom_plan")
        explained: Any = "EXPLAIN (COSTS OFF) " + sql
        return "\n".join(str(row[0]) for row in tx._execute(explained, {"history": since.history, "ledger": since.ledger}).rows)


def lately(db: BaseDatabaseManager) -> Since:
    """As much as a busy fleet does in ten minutes."""
    with db.reading() as tx:
        now = here(tx)
    return Since(now.history - 500, now.ledger - 60)


@pytest.mark.parametrize("code", [invariant.code for invariant in INVARIANTS])
def test_no_claim_reads_a_growing_table_from_end_to_end_every_five_minutes(filled: BaseDatabaseManager, code: str) -> None:
    (invariant,) = (invariant for invariant in INVARIANTS if invariant.code == code)
    explained = plan(filled, invariant.recent, lately(filled))
    assert GROWING & set(re.findall(r"Seq Scan on (\w+)", explained)) == set(), explained


def test_a_fleet_that_has_been_in_use_for_long_breaks_no_claim(filled: BaseDatabaseManager) -> None:
    for since in (None, lately(filled)):
        with filled.transaction() as tx:
            assert breaches(tx, since=since) == []


def test_a_violation_among_many_rows_is_found_by_what_has_moved(filled: BaseDatabaseManager) -> None:
    since = lately(filled)
    with filled.transaction() as tx:
        tx.run("SET LOCAL session_replication_role = replica")
        tx.run("UPDATE split_payout_que SET units = units + 1 WHERE id = (SELECT max(id) FROM split_payout_que)")
        found = [(invariant.code, breach) for invariant, breach in breaches(tx, since=since)]
        assert [code for code, _ in found] == ["I08"]
        assert isinstance(found[0][1], Breach)
        tx.run("UPDATE split_payout_que SET units = units - 1 WHERE id = (SELECT max(id) FROM split_payout_que)")
