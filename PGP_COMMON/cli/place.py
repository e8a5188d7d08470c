"""Where a local fleet is: the option that every verb about it takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.errors import Misconfigured

if TYPE_CHECKING:
    from deploy.local.files import StateDir

StateOption = Annotated[
    Path | None,
    typer.Option("--state-dir", envvar="PGP_STATE_DIR", help="where the fleet keeps its data, logs and secrets; default: .pgp in the checkout"),
]


def state_dir(given: Path | None) -> StateDir:
    """The state directory. Raises Misconfigured where the local runner is not installed (it is no part of the image)."""
    try:
        import psutil  # noqa: F401 - what the local runner needs beyond the product

        from deploy.local.files import StateDir
    except ModuleNotFoundError as error:
        raise Misconfigured(f"the fleet on one machine needs requirements-dev.txt ({error.name} is missing): run `make setup`") from error
    return StateDir.at(given)
