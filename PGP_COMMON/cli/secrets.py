"""Makes the secrets of a fleet on one machine."""

from __future__ import annotations

import typer

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
