"""Dumps a database in mid-run and restores it, and puts the same services on the copy; the exchange answers over a socket where a verb asks it."""

from __future__ import annotations

import copy
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import sqlalchemy as sa
from typer.testing import CliRunner

from deploy.local.postgres import binary
from PGP_COMMON.cli.wallet import app
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.money_machines import invariants, reconciliations, transfers
from tests.support import postgres
from tests.support.fake_exchange import FakeExchange, an_address
from tests.support.hostpay import FINAL_BLOCKS, Harbour


def dump(url: str, file: Path) -> Path:
    """Write a database down as it is now, while others work in it."""
    _run("pg_dump", url, "--file", str(file))
    return file


def restore(url: str, file: Path) -> None:
    """Fill an empty database from a dump."""
    _run("psql", url, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--single-transaction", "--file", str(file))


def empty(url: str) -> None:
    """Remove everything that is in a database, and leave the database."""
    _run("psql", url, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command", "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def _run(program: str, url: str, *arguments: str) -> None:
    place = sa.make_url(url)
    command = [str(binary(program)), "--host", str(place.host), "--port", str(place.port), "--username", str(place.username), "--dbname", str(place.database)]
    environment = {"PATH": os.defpath, "PGPASSWORD": str(place.password), "LC_ALL": "C"}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def moved(harbour: Harbour, url: str) -> Harbour:
    """The same harbour with its services over another database: the chain, the key and the exchange stay."""
    other = copy.copy(harbour)
    other._environment = {**harbour._environment, "DATABASE_URL": url}
    other.db = BaseDatabaseManager(make_engine(url, application="tests", pool=16))
    other.services = {}
    other.services = {name: other.start(name) for name in harbour.services}
    return other


@contextmanager
def restored(harbour: Harbour, file: Path) -> Iterator[Harbour]:
    """The harbour over a new database that was filled from a dump."""
    with postgres.empty_database() as url:
        restore(url, file)
        other = moved(harbour, url)
        try:
            yield other
        finally:
            other.close()


def verb(harbour: Harbour, *words: str, **settings: str) -> str:
    """Run `pgp wallet` as an operator of this harbour; raises what the verb raises, gives back what it prints."""
    result = CliRunner().invoke(app, list(words), env={**harbour._environment, **settings})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return str(result.output)


@contextmanager
def listening(exchange: FakeExchange) -> Iterator[str]:
    """The exchange in memory behind a socket; gives its address."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = exchange.answer(httpx.Request("GET", f"http://exchange{self.path}"))
            self.send_response(answer.status_code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


# --- what a drill does and looks at


def reconcile(harbour: Harbour) -> None:
    """Let HOSTPAY2 read and compare everything that is final."""
    subject = harbour.fire("wallet.reconcile")
    for _ in range(60):
        harbour.hurry("wallet.reconcile", subject)
        if harbour.run("wallet.reconcile", subject) == "done":
            return
    raise AssertionError(harbour.rows("SELECT state, point, last_error FROM work WHERE step = 'wallet.reconcile'"))


def read_chain(harbour: Harbour) -> None:
    """HOSTPAY2 has read what is final, and looked at every arrival."""
    reconcile(harbour)
    for _ in range(3):
        for (subject,) in harbour.rows("SELECT subject FROM work WHERE step = 'arrival.look' AND state = 'open'"):
            harbour.hurry("arrival.look", subject)
            harbour.run("arrival.look", subject)


def agree(harbour: Harbour, *, unexplained: int = 0) -> None:
    """The books say what the chain says, and every invariant holds, but for what is known to be unexplained."""
    harbour.test_chain.mine(FINAL_BLOCKS)
    for _ in range(2):
        reconcile(harbour)
    with harbour.db.reading() as tx:
        for job in ("wallet", "fence"):
            assert reconciliations.last_breaks(tx, job) == [], job
        assert len(reconciliations.last_breaks(tx, "chain")) == unexplained
        assert [f"{broken.code} {breach}" for broken, breach in invariants.breaches(tx) if not unexplained or broken.code != "I14"] == []


def direct(harbour: Harbour, units: int) -> tuple[int, str]:
    """A payout in the owner's USDT that waits for its transfer to be signed; gives back its id and where it goes."""
    address = an_address()
    payout = harbour.reserved(asset="usdterc20", address=address, units=units)
    harbour.run("payout.direct", harbour.direct(payout))
    return payout, address


def ordered(harbour: Harbour, units: int, *, valid_s: int = 1200) -> tuple[int, str]:
    """A payout whose exchange waits for our USDT; gives back the swap and its pay-in address."""
    swap = harbour.swap_for(harbour.reserved(units=units), valid_s=valid_s)
    return swap, str(harbour.swap(swap).payin_address)


def transfer_of(harbour: Harbour, address: str) -> transfers.TransferRow:
    """The one transfer to an address."""
    return harbour.transfer(int(harbour.value("SELECT id FROM transfer WHERE recipient = :address AND state <> 'cancelled'", address=address)))


def hurry_all(harbour: Harbour) -> None:
    """Run everything that waits, but for comparisons."""
    harbour.work(but=("wallet.reconcile",))
