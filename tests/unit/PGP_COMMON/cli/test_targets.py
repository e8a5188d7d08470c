"""A verb reaches the fleet that is meant: without a target this machine's, with `compose` the one in containers, by the same words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from PGP_COMMON.cli import targets
from PGP_COMMON.errors import BadInput, Misconfigured


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What this process would have become; the program exists and notes its words."""
    become: list[list[str]] = []
    program = tmp_path / "some-compose"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PGP_COMPOSE", "some-compose --project-name x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.execvp", lambda _, argv: become.append(argv) or [])
    return become


def test_without_a_target_the_words_are_for_this_machine(called: list[list[str]]) -> None:
    assert targets.aimed(["trace", "--target", "x"]) == ["trace", "--target", "x"]
    assert targets.aimed(["--target", "local", "demo"]) == ["demo"]
    assert targets.aimed([]) == []
    assert called == []


@pytest.mark.parametrize("words", [["--target", "compose", "trace", "1", "--parts"], ["--target=compose", "trace", "1", "--parts"]])
def test_with_the_target_compose_the_verb_runs_in_the_projects_network(called: list[list[str]], words: list[str]) -> None:
    targets.aimed(words)
    assert called == [
        ["some-compose", "--project-name", "x", "--profile", "operator", "run", "--rm", "--no-deps", "-T", "operator", "pgp", "trace", "1", "--parts"]
    ]
    assert (Path.cwd() / "docker-compose.yml").exists()


def test_somebody_at_a_terminal_keeps_it() -> None:
    assert "-T" not in targets.command("docker compose", ["doctor"], terminal=True)


def test_another_target_and_a_command_that_is_not_there_are_said(called: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--target", "cloud", "doctor"], ["--target"]):
        with pytest.raises(BadInput, match="write local or compose"):
            targets.aimed(words)
    monkeypatch.setenv("PGP_COMPOSE", "no-such-compose")
    with pytest.raises(Misconfigured, match="no-such-compose is not installed"):
        targets.aimed(["--target", "compose", "doctor"])
    assert called == []
