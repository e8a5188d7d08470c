"""Makes the secrets of a fleet on one machine, and says which signing keys are still needed."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from PGP_COMMON.cli.operator import database, settings
from PGP_COMMON.cli.place import StateOption, state_dir

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
