"""Makes the secrets of a fleet, parts them among its containers, and says which signing keys are still needed."""

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
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

OutOption = Annotated[Path, typer.Option(help="where each container's folder is: its volume, in the job `secrets` of docker-compose.yml")]


class Missing(enum.StrEnum):
    """What is done about secrets that nobody has given."""

    REFUSE = "refuse"
    MAKE = "make"


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
    out: OutOption,
    source: Annotated[
        Path | None, typer.Option("--from", help="the file with all secrets, `-`: from the input; default: secrets.env of the state directory")
    ] = None,
    state: StateOption = None,
) -> None:
    """Give each container of docker-compose.yml its own secrets and no others; what a container has already and is not given again, it keeps."""
    from PGP_COMMON.rendering import containers

    file = source or state_dir(state).secrets
    try:
        given = parsed(sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}") from None
    _hand_out(out, {**_handed(out, containers.secrets_of()), **given}, where=str(file))


@app.command()
def deliver(out: OutOption, missing: Annotated[Missing, typer.Option(help="make: the sandbox's own, vendors' credentials and all")] = Missing.REFUSE) -> None:
    """See to it that each container has its own secrets: the job that every container waits for; what is there is kept."""
    from PGP_COMMON.rendering import containers

    ours = containers.secrets_of()
    if missing is Missing.MAKE:
        from deploy.sandbox import credentials

        # What a person has given our containers since wins over what the vendors were told.
        known = credentials.completed(_handed(out, (*credentials.wanted(), *ours)))
        _hand_out(out, known, where=str(out), more=credentials.wanted())
        return
    how = "give it with `docker compose run --rm -T secrets pgp secrets split --from - --out /secrets < FILE`"
    _hand_out(out, _handed(out, ours), where=f"what the containers have ({how})")


def _handed(out: Path, names: Iterable[str]) -> dict[str, str]:
    """What was handed out to these containers before: the parts put together, the later ones over the earlier."""
    from PGP_COMMON.rendering import containers

    known: dict[str, str] = {}
    for name in names:
        file = out / name / containers.SECRETS_FILE
        if file.exists():
            known |= parsed(file.read_text(encoding="utf-8"))
    return known


def _hand_out(out: Path, known: Mapping[str, str], *, where: str, more: Mapping[str, tuple[str, ...]] | None = None) -> None:
    """Write every container's file, or raise Misconfigured with all that is wrong, and write nothing."""
    from PGP_COMMON import public_halves
    from PGP_COMMON.rendering import containers

    wanted = containers.secrets_of()
    faults = sorted({fault for names in wanted.values() for name in names for fault in _faults(name, known.get(name, ""))})
    if faults:
        raise Misconfigured(f"{where}: " + "; ".join(faults))
    try:
        complete = {**known, **public_halves.of(known)}
    except ValueError:
        # The library's own sentence may repeat the value.
        raise Misconfigured(f"{where}: JWT_SECRET_KEY or HOST_WALLET_PRIVATE_KEY is no private key") from None
    out.mkdir(mode=0o755, parents=True, exist_ok=True)
    _write(out / containers.POSTGRES / containers.POSTGRES_FILE, f"{sa.make_url(known['DATABASE_URL']).password}\n", owner=containers.USER_ID)
    for container, names in {**{name: (*own, *containers.handed_to(name)) for name, own in wanted.items()}, **(more or {})}.items():
        text = "".join(_line(name, complete[name]) for name in names if complete.get(name))
        _write(out / container / containers.SECRETS_FILE, text, owner=containers.USER_ID)
    typer.echo(f"{out}: {len(wanted) + len(more or {}) + 1} containers have their secrets")
    if os.geteuid() != 0:
        typer.echo(f"the containers' user ({containers.USER_ID}) cannot read them: run this as root, or give them to him", err=True)


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
    """Put a file in its place whole, for one user's eyes: a container that runs sees the old one or the new one, and so does the next start."""
    file.parent.mkdir(mode=0o755, exist_ok=True)
    # A run that was killed may have left its draft.
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(descriptor, owner, owner)
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.replace(file)
