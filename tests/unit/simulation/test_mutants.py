"""The planted mistakes are still where they should be, and the runner tells a noticed one from one that nobody noticed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation import mutants
from tests.simulation.mutants_kinds import Edit, Mutant

ROOT = Path(__file__).parents[3]
FAILED = "FAILED tests/a/test_b.py::test_c[d] - assert 1 == 2\n1 failed in 0.01s"


def test_every_mistake_stands_exactly_once_where_it_is_planted_and_is_valid() -> None:
    assert mutants.stale(mutants.PLANTED) == []


def test_a_mistake_whose_text_is_gone_or_doubled_or_no_program_is_named() -> None:
    path = "PGP_COMMON/money.py"
    text = (ROOT / path).read_text(encoding="utf-8")
    doubled = next(line for line, count in Counter(text.splitlines()).items() if count > 1 and line.strip())
    planted = [
        Mutant(name, (Edit(path, old, new),), ("x",))
        for name, old, new in (("gone", "no such text", ""), ("two", doubled, ""), ("broken", "def fee_of(", "def ("))
    ]
    gone, two, broken = mutants.stale(planted)
    assert gone == f"gone: its text stands 0 times in {path}"
    assert two.startswith("two: its text stands")
    assert broken.startswith(f"broken: {path} would be no Python")


def test_names_are_unique_and_every_named_test_exists() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in mutants.PLANTED).items() if count > 1] == []
    for mutant in mutants.PLANTED:
        assert mutant.tests, mutant.name
        for test in mutant.tests:
            path, _, name = test.partition("::")
            text = (ROOT / path).read_text(encoding="utf-8")
            assert not name or re.search(rf"^def {re.escape(name.partition('[')[0])}\(", text, re.MULTILINE), test


@pytest.mark.parametrize(
    ("code", "printed", "caught", "survived"),
    [
        (1, FAILED, "test_c[d]", False),
        (0, "3 passed in 0.01s", "", True),
        # A test that could not begin has noticed nothing, and neither has one that is not there.
        (1, "ERROR tests/a/test_b.py::test_c - RuntimeError\n1 error in 0.01s", "", False),
        (4, "ERROR: file or directory not found: tests/a", "", False),
        (2, "Interrupted: 1 error during collection", "", False),
    ],
)
def test_a_mistake_is_caught_only_by_a_test_that_failed(code: int, printed: str, caught: str, survived: bool) -> None:
    verdict = mutants.judge("m", "f", code, printed, 1.0)
    assert (verdict.caught, verdict.survived) == (caught, survived)
    assert bool(verdict.trouble) == (not caught and not survived)


def test_a_mistake_is_planted_in_a_copy_and_taken_back(tmp_path: Path) -> None:
    copy = mutants.Copy(tmp_path)
    planted = mutants.PLANTED[0]
    edit = planted.edits[0]
    before = (tmp_path / edit.path).stat().st_mtime
    with copy.planted(planted):
        assert edit.new in (tmp_path / edit.path).read_text(encoding="utf-8")
        assert (tmp_path / edit.path).stat().st_mtime != before
        assert edit.old in (ROOT / edit.path).read_text(encoding="utf-8")
    assert (tmp_path / edit.path).read_text(encoding="utf-8") == (ROOT / edit.path).read_text(encoding="utf-8")
    assert not (tmp_path / ".git").exists()
