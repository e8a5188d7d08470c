"""One fast PostgreSQL for a whole test run, shared by its workers; every test that asks gets a database of its own.

The first worker starts the server, the last one to leave stops it. Who uses it is known by a shared file lock, which ends with a process
however it ends, so that a killed run leaves nothing that the next run does not clear away.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pg8000.dbapi

from deploy.local.postgres import Postgres, checked

# Copying a template is a third faster in memory; a container's default of 64 MB is too small for it.
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 1_500_000_000
TEMPLATE = "template_head"
Migrate = Callable[[str], object]


class SharedServer:
    """The server of one test run, as one worker sees it."""

    def __init__(self, folder: Path) -> None:
        """Take the run's folder; nothing is made before `join`."""
        self.folder = folder
        self._server: Postgres | None = None
        self._users: IO[str] | None = None
        self._admin: pg8000.dbapi.Connection | None = None
        self._numbers = itertools.count()
        self._is_made = False

    @property
    def postgres(self) -> Postgres:
        """The running server."""
        self.join()
        assert self._server is not None
        return self._server

    @contextlib.contextmanager
    def gate(self) -> Iterator[None]:
        """One worker at a time."""
        with (self.folder.parent / "gate").open("a") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def join(self) -> None:
        """Count as a user, start the server if nobody has, and clear away what killed runs left."""
        if self._users is not None:
            return
        with self.gate():
            for other in self.folder.parent.iterdir():
                if other.is_dir() and other != self.folder:
                    remove_if_unused(other)
            self.folder.mkdir(exist_ok=True)
            self._users = (self.folder / "users").open("a")
            fcntl.flock(self._users, fcntl.LOCK_SH)
            self._server = Postgres(self.folder / "postgres", fast=True)
            self._server.start()
        self._admin = self._server.connect()
        self._admin.autocommit = True

    def leave(self) -> None:
        """Stop counting as a user; the last one stops the server and removes its folder. Harmless when called again."""
        if self._users is None:
            return
        if self._admin is not None:
            self._admin.close()
        with self.gate():
            self._users.close()
            self._users = self._admin = None
            remove_if_unused(self.folder)

    def run(self, statement: str) -> None:
        """Run a statement outside a transaction."""
        self.join()
        assert self._admin is not None
        self._admin.cursor().execute(statement)

    def template(self, migrate: Migrate) -> str:
        """A database at head that nobody may connect to: made once a run, by whoever is first."""
        if self._is_made:
            return TEMPLATE
        with self.gate():
            if not self.postgres.has_database(TEMPLATE):
                draft = f"{TEMPLATE}_draft"
                self.postgres.drop_database(draft)
                migrate(self.postgres.create_database(draft))
                self.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{draft}'")
                self.run(f"ALTER DATABASE {draft} RENAME TO {TEMPLATE}")
                self.run(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
        self._is_made = True
        return TEMPLATE

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A new database, removed at the end with every connection to it; gives its SQLAlchemy address."""
        name = checked(f"t_{os.getpid()}_{next(self._numbers)}")
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{checked(template)}" STRATEGY = FILE_COPY')
        try:
            yield self.postgres.url(name)
        finally:
            self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def remove_if_unused(folder: Path) -> None:
    """Stop a run's server and remove its folder, unless a living process uses it. Called behind the gate."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError), (folder / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Postgres(folder / "postgres", fast=True).stop()
        shutil.rmtree(folder, ignore_errors=True)


def home() -> Path:
    """Where the servers of test runs live: in memory if there is enough of it."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    base = MEMORY if roomy else Path(tempfile.gettempdir())
    folder = base / f"pgp-tests-{os.getuid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    return folder


_shared: SharedServer | None = None


def server() -> SharedServer:
    """This run's server, started at the first call."""
    global _shared  # noqa: PLW0603 - one server a process
    if _shared is None:
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"pid{os.getpid()}"
        _shared = SharedServer(home() / run)
        _shared.join()
        atexit.register(release)
    return _shared


def release() -> None:
    """Let go of the server: call it at the end of the session (workers of xdist may not run their exit handlers)."""
    global _shared  # noqa: PLW0603 - one server a process
    if _shared is not None:
        _shared.leave()
        _shared = None


@contextlib.contextmanager
def fresh_database(migrate: Migrate) -> Iterator[str]:
    """A database at head for one test; `migrate(url)` brings an empty one there, and is called once a run."""
    shared = server()
    with shared.database(shared.template(migrate)) as url:
        yield url


@contextlib.contextmanager
def empty_database() -> Iterator[str]:
    """A database with nothing in it, for the tests of migrations."""
    with server().database() as url:
        yield url
