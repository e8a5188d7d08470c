"""A planted mistake: what it is in words, the few characters that make it, and the tests that must notice it."""

from __future__ import annotations

from dataclasses import dataclass

DATABASE, HOSTPAY, COMMON = "tests/database/", "tests/unit/PGP_HOSTPAY_v1/", "tests/unit/PGP_COMMON/"
MACHINES = "PGP_COMMON/money_machines/"
CLAIMS, WATCH, SIGN = "PGP_COMMON/claims.py", "PGP_HOSTPAY_v1/hostpay3_executor/watch.py", "PGP_HOSTPAY_v1/hostpay3_executor/steps.py"
HOSTPAY1, MICROBATCH = "PGP_HOSTPAY_v1/hostpay1_orchestrator/", "PGP_BATCH_v1/microbatchprocessor/"
TABLES = "migrations/versions/0003_money_path.sql"
BOOKS = "migrations/versions/0002_work_and_ledger.sql"


@dataclass(frozen=True)
class Edit:
    """One change of a file: `old` stands there exactly once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A mistake in words, the edits that make it, and the tests that should notice, as few as possible."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    @property
    def path(self) -> str:
        """The file that is changed."""
        return self.edits[0].path

    @property
    def changes_schema(self) -> bool:
        """Whether databases have to be made anew for it."""
        return any(edit.path.endswith(".sql") for edit in self.edits)


def mutant(name: str, path: str, old: str, new: str, *tests: str) -> Mutant:
    """A mistake of one edit."""
    return Mutant(name, (Edit(path, old, new),), tests)
