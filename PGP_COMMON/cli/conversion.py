"""Lists conversions, shows one, and finishes, refunds or resumes one that waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_facts, say_json, say_table
from PGP_COMMON.errors import NotFound

if TYPE_CHECKING:
    from PGP_COMMON.database import Transaction
    from PGP_COMMON.money_machines.listings import ListedConversion

app = typer.Typer(no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="the conversion's number")]


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="ended ones as well")] = False, as_json: JsonOption = False, state: StateOption = None
) -> None:
    """Every conversion that has not ended, newest first."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        found = listings.conversions(tx, everything=everything)
    if as_json:
        say_json(found)
        return
    rows = [(one.id, one.created_at, one.state, amount(one.from_units, one.from_decimals, one.from_asset), one.parts, one.swap, one.reason) for one in found]
    say_table(("conversion", "since", "state", "gives", "parts", "swap", "reason"), rows, empty="no conversion is under way")


@app.command()
def show(number: Number, as_json: JsonOption = False, state: StateOption = None) -> None:
    """Everything that is known of one conversion."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        one = _found(tx, number)
        swaps = listings.swaps(tx, conversion_id=number)
    if as_json:
        say_json({"conversion": one, "swaps": swaps})
        return
    facts: dict[str, object] = {"conversion": one.id, "state": one.state, "gives": amount(one.from_units, one.from_decimals, one.from_asset)}
    facts |= {"parts": one.parts, "got": amount(one.received_units, one.to_decimals, one.to_asset), "reason": one.reason}
    facts |= {f"swap {swap.id}": f"{swap.state}; the exchange says {swap.vendor_status or 'nothing'}; {swap.arrived_units or 0} units came" for swap in swaps}
    say_facts(facts)


@app.command()
def finish(number: Number, reason: ReasonOption, state: StateOption = None) -> None:
    """Share out what the swap of a conversion in review has brought after all."""
    from PGP_COMMON.operators import conversions

    why, db = act(reason), desk(settings(state))
    received = db.rerun(lambda tx: conversions.finish(tx, number, why))
    with db.reading() as tx:
        one = _found(tx, number)
    typer.echo(f"conversion {number} is done: {amount(received, one.to_decimals, one.to_asset)} are shared out")


@app.command()
def refund(
    number: Number,
    reason: ReasonOption,
    although_missing: Annotated[bool, typer.Option("--although-missing", help="what the exchange sent back never came: the platform bears it")] = False,
    state: StateOption = None,
) -> None:
    """Give everybody in a conversion in review his ETH back in full; what is missing is the platform's cost."""
    from PGP_COMMON.operators import conversions

    why = act(reason)
    missing = desk(settings(state)).rerun(lambda tx: conversions.refund(tx, number, why, although_missing=although_missing))
    typer.echo(f"conversion {number} is refunded; the platform bears {missing} wei of it")


@app.command()
def resume(number: Number, reason: ReasonOption, state: StateOption = None) -> None:
    """Have a conversion in review priced anew, when its coins are with us again."""
    from PGP_COMMON.operators import conversions

    why = act(reason)
    quote = desk(settings(state)).rerun(lambda tx: conversions.resume(tx, number, why))
    typer.echo(f"conversion {number} is planned again, with quote {quote}")


def _found(tx: Transaction, number: int) -> ListedConversion:
    from PGP_COMMON.money_machines import listings

    found = listings.conversions(tx, conversion_id=number)
    if not found:
        raise NotFound(f"there is no conversion {number}")
    return found[0]
