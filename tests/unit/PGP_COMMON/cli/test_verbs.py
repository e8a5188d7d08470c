"""The operator's command lists its verbs without loading them, and says in a sentence what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from PGP_COMMON import cli
from PGP_COMMON.cli.serve import command
from PGP_COMMON.fleet import FLEET, HOSTPAY3


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "PGP_COMMON.cli", *words], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[4])


def test_the_help_page_names_every_verb_that_exists() -> None:
    page = CliRunner().invoke(cli.build(None), ["--help"], env={"COLUMNS": "200"}).output
    present = [verb for verbs in cli.PANELS.values() for verb, module in verbs.items() if cli.sentence(module)]
    assert {"up", "down", "status", "serve", "secrets", "fire"} <= set(present)
    assert all(f"│ {verb} " in page for verb in present)


def test_a_verb_is_loaded_only_when_it_is_called_for() -> None:
    code = (
        "import sys; from PGP_COMMON import cli; cli.build('status');"
        "print([m for m in ('PGP_COMMON.cli.up', 'PGP_COMMON.cli.status', 'deploy.local.switch', 'web3', 'flask') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[4]).stdout
    assert loaded.strip() == "['PGP_COMMON.cli.status']"


def test_every_verb_can_explain_itself() -> None:
    for verbs in cli.PANELS.values():
        for verb, module in verbs.items():
            if cli.sentence(module):
                result = CliRunner().invoke(cli.build(verb), [verb, "--help"])
                assert result.exit_code == 0, (verb, result.output)


@pytest.mark.parametrize("words", [("serve", "pgp-nothing-v1"), ("fire", "nothing")])
def test_a_name_that_does_not_exist_is_answered_with_a_sentence(words: tuple[str, str]) -> None:
    result = run(*words)
    assert result.returncode == 1
    assert "there is no" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_call_to_a_fleet_that_was_never_started_says_what_to_do(tmp_path: Path) -> None:
    result = run("fire", "sweep", "--state-dir", str(tmp_path))
    assert result.returncode == 1
    assert "run `pgp up`" in result.stderr


def test_the_status_of_a_fleet_that_is_down_has_the_same_shape(tmp_path: Path) -> None:
    result = run("status", "--json", "--state-dir", str(tmp_path))
    assert result.returncode == 1
    assert json.loads(result.stdout) == {
        "services": [],
        "database_url": "",
        "redis_url": "",
        "rpc_url": "",
        "tasks": "",
        "simulators": {},
        "secrets_file": str(tmp_path / "secrets.env"),
    }


def test_ending_a_fleet_that_does_not_run_is_no_error(tmp_path: Path) -> None:
    result = run("down", "--state-dir", str(tmp_path))
    assert (result.returncode, result.stdout) == (0, "the fleet does not run\n")


def test_the_schedules_can_be_listed() -> None:
    assert "check-threshold" in run("fire", "list").stdout


def test_secrets_are_made_once(tmp_path: Path) -> None:
    assert "made" in run("secrets", "init", "--state-dir", str(tmp_path)).stdout
    assert "complete" in run("secrets", "init", "--state-dir", str(tmp_path)).stdout


@pytest.mark.parametrize("service", FLEET, ids=lambda service: service.name)
def test_every_service_is_served_by_one_process_with_its_own_number_of_threads(service: object) -> None:
    argv = command(service, host="127.0.0.1", port=1234)  # type: ignore[arg-type]
    assert argv[argv.index("--workers") + 1] == "1"
    assert argv[argv.index("--threads") + 1] == str(service.size.threads)  # type: ignore[attr-defined]
    assert argv[-1] == f"PGP_COMMON.web:create_app('{service.name}')"  # type: ignore[attr-defined]


def test_requests_may_take_as_long_as_the_manifest_allows_and_are_not_logged() -> None:
    argv = command(HOSTPAY3, host="0.0.0.0", port=8080)
    assert argv[argv.index("--timeout") + 1] == str(HOSTPAY3.size.timeout_s)
    assert argv[argv.index("--bind") + 1] == "0.0.0.0:8080"
    assert "--access-logfile" not in argv
