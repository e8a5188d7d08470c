"""Makes the secrets of a fleet, parts them among its containers, and says which signing keys are still needed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption, state_dir
from PGP_COMMON.clients.secrets import parsed
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.settings import CATALOGUE, PARSERS

app = typer.Typer(no_args_is_help=True)
app.callback()(lambda: None)


@app.command()
def init(state: StateOption = None) -> None:
    """Write every secret that is missing into secrets.env of the state directory; what is there is kept."""
    from deploy.local import secrets

    place = state_dir(state)
    made = secrets.init(place)
    typer.echo(f"{place.secrets}: {len(made)} made" if made else f"{place.secrets}: complete")


@app.command()
def keys(state: StateOption = None, as_json: Annotated[bool, typer.Option("--json", help="for a machine")] = False) -> None:
    """Say how much open work each signing key has signed: in a rotation the old key may go when it says 0, or names it no more."""
    from PGP_COMMON import rotation

    known = settings(state)
    with database(known).reading() as tx:
        found = rotation.keys_in_use(tx, known)
    if as_json:
        typer.echo(json.dumps([key.__dict__ for key in found], indent=1))
        return
    for key in found:
        standing = "signs" if key.signs else "is accepted" if key.accepted else "is NOT accepted any more"
        typer.echo(f"{key.setting:26} {key.kid:10} {standing}; {key.open_work} open units of work carry it")


@app.command()
def split(
    out: Annotated[Path, typer.Option(help="the directory for them: `secrets` beside docker-compose.yml")],
    source: Annotated[Path | None, typer.Option("--from", help="the file with all secrets; default: secrets.env of the state directory")] = None,
    state: StateOption = None,
) -> None:
    """Write a file for each container of docker-compose.yml with its own secrets only; run it as root, so that no other container's user reads it."""
    from PGP_COMMON.rendering import compose

    file = source or state_dir(state).secrets
    try:
        known = parsed(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}") from None
    wanted = compose.secrets_of()
    faults = sorted({fault for names in wanted.values() for name in names for fault in _faults(name, known.get(name, ""))})
    if faults:
        raise Misconfigured(f"{file}: " + "; ".join(faults))
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(out / "postgres.env", f"{sa.make_url(known['DATABASE_URL']).password}\n", owner=compose.USER_ID)
    for container, names in wanted.items():
        _write(out / f"{container}.env", "".join(_line(name, known[name]) for name in names if known.get(name)), owner=compose.USER_ID)
    typer.echo(f"{out}: {len(wanted) + 1} files")
    if os.geteuid() != 0:
        typer.echo(f"the containers' user ({compose.USER_ID}) cannot read them: run this as root, or give them to him", err=True)


def _faults(name: str, value: str) -> Iterator[str]:
    """What is wrong with a secret for one server; never its value."""
    if name == "DATABASE_URL":
        try:
            complete = bool(sa.make_url(value).password)
        except sa.exc.ArgumentError:
            complete = False
        if not complete:
            yield f"{name} must be given, with its password ({CATALOGUE[name].help})"
    elif value:
        try:
            PARSERS[CATALOGUE[name].kind](value)
        except ValueError:
            yield f"{name} is malformed (wanted: {CATALOGUE[name].kind.value})"
    elif CATALOGUE[name].default is None:
        yield f"{name} is missing ({CATALOGUE[name].help})"


def _line(name: str, value: str) -> str:
    """A line that the services read back as this value, whatever quotes are in it."""
    plain = f"{name}={value}\n"
    return plain if parsed(plain) == {name: value} else f'{name}="{value}"\n'


def _write(file: Path, text: str, *, owner: int) -> None:
    """Write in place: a running container has the file itself mounted, and would never see another one under its name."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        if os.geteuid() == 0:
            os.fchown(descriptor, owner, owner)
        os.pwrite(descriptor, text.encode(), 0)
        os.ftruncate(descriptor, len(text.encode()))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
