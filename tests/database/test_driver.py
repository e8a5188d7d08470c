"""The driver in one round trip a statement: the same rows, the same errors, the same transactions as pg8000's own."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from pg8000.core import CoreConnection

from PGP_COMMON.database import BaseDatabaseManager, CommitUnknown, Rerun, make_engine, sqlstate
from PGP_COMMON.errors import BrokenRule, Conflict, DatabaseDown

STRANGE = [
    ("text", "plain"),
    ("text", 'it\'s "quoted" %s %% $1 :x 😀 \\ \n'),
    ("text", ""),
    ("text", None),
    ("text", "x" * 300_000),
    ("bytea", b""),
    ("bytea", bytes(range(256)) * 300),
    ("numeric", Decimal("123456789012345678901234567890.000000000000000001")),
    ("bigint", -(2**63)),
    ("boolean", False),
    ("text[]", ["a", "b,c", 'd"e', None]),
    ("bigint[]", []),
]


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the driver waited for the server."""
    waits = [0]
    original = CoreConnection.handle_messages

    def counted(self: CoreConnection, context: Any) -> None:
        waits[0] += 1
        original(self, context)

    monkeypatch.setattr(CoreConnection, "handle_messages", counted)
    return waits


@pytest.fixture
def own(database_url: str) -> Iterator[sa.Engine]:
    """An engine over pg8000 as it comes."""
    engine = sa.create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(("kind", "value"), STRANGE, ids=range(len(STRANGE)))
def test_values_come_back_as_pg8000_itself_brings_them(db: BaseDatabaseManager, own: sa.Engine, kind: str, value: Any) -> None:
    statement = f"SELECT CAST(:value AS {kind}) AS there, 'a%b' LIKE 'a%' AS like_it, '100%' AS percent, $$it's$$ AS dollars"
    with own.connect() as connection:
        expected = tuple(connection.execute(sa.text(statement), {"value": value}).one())
    with db.reading() as tx:
        assert [tuple(row) for row in tx._execute(statement, {"value": value}).rows] == [expected]  # type: ignore[arg-type]


def test_a_statement_waits_for_the_server_once(db: BaseDatabaseManager, trips: list[int]) -> None:
    with db.reading() as tx:
        tx.value("SELECT CAST(:x AS int)", x=1)
        before = trips[0]
        assert tx.value("SELECT CAST(:x AS int)", x=2) == 2
        assert trips[0] == before + 1
    with db.reading() as tx:
        tx.value("SELECT CAST(:x AS int)", x=3)
    assert trips[0] == before + 2
    with db.transaction() as tx:
        tx.value("SELECT CAST(:x AS int)", x=4)
    assert trips[0] == before + 5


def test_rows_touched_and_returned_are_counted(db: BaseDatabaseManager) -> None:
    with db.transaction() as tx:
        for vendor in ("a", "b", "c"):
            assert tx.run("INSERT INTO vendor_pause (vendor, until, reason) VALUES (:vendor, now(), 'x')", vendor=vendor) == 1
        assert tx.run("UPDATE vendor_pause SET reason = :reason", reason="y") == 3
        assert tx.value("DELETE FROM vendor_pause WHERE vendor = :vendor RETURNING reason", vendor="a") == "y"
        assert tx.value("SELECT reason FROM vendor_pause WHERE vendor = :vendor", vendor="nobody") is None
        assert tx.run("DELETE FROM vendor_pause WHERE vendor = ANY(:vendors)", vendors=["b", "c", "d"]) == 2


def test_errors_keep_their_codes_and_leave_the_connection_usable(db: BaseDatabaseManager) -> None:
    insert = "INSERT INTO vendor_pause (vendor, until, reason) VALUES (:vendor, now(), CAST(:reason AS text))"
    with db.reading() as tx:
        tx.run(insert, vendor="taken", reason="x")
    for wanted, values in ((Conflict, {"vendor": "taken", "reason": "x"}), (BrokenRule, {"vendor": "new", "reason": None})):
        with pytest.raises(wanted), db.reading() as tx:
            tx.run(insert, **values)
    with pytest.raises(BrokenRule), db.reading() as tx:
        tx.value("SELECT no_such_column FROM vendor_pause WHERE vendor = :vendor", vendor="x")
    with pytest.raises(BrokenRule), db.reading() as tx:
        tx.value("SELECT CAST(:x AS int)", x="no number")
    with db.reading() as tx:
        assert tx.value("SELECT count(*) FROM vendor_pause WHERE vendor = :vendor", vendor="taken") == 1


def test_a_statement_that_the_server_refuses_rolls_its_transaction_back(db: BaseDatabaseManager) -> None:
    insert = "INSERT INTO vendor_pause (vendor, until, reason) VALUES (:vendor, now(), 'x')"
    with pytest.raises(Conflict), db.transaction() as tx:
        tx.run(insert, vendor="one")
        tx.run(insert, vendor="one")
    with pytest.raises(CommitUnknown), db.transaction() as tx:
        tx.run(insert, vendor="one")
        with pytest.raises(Conflict):
            tx.run(insert, vendor="one")
    with pytest.raises(KeyError), db.transaction() as tx:
        tx.run(insert, vendor="one")
        raise KeyError
    with db.reading() as tx:
        assert tx.value("SELECT count(*) FROM vendor_pause") == 0


def test_text_that_cannot_be_sent_leaves_the_connection_usable(db: BaseDatabaseManager) -> None:
    for bad in ("\ud800", "\x00"):
        with pytest.raises((UnicodeEncodeError, BrokenRule)), db.reading() as tx:
            tx.value("SELECT CAST(:x AS text)", x=bad)
        with db.reading() as tx:
            assert tx.value("SELECT CAST(:x AS text)", x="good") == "good"


def test_two_transactions_that_meet_are_told_apart_by_their_code(db: BaseDatabaseManager) -> None:
    with db.reading() as tx:
        tx.run("INSERT INTO vendor_pause (vendor, until, reason) VALUES ('one', now(), 'x')")

    def meet() -> None:
        with db.transaction() as first, db.transaction() as second:
            for tx in (first, second):
                tx.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                tx.value("SELECT count(*) FROM vendor_pause")
            first.run("UPDATE vendor_pause SET reason = :reason", reason="first")
            first.run("COMMIT")
            second.run("UPDATE vendor_pause SET reason = :reason", reason="second")

    with pytest.raises(Rerun):
        meet()


def test_a_connection_that_the_server_closed_is_replaced_before_a_transaction(database_url: str, db: BaseDatabaseManager) -> None:
    engine = make_engine(database_url, application="victim", pool=1)
    victim = BaseDatabaseManager(engine)

    def cut() -> None:
        with db.reading() as tx:
            tx.value("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'victim'")

    with victim.reading() as tx:
        tx.value("SELECT 1")
    cut()
    with victim.transaction() as tx:
        assert tx.value("SELECT CAST(:x AS int)", x=1) == 1
    cut()
    with pytest.raises(DatabaseDown), victim.reading() as tx:
        tx.value("SELECT CAST(:x AS int)", x=1)
    with victim.reading() as tx:
        assert tx.value("SELECT CAST(:x AS int)", x=1) == 1
    engine.dispose()


def test_a_code_is_read_from_whatever_carries_it(db: BaseDatabaseManager) -> None:
    with db.engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        connection.execute(sa.text("SELECT 1 / CAST(:zero AS int)"), {"zero": 0})
    assert sqlstate(caught.value) == "22012"
