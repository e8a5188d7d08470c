"""The operator's command: one module per verb, loaded when it is called for."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from PGP_COMMON import log
from PGP_COMMON.cli import targets
from PGP_COMMON.errors import PgpError

# Verb and module, by the panel of the help page. A module holds a function named like the verb, or a typer app `app` with verbs of its own.
PANELS: dict[str, dict[str, str]] = {
    "The fleet on this machine": {verb: verb for verb in ("up", "down", "status", "fire", "runs", "demo")},
    "Money": {
        "trace": "trace",
        "dead": "dead",
        "payout": "payout",
        "swap": "swap",
        "conversion": "conversion",
        "transfer": "transfer",
        "suspense": "suspense",
        "payment": "payment",
        "treasury": "treasury",
        "ledger": "ledger",
        "audit": "audit",
        "pause": "switches",
        "resume": "switches",
    },
    "Installation": {verb: verb for verb in ("doctor", "migrate", "secrets", "wallet", "fleet", "serve")},
}


def _stub() -> None:
    """Stands for a verb that is not loaded."""


def _all(
    _target: Annotated[
        str, typer.Option("--target", help="before the verb. local: this machine; compose: the fleet in containers, in whose network the verb runs")
    ] = "local",
) -> None:
    """Runs, watches and repairs PayGatePrime."""


def sentence(module: str) -> str | None:
    """A verb's line in the help page: the first sentence of its module, read without running it; None if there is no such module."""
    file = Path(__file__).with_name(f"{module}.py")
    if not file.exists():
        return None
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def build(called: str | None) -> typer.Typer:
    """The command with every verb that exists; only the one that is called for is loaded."""
    app = typer.Typer(name="pgp", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    # With a callback typer keeps the verbs apart even when there is only one.
    app.callback()(_all)
    for panel, verbs in PANELS.items():
        for verb, name in verbs.items():
            line = sentence(name)
            if line is not None:
                _add(app, verb, name, line, panel, load=verb == called)
    return app


def _add(app: typer.Typer, verb: str, name: str, line: str, panel: str, *, load: bool) -> None:
    if not load:
        app.command(verb, help=line, rich_help_panel=panel)(_stub)
        return
    module = importlib.import_module(f"{__name__}.{name}")
    inner: typer.Typer | None = getattr(module, "app", None)
    if inner is not None:
        app.add_typer(inner, name=verb, help=line, rich_help_panel=panel)
    else:
        function: Callable[..., None] = getattr(module, verb)
        app.command(verb, rich_help_panel=panel)(function)


def main() -> None:
    """Run the verb on the command line; what it raises of ours is a sentence and exit status 1."""
    log.configure("pgp", log_format="terminal")
    try:
        words = targets.aimed(sys.argv[1:])
        sys.argv[1:] = words
        called = next((word for word in words if not word.startswith("-")), None)
        build(called)(prog_name="pgp")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("deploy."):
            raise
        typer.secho("the fleet on one machine is no part of the image: do this in a checkout", fg="red", err=True)
        sys.exit(1)
    except PgpError as error:
        typer.secho(str(error), fg="red", err=True)
        sys.exit(1)
