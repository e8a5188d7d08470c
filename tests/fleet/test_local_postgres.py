"""A real PostgreSQL is started, found again, and survives what happens to a machine."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pg8000.dbapi
import psutil
import pytest

from deploy.local import processes, unprivileged
from deploy.local.postgres import Postgres, checked

pytestmark = pytest.mark.fleet


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    found = Postgres(tmp_path / "postgres", fast=True)
    yield found
    found.stop()


def ask(postgres: Postgres, sql: str, database: str = "postgres") -> object:
    with contextlib.closing(
        pg8000.dbapi.connect(user="pgp", password=postgres.password, host="127.0.0.1", port=postgres.port, database=database)
    ) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_it_starts_keeps_its_data_and_its_port_over_a_restart_and_stops(postgres: Postgres) -> None:
    postgres.start()
    postgres.create_database("kept")
    port = postgres.port
    postgres.stop()
    assert postgres.identity() is None
    again = Postgres(postgres.root, fast=True)
    again.start()
    assert again.port == port
    assert again.has_database("kept")
    again.stop()


def test_a_second_start_changes_nothing(postgres: Postgres) -> None:
    postgres.start()
    running = postgres.identity()
    Postgres(postgres.root, fast=True).start()
    assert postgres.identity() == running


def test_a_killed_server_starts_again(postgres: Postgres) -> None:
    postgres.start()
    running = postgres.identity()
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    processes.wait_until(lambda: not running.runs, 5)
    postgres.start()
    assert ask(postgres, "SELECT 1") == 1


def test_a_pid_file_that_names_a_process_of_somebody_else_is_no_obstacle(postgres: Postgres) -> None:
    postgres.prepare()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        (postgres.data / "postmaster.pid").write_text(f"{stranger.pid}\n{postgres.data}\n1\n1\n\n127.0.0.1\n 1 1\nready   \n")
        assert not postgres.is_ready()
        postgres.start()
        assert ask(postgres, "SELECT 1") == 1
        assert stranger.poll() is None
        stranger.kill()


def test_a_port_that_was_taken_meanwhile_is_replaced(postgres: Postgres) -> None:
    postgres.start()
    port = postgres.port
    postgres.stop()
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind(("127.0.0.1", port))
        thief.listen()
        postgres.start()
        assert postgres.port != port
        assert ask(postgres, "SELECT 1") == 1


def test_a_half_made_data_directory_is_made_anew(postgres: Postgres) -> None:
    (postgres.root / "data.new").mkdir()
    (postgres.root / "data.new" / "PG_VERSION").write_text("18\n")
    postgres.start()
    assert ask(postgres, "SELECT 1") == 1


def test_a_wrong_password_is_refused(postgres: Postgres) -> None:
    postgres.start()
    with pytest.raises(pg8000.dbapi.DatabaseError, match="28P01"):
        pg8000.dbapi.connect(user="pgp", password="guess", host="127.0.0.1", port=postgres.port, database="postgres")
    assert stat.S_IMODE((postgres.root / "password").stat().st_mode) == 0o600


def test_the_fleets_server_flushes_what_it_commits_and_takes_two_hundred_connections(tmp_path: Path) -> None:
    durable = Postgres(tmp_path / "durable")
    try:
        durable.start()
        assert [ask(durable, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes", "max_connections")] == [
            "on",
            "on",
            "on",
            "200",
        ]
    finally:
        durable.stop()


def test_a_copy_of_a_template_is_complete_and_a_dropped_database_ends_its_connections(postgres: Postgres) -> None:
    postgres.start()
    postgres.create_database("model")
    with contextlib.closing(pg8000.dbapi.connect(user="pgp", password=postgres.password, host="127.0.0.1", port=postgres.port, database="model")) as connection:
        connection.autocommit = True
        connection.cursor().execute("CREATE TABLE thing AS SELECT 7 AS n")
    postgres.create_database("copy", template="model")
    assert ask(postgres, "SELECT n FROM thing", "copy") == 7
    postgres.drop_database("copy")
    postgres.drop_database("copy")
    assert not postgres.has_database("copy")


@pytest.mark.parametrize("name", ["", "x;y", 'a"b', "Upper", "1st", "a" * 64])
def test_a_database_name_that_needs_quoting_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a database name"):
        checked(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give PostgreSQL another user")
def test_root_runs_it_as_somebody_else_even_below_a_closed_directory(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "postgres", fast=True)
    assert not unprivileged.is_reachable(server.data)
    try:
        server.start()
        identity = server.identity()
        assert identity is not None
        assert psutil.Process(identity.pid).uids().effective != 0
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    finally:
        server.stop()


def test_it_is_quick(postgres: Postgres) -> None:
    begun = time.monotonic()
    postgres.start()
    assert time.monotonic() - begun < 12
    postgres.stop()
    begun = time.monotonic()
    postgres.start()
    assert time.monotonic() - begun < 5


SHARING = """
import sys, time
from tests.support import postgres
def migrate(url):
    import sqlalchemy as sa
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE at_head (n int)"))
    engine.dispose()
with postgres.fresh_database(migrate) as url:
    print(url, flush=True)
    sys.stdin.readline()
    print(postgres.server().folder, flush=True)
"""


def test_the_workers_of_a_run_share_one_server_and_the_last_one_stops_it() -> None:
    env = {**os.environ, "PYTEST_XDIST_TESTRUNUID": f"sharing{os.getpid()}{time.monotonic_ns()}"}
    start = lambda: subprocess.Popen(  # noqa: E731
        [sys.executable, "-c", SHARING], env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    with start() as first, start() as second:
        urls = [worker.stdout.readline().strip() for worker in (first, second)]  # type: ignore[union-attr]
        assert urls[0].rpartition("/")[0] == urls[1].rpartition("/")[0]
        assert urls[0] != urls[1]
        first_out, _ = first.communicate("go\n")
        folder = Path(first_out.strip())
        assert Postgres(folder / "postgres", fast=True).is_ready()
        second.communicate("go\n")
    assert not folder.exists()
