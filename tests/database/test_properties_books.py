"""The books and the lives, at random: the database takes exactly what balances, and exactly the moves of the tables."""

from __future__ import annotations

import json
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import BrokenRule, IllegalMove
from PGP_COMMON.money import MAX_UNITS
from PGP_COMMON.states import Machine
from tests.database.test_schema import MACHINES

ASSETS = ("eth", "usdterc20", "btc")
FEW = [HealthCheck.function_scoped_fixture]
amounts = st.one_of(st.integers(-20, 20), st.integers(-(10**36), 10**36)).filter(bool)
lines = st.lists(st.tuples(st.sampled_from(("suspense", "np_transit", "equity", "expense:swap")), st.sampled_from(ASSETS), amounts), max_size=6)


def post(db: BaseDatabaseManager, posting: list[tuple[str, str, int]]) -> None:
    """Past the check in Python: what only the database refuses, it refuses at the commit."""
    rows = [{"code": code, "asset": asset, "side": "C", "floor": False, "units": str(units)} for code, asset, units in posting]
    with db.transaction() as tx:
        tx.value("SELECT ledger_post('random', :reference, CAST(:lines AS jsonb))", reference=str(uuid.uuid4()), lines=json.dumps(rows))


def balances(posting: list[tuple[str, str, int]]) -> bool:
    sums = [sum(units for _, line_asset, units in posting if line_asset == asset) for asset in ASSETS]
    return bool(posting) and not any(sums)


@settings(max_examples=120, suppress_health_check=FEW)
@given(lines, st.sampled_from(("as it is", "closed", "closed in another asset")))
def test_the_database_posts_exactly_what_balances_in_every_asset(db: BaseDatabaseManager, posting: list[tuple[str, str, int]], how: str) -> None:
    missing = -sum(units for _, _, units in posting)
    if how == "closed in another asset" and missing:
        # It sums to nothing, and yet one asset has paid for another.
        posting = [*posting, ("suspense", "btc", missing)]
    if how == "closed":
        posting = posting + [
            ("suspense", asset, -sum(u for _, a, u in posting if a == asset)) for asset in ASSETS if sum(u for _, a, u in posting if a == asset)
        ]
    before = count(db)
    if balances(posting):
        post(db, posting)
    else:
        with pytest.raises(BrokenRule, match="ledger_balanced"):
            post(db, posting)
    assert count(db) - before == int(balances(posting))
    with db.reading() as tx:
        assert tx.value("SELECT count(*) FROM (SELECT asset FROM ledger_account GROUP BY asset HAVING sum(balance) <> 0) odd") == 0
        kept = "SELECT count(*) FROM ledger_account a WHERE a.balance <> (SELECT coalesce(sum(units), 0) FROM ledger_posting p WHERE p.account_id = a.id)"
        assert tx.value(kept) == 0


def count(db: BaseDatabaseManager) -> int:
    with db.reading() as tx:
        return int(tx.value("SELECT count(*) FROM ledger_tx"))


@settings(max_examples=40, suppress_health_check=FEW)
@given(st.integers(1, MAX_UNITS))
def test_the_largest_amounts_come_back_to_the_unit(db: BaseDatabaseManager, units: int) -> None:
    with db.reading() as tx:
        insert = "INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', :units, 'usdterc20', 'x') RETURNING from_units"
        assert int(tx.value(insert, units=units)) == units


@pytest.mark.parametrize("units", [0, -1, MAX_UNITS + 1, 10**60])
def test_what_is_no_amount_is_refused_at_both_ends(db: BaseDatabaseManager, units: int) -> None:
    with pytest.raises(BrokenRule), db.reading() as tx:
        tx.run("INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', :units, 'usdterc20', 'x')", units=units)


# --- lives


@pytest.fixture
def walks(db: BaseDatabaseManager) -> BaseDatabaseManager:
    """A bare table for each machine, under the product's own trigger: nothing but the life is checked."""
    with db.reading() as tx:
        for machine in MACHINES:
            statement = f"CREATE TABLE walk_{machine.name} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL)"
            trigger = f"CREATE TRIGGER life BEFORE INSERT OR UPDATE ON walk_{machine.name} FOR EACH ROW EXECUTE FUNCTION guard_move('{machine.name}', '{machine.start}')"
            for sql in (statement, trigger):
                tx.run(sql)  # type: ignore[arg-type]
    return db


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_random_walk_goes_exactly_where_the_table_lets_it(walks: BaseDatabaseManager, machine: Machine) -> None:  # type: ignore[type-arg]
    """The model is the table: a move that it does not have is refused and changes nothing, and the history is the walk."""
    states = [str(state) for state in machine.states]
    edges = set(machine.edges())

    @settings(max_examples=25, suppress_health_check=FEW)
    @given(st.lists(st.sampled_from(states), min_size=1, max_size=14))
    def walk(targets: list[str]) -> None:
        with walks.reading() as tx:
            subject = int(tx.value(f"INSERT INTO walk_{machine.name} (state) VALUES (:start) RETURNING id", start=str(machine.start)))  # type: ignore[arg-type]
            state, steps = str(machine.start), [str(machine.start)]
            for target in targets:
                if target == state or (state, target) in edges:
                    tx.run(f"UPDATE walk_{machine.name} SET state = :to WHERE id = :id", to=target, id=subject)  # type: ignore[arg-type]
                    steps += [target] if target != state else []
                    state = target
                else:
                    with pytest.raises(IllegalMove):
                        tx.run(f"UPDATE walk_{machine.name} SET state = :to WHERE id = :id", to=target, id=subject)  # type: ignore[arg-type]
            assert tx.value(f"SELECT state FROM walk_{machine.name} WHERE id = :id", id=subject) == state  # type: ignore[arg-type]
            history = "SELECT array_agg(target ORDER BY id) FROM state_history WHERE machine = :machine AND subject = :id"
            assert tx.value(history, machine=machine.name, id=subject) == steps

    walk()


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_life_begins_only_where_it_begins(walks: BaseDatabaseManager, machine: Machine) -> None:  # type: ignore[type-arg]
    for state in machine.states:
        if state != machine.start:
            with pytest.raises(IllegalMove), walks.reading() as tx:
                tx.run(f"INSERT INTO walk_{machine.name} (state) VALUES (:state)", state=str(state))  # type: ignore[arg-type]
