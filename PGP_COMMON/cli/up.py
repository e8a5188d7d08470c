"""Starts the whole fleet on this machine, or repairs the one that runs."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.place import StateOption, state_dir
from PGP_COMMON.errors import Misconfigured

if TYPE_CHECKING:
    from deploy.local.book import Book
    from deploy.local.files import StateDir


def up(
    state: StateOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="leave it running in the background")] = False,
    plan: Annotated[str, typer.Option(hidden=True, help="module:function that makes the plan of another fleet")] = "deploy.local.fleet:plan",
    every: Annotated[list[str] | None, typer.Option(metavar="NAME=SECONDS", help="ring a schedule so often instead of by its cron line")] = None,
) -> None:
    """Start the whole fleet on this machine and show where it is; without --detach it ends with Ctrl-C.

    A fleet that runs already is left as it is: what died is started again and the table is shown.
    """
    from deploy.local import book, progress, secrets, switch

    place = state_dir(state)
    secrets.init(place)
    ran_before = book.read(place.fleet).supervised
    options = {"every": ",".join(every)} if every else {}
    signal.signal(signal.SIGTERM, _interrupt)
    # Under nohup a closed terminal is meant to be survived.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        with progress.shown() as show:
            now = switch.up(place, plan=plan, options=options, bound=not detach, on_change=show)
        progress.table(now)
        if not detach and not ran_before:
            typer.echo("Ctrl-C ends the fleet.")
            _watch(place, now)
    except switch.UpError as error:
        raise Misconfigured(f"the fleet did not start: {error}\nlogs: {place.logs}") from error
    except KeyboardInterrupt:
        if not ran_before:
            typer.echo("stopping ...")
            switch.down(place)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _watch(place: StateDir, now: Book) -> None:
    """Stay until somebody presses Ctrl-C or ends the fleet from elsewhere."""
    while now.supervisor is not None and now.supervisor.runs:
        time.sleep(0.5)
    typer.echo(f"the fleet has ended (logs: {place.logs})")
