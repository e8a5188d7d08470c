"""Stops a part of the money path, or lets it go on."""

from __future__ import annotations

from typing import Annotated

import typer

from PGP_COMMON.cli.operator import database, settings, who
from PGP_COMMON.cli.place import StateOption

# What no row of a switch says, and no row of it ends.
RESTS = "rests all the same: the wallet is away from home, or something that left it is unexplained (`pgp wallet show`)"
Switch = Annotated[str, typer.Argument(help="intake, convert, payout_plan, sign or invite")]
Reason = Annotated[str, typer.Option("--reason", help="why", prompt=True)]


def pause(switch: Switch, reason: Reason, state: StateOption = None) -> None:
    """Stop every step behind a switch; what is under way ends its step."""
    from PGP_COMMON.money_machines import dead_letters

    with database(settings(state)).transaction() as tx:
        is_new = dead_letters.switch_off(tx, switch, reason=reason, actor=who())
    typer.echo(f"{switch} is paused" if is_new else f"{switch} was paused before, and stays so")


def resume(switch: Switch, reason: Reason, state: StateOption = None) -> None:
    """Let the steps behind a switch go on."""
    from PGP_COMMON.money_machines import dead_letters, wallet

    with database(settings(state)).transaction() as tx:
        was_off = dead_letters.switch_on(tx, switch, reason=reason, actor=who())
        rests = wallet.is_switched_off(tx, switch)
    if rests:
        typer.echo(f"{switch} {RESTS}")
    else:
        typer.echo(f"{switch} goes on" if was_off else f"{switch} was not paused")
