"""What PostgreSQL's errors mean for what happens next: each is brought about for real, where a test can bring it about."""

from __future__ import annotations

import threading
import time

import pytest
from pg8000.exceptions import DatabaseError, InterfaceError

from PGP_COMMON.database import BaseDatabaseManager, Rerun, Transaction, make_engine, translate
from PGP_COMMON.errors import BrokenRule, Busy, Conflict, DatabaseDown, IllegalMove, LockTimeout, PgpError
from tests.support import postgres


@pytest.fixture
def rows(db: BaseDatabaseManager) -> BaseDatabaseManager:
    with db.reading() as tx:
        tx.run("CREATE TABLE thing (id int PRIMARY KEY, n int NOT NULL CHECK (n >= 0), part int REFERENCES thing, EXCLUDE USING gist (n WITH =))")
        tx.run("INSERT INTO thing VALUES (1, 10, NULL), (2, 20, NULL)")
    return db


@pytest.mark.parametrize(
    ("statement", "error", "says"),
    [
        ("INSERT INTO thing VALUES (1, 30, NULL)", Conflict, "thing_pkey is taken"),
        ("INSERT INTO thing VALUES (3, -1, NULL)", BrokenRule, "thing_n_check"),
        ("INSERT INTO thing VALUES (3, 30, 99)", BrokenRule, "thing_part_fkey"),
        ("INSERT INTO thing VALUES (3, 20, NULL)", BrokenRule, "thing_n_excl"),
        ("INSERT INTO thing VALUES (3, NULL, NULL)", BrokenRule, "23502"),
        ("INSERT INTO thing VALUES (CAST('x' AS int), 1, NULL)", BrokenRule, "22P02"),
        ("INSERT INTO orders (unique_id, state) VALUES ('x', 'paid')", PgpError, ""),
        ("SELECT pg_terminate_backend(pg_backend_pid())", DatabaseDown, ""),
    ],
)
def test_a_refusal_says_what_refused(rows: BaseDatabaseManager, statement: str, error: type[PgpError], says: str) -> None:
    with pytest.raises(error) as caught, rows.transaction() as tx:
        tx.run(statement)  # type: ignore[arg-type]
    assert says in str(caught.value)


def test_a_move_that_the_table_of_moves_does_not_have_is_illegal(db: BaseDatabaseManager) -> None:
    with db.transaction() as tx:
        tx.run("INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation) VALUES ('eth', 1, 'usdterc20', 'c')")
    with pytest.raises(IllegalMove), db.transaction() as tx:
        tx.run("UPDATE batch_conversions SET state = 'done', received_units = 1")


def test_a_lock_and_a_statement_that_last_too_long_are_tried_again_later(rows: BaseDatabaseManager) -> None:
    with rows.transaction() as holder:
        holder.run("UPDATE thing SET n = 11 WHERE id = 1")
        with pytest.raises(LockTimeout), rows.transaction() as other:
            other.run("SET LOCAL lock_timeout = '50ms'")
            other.run("UPDATE thing SET n = 12 WHERE id = 1")
    with pytest.raises(LockTimeout), rows.transaction() as slow:
        slow.run("SET LOCAL statement_timeout = '50ms'")
        slow.value("SELECT pg_sleep(5)")


def test_two_transactions_that_wait_for_each_other_both_end_well(rows: BaseDatabaseManager) -> None:
    gate = threading.Barrier(2)
    turns = [0, 0]

    def swap(me: int) -> None:
        def work(tx: Transaction) -> None:
            turns[me] += 1
            first, second = (1, 2) if me == 0 else (2, 1)
            tx.run("UPDATE thing SET part = NULL WHERE id = :id", id=first)
            if turns[me] == 1:
                gate.wait(5)
            tx.run("UPDATE thing SET part = NULL WHERE id = :id", id=second)

        rows.rerun(work)

    threads = [threading.Thread(target=swap, args=(me,)) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(turns) == [1, 2]


def test_a_transaction_that_met_another_one_is_run_again(rows: BaseDatabaseManager) -> None:
    turns = []

    def work(tx: Transaction) -> None:
        tx.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        before = tx.value("SELECT n FROM thing WHERE id = 1")
        if not turns:
            with rows.reading() as other:
                other.run("UPDATE thing SET n = 15 WHERE id = 1")
        turns.append(before)
        tx.run("UPDATE thing SET n = n + 1 WHERE id = 1")

    rows.rerun(work)
    with rows.reading() as tx:
        assert (turns, tx.value("SELECT n FROM thing WHERE id = 1")) == ([10, 15], 16)


def test_what_collides_for_ever_is_our_own_trouble(rows: BaseDatabaseManager) -> None:
    def work(_tx: Transaction) -> None:
        raise Rerun

    with pytest.raises(Busy):
        rows.rerun(work)


def test_a_process_that_was_paused_inside_a_transaction_has_lost_its_connection_and_nothing_else(rows: BaseDatabaseManager) -> None:
    with pytest.raises(DatabaseDown), rows.transaction() as tx:
        tx.run("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
        tx.run("UPDATE thing SET n = 12 WHERE id = 1")
        time.sleep(0.5)
        tx.run("UPDATE thing SET n = 13 WHERE id = 1")
    with rows.reading() as tx:
        assert tx.value("SELECT n FROM thing WHERE id = 1") == 10


def test_a_server_that_became_read_only_in_a_failover_is_our_own_trouble(rows: BaseDatabaseManager) -> None:
    with pytest.raises(DatabaseDown), rows.transaction() as tx:
        tx.run("SET TRANSACTION READ ONLY")
        tx.run("UPDATE thing SET n = 12 WHERE id = 1")


def test_a_database_that_takes_no_connections_is_our_own_trouble(database_url: str) -> None:
    name = database_url.rpartition("/")[2]
    postgres.server().run(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    late = BaseDatabaseManager(make_engine(database_url, application="tests"))
    with pytest.raises(DatabaseDown), late.reading() as tx:
        tx.value("SELECT 1")
    late.engine.dispose()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("40001", Rerun),
        ("40P01", Rerun),
        ("55P03", LockTimeout),
        ("57014", LockTimeout),
        *((code, DatabaseDown) for code in ("08006", "25006", "25P03", "53100", "53200", "53300", "57P01", "57P02", "57P03", "57P05", "58030")),
        ("23505", Conflict),
        *((code, BrokenRule) for code in ("23514", "23503", "23001", "23502", "23P01", "22003", "22P02", "42P01", "XX000")),
    ],
)
def test_every_class_of_error_has_its_one_meaning(code: str, kind: type[PgpError]) -> None:
    assert type(translate(DatabaseError({"C": code, "M": "words"}))) is kind


@pytest.mark.parametrize("error", [ConnectionResetError(), BrokenPipeError(), TimeoutError(), InterfaceError("connection is closed")])
def test_a_broken_connection_is_our_own_trouble(error: Exception) -> None:
    assert type(translate(error)) is DatabaseDown
