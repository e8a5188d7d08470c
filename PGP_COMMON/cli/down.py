"""Ends the fleet on this machine and leaves no process of it."""

from __future__ import annotations

import typer

from PGP_COMMON.cli.place import StateOption, state_dir


def down(state: StateOption = None) -> None:
    """End the fleet on this machine; its data stays. Harmless when it does not run."""
    from deploy.local import switch

    ended = switch.down(state_dir(state))
    typer.echo(f"ended {ended} processes" if ended else "the fleet does not run")
