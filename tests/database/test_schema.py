"""The schema: it is what the migrations make, it goes back, and it repeats the machines' tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Engine

from migrations import run
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.errors import IllegalMove
from PGP_COMMON.health import expected_revision
from PGP_COMMON.money_machines import MACHINES
from PGP_COMMON.rendering import ROOT, schema_page
from tests.support import postgres

TABLES = {
    "order": "orders",
    "payment": "processed_payments",
    "invite": "invite",
    "accumulation": "payout_accumulation",
    "conversion": "batch_conversions",
    "payout": "split_payout_que",
    "swap": "swap",
    "transfer": "transfer",
}


@pytest.fixture
def empty() -> Iterator[Engine]:
    with postgres.empty_database() as url:
        engine = make_engine(url, application="tests")
        yield engine
        engine.dispose()


def test_every_migration_goes_up_and_down_and_leaves_nothing(empty: Engine) -> None:
    revisions = [revision for revision, _ in run.revisions()]
    for revision in revisions:
        run.up(empty, revision)
        assert run.current(empty) == revision
    for revision in [*reversed(revisions[:-1]), "base"]:
        run.down(empty, revision)
    with empty.connect() as connection:
        assert "CREATE TABLE" not in schema_page.schema_sql(connection)
        assert "CREATE FUNCTION" not in schema_page.schema_sql(connection)
    run.up(empty)
    assert run.current(empty) == expected_revision()


def test_the_committed_schema_and_its_page_are_what_the_migrations_make(db: BaseDatabaseManager) -> None:
    for path, text in schema_page.rendered(db.engine).items():
        assert (ROOT / path).read_text() == text, f"{path} differs: run `pgp migrate dump`"


def test_the_database_knows_exactly_the_moves_that_the_machines_declare(db: BaseDatabaseManager) -> None:
    with db.reading() as tx:
        known = tx.value("SELECT array_agg(machine || ' ' || source || ' ' || target ORDER BY 1) FROM legal_move")
    assert sorted(known) == sorted(f"{machine.name} {source} {target}" for machine in MACHINES for source, target in machine.edges())


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_database_allows_exactly_the_states_of_a_machine(db: BaseDatabaseManager, machine: object) -> None:
    table = TABLES[machine.name]  # type: ignore[attr-defined]
    with db.reading() as tx:
        checks = tx.value(
            """
            SELECT pg_get_constraintdef(oid) FROM pg_constraint
             WHERE conrelid = CAST(:table AS regclass) AND pg_get_constraintdef(oid) ~ '^CHECK ..state = ANY .ARRAY.[^]]*.....$'
            """,
            table=table,
        )
        triggers = tx.value("SELECT string_agg(pg_get_triggerdef(oid), ' ') FROM pg_trigger WHERE tgrelid = CAST(:table AS regclass)", table=table)
    allowed = checks.split("state = ANY (ARRAY[", 1)[1].split("]", 1)[0]
    assert {part.strip().split("'")[1] for part in allowed.split(",")} == {str(state) for state in machine.states}  # type: ignore[attr-defined]
    assert triggers.count(f"guard_move('{machine.name}', '{machine.start}')") == 2  # type: ignore[attr-defined]


def test_an_illegal_move_and_an_illegal_birth_are_refused_by_the_database(db: BaseDatabaseManager) -> None:
    with db.transaction() as tx:
        tx.run("INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', 1, 'usdterc20', 'x')")
    with pytest.raises(IllegalMove), db.transaction() as tx:
        tx.run("UPDATE batch_conversions SET state = 'done'")
    with pytest.raises(IllegalMove), db.transaction() as tx:
        tx.run("INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation, state) VALUES ('eth', 1, 'usdterc20', 'x', 'done')")
    with db.reading() as tx:
        assert tx.value("SELECT array_agg(target) FROM state_history") == ["planned"]


@pytest.mark.parametrize("bad", ["'NaN'", "'Infinity'", "0", "-1", "1e38"])
def test_no_amount_that_is_no_amount_can_be_written(db: BaseDatabaseManager, bad: str) -> None:
    with pytest.raises(Exception, match=r"check|overflow|pos_units|numeric|NaN|Infinity|infinit"), db.transaction() as tx:
        tx.run(f"INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', {bad}, 'usdterc20', 'x')")  # type: ignore[arg-type]
