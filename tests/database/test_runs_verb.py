"""`pgp runs`: what each schedule did last, from the rows that its runs leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from PGP_COMMON.cli.runs import runs
from PGP_COMMON.engine import Commit, Done, Job
from PGP_COMMON.errors import BadInput
from tests.support.engines import Bench

app = typer.Typer()
app.command()(runs)


def say(database_url: str, tmp_path: Path, *words: str) -> str:
    environ = {"DATABASE_URL": database_url, "PGP_STATE_DIR": str(tmp_path)}
    ended = CliRunner().invoke(app, list(words), env=environ, catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


def test_a_run_says_when_it_began_when_it_ended_what_it_did_and_under_which_correlation(database_url: str, tmp_path: Path) -> None:
    def sweep(_job: Job[None]) -> Commit:
        return lambda _tx: Done("3 woken, 0 forgotten")

    bench = Bench(database_url)
    for minute in ("2026-03-02T09:00:00Z", "2026-03-02T09:01:00Z"):
        bench.send(minute)
        bench.engine(sweep).run("work.sweep", minute)
    # A row that nobody has taken yet is a run too: its start is missing.
    bench.send("2026-03-02T09:02:00Z")
    bench.close()
    found = json.loads(say(database_url, tmp_path, "sweep", "--json"))
    assert [(run["subject"][14:16], run["outcome"], run["started_at"] is None, run["done_at"] is None) for run in found] == [
        ("02", None, True, True),
        ("01", "3 woken, 0 forgotten", False, False),
        ("00", "3 woken, 0 forgotten", False, False),
    ]
    assert all(len(run["correlation"]) == 16 for run in found)
    assert len(json.loads(say(database_url, tmp_path, "--most", "1", "--json"))) == 1
    assert "3 woken" in say(database_url, tmp_path)


def test_a_schedule_that_nobody_knows_is_refused_with_the_names_of_those_there_are(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="check-threshold"):
        say(database_url, tmp_path, "nonsense")
