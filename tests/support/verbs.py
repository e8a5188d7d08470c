"""An operator at his terminal: verbs of `pgp` over a test's database, each with what it printed, or the error that its user would read."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.testing import CliRunner

from PGP_COMMON import cli
from PGP_COMMON.cli import operator
from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule, PgpError
from PGP_COMMON.money_machines.audit import Act

WHY = ("--reason", "a test asks for it")


class Operator:
    """Types verbs."""

    def __init__(self, environment: Mapping[str, str], *, state: str = "/nowhere") -> None:
        """Take the settings that his shell has; no local fleet is read."""
        self.environment = {**environment, "PGP_STATE_DIR": state}

    def __call__(self, *words: object, why: bool = True) -> str:
        """Run a verb; gives back what it printed. Raises what it raises."""
        verb, *rest = [str(word) for word in words]
        result = CliRunner().invoke(_app(verb), [*rest, *(WHY if why else ())], env={**self.environment, "COLUMNS": "400"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return str(result.output)

    def does(self, move: Callable[[Transaction, Act], Any]) -> Any:
        """Make a move without a terminal, which only one thread can have at a time; gives back what it gives back."""
        return operator.desk(self.environment).rerun(lambda tx: move(tx, operator.act(WHY[1])))

    def reads(self, *words: object) -> Any:
        """Run a verb that only shows something; gives back its JSON."""
        return json.loads(self(*words, "--json", why=False))


def _app(verb: str) -> typer.Typer:
    name = next(verbs[verb] for verbs in cli.PANELS.values() if verb in verbs)
    module = importlib.import_module(f"PGP_COMMON.cli.{name}")
    inner: typer.Typer | None = getattr(module, "app", None)
    if inner is not None:
        return inner
    single = typer.Typer()
    function: Callable[..., None] = getattr(module, verb)
    single.command()(function)
    return single


def at_once(*acts: Callable[[], object]) -> list[object]:
    """Do things at the same time; gives back what each gave back, or its refusal."""
    barrier, outcomes = threading.Barrier(len(acts)), [None] * len(acts)

    def run(place: int) -> None:
        barrier.wait()
        try:
            outcomes[place] = acts[place]()  # type: ignore[call-overload]
        except PgpError as error:
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A refusal is an answer; a broken rule is a bug that only the database has noticed.
    assert not [outcome for outcome in outcomes if isinstance(outcome, BrokenRule)]
    return list(outcomes)
