"""Plays the main job on this machine: buyers subscribe, pay and are let in; owners are told and paid out on chain."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption, state_dir
from PGP_COMMON.errors import Misconfigured

if TYPE_CHECKING:
    from deploy.local.demo.world import World
    from deploy.local.files import StateDir

# A process that is killed in the middle of a step keeps its lease for 90 s (the manifest); twice that and some are left for the rest.
PATIENCE_S = 300
# What a shell says of a program that was ended by Ctrl-C.
INTERRUPTED = 130


def demo(
    state: StateOption = None,
    patience_s: Annotated[float, typer.Option("--patience", min=1, metavar="SECONDS", help="how long to wait for any one thing")] = PATIENCE_S,
    simulators: Annotated[str, typer.Option(envvar="PGP_SIMULATORS", help="in a container: name=address of each simulator, comma between")] = "",
) -> None:
    """Play four owners and their buyers; exit 0 only if every payout is final, the books agree and the doctor is content.

    Plays on the fleet that runs in the state directory; where none runs, one is started for the play and stopped afterwards.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        with _stage(state, started, patience_s, simulators) as world:
            played = time.monotonic()
            _play(world)
            typer.echo(f"\n✅ played in {time.monotonic() - played:.1f} s, {time.monotonic() - started:.1f} s with the start")
    except KeyboardInterrupt:
        typer.echo("\nthe play was broken off", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _stage(state: Path | None, started: float, patience_s: float, simulators: str) -> Iterator[World]:
    """The world to play in: the fleet in the containers around this one, or the one on this machine."""
    from deploy.local.demo.world import World

    if simulators:
        from deploy.sandbox import stage

        known = settings(state)
        world = World.of(stage.status(known, simulators), known, patience_s=patience_s)
        stage.wait_ready(world, database(known), typer.echo)
        yield world
        return
    from deploy.local import book, report

    place = state_dir(state)
    with _fleet(place, started):
        yield World.of(report.as_json(place, book.read(place.fleet)), settings(state), patience_s=patience_s)


@contextlib.contextmanager
def _fleet(place: StateDir, started: float) -> Iterator[None]:
    """The fleet that runs, or one for as long as this lasts: it ends with this process, however that ends."""
    from deploy.local import book, progress, report, secrets, switch

    before = book.read(place.fleet)
    if report.is_ready(before):
        yield
        return
    where = f"the fleet in {place.root}"
    typer.echo(f"{where} is not ready: waiting for it ..." if before.supervised else f"{where} does not run: starting it for the play ...")
    secrets.init(place)
    try:
        with progress.shown() as show:
            switch.up(place, bound=True, on_change=show)
        typer.echo(f"the fleet is ready after {time.monotonic() - started:.1f} s")
        yield
    except switch.UpError as error:
        raise Misconfigured(f"the fleet did not start: {error}\nlogs: {place.logs}") from error
    finally:
        if not before.supervised:
            typer.echo("stopping the fleet that was started for this ...")
            switch.down(place)


def _play(world: World) -> None:
    """One performance, and what came of it."""
    from deploy.local.demo.play import Play
    from deploy.local.demo.telling import Telling
    from PGP_COMMON.cli import trace
    from PGP_COMMON.cli.doctor import examine

    db = database(world.known)
    play = Play(world, db, Telling())
    play.run(lambda: [f"{finding.area}: {finding.sentence}" for finding in examine(world.known)])
    play.show()
    first = play.buyers[0].payment_id
    typer.echo(f"\nThe journey of payment {first} (`pgp trace {first}`):")
    trace.show(trace.journey(db, first))
