"""Shows a payment, and takes a credited one back for good or leaves it its owner's."""

from __future__ import annotations

from typing import Annotated

import typer

from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_facts, say_json
from PGP_COMMON.errors import NotFound

app = typer.Typer(no_args_is_help=True)
PaymentId = Annotated[str, typer.Argument(help="the payment, by the vendor's id")]


@app.command()
def show(payment: PaymentId, as_json: JsonOption = False, state: StateOption = None) -> None:
    """How a payment stands for a person who decides on it; `pgp trace` has all that it touched."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        found = listings.suspense(tx, provider_id=payment)
    if not found:
        raise NotFound(f"there is no payment {payment}")
    if as_json:
        say_json(found[0])
        return
    one = found[0]
    facts: dict[str, object] = {"payment": one.provider_id, "order": one.order_id, "state": one.state, "reason": one.reason, "the vendor says": one.status}
    facts |= {"outcome": amount(one.outcome_units, one.decimals, one.asset), "in suspense": amount(one.suspense_units, one.decimals, one.asset)}
    facts |= {"its money": "in the wallet" if one.has_come else "at the vendor, or none", "price": f"${one.price_usd}", "refund": one.refund}
    say_facts(facts)


@app.command()
def reverse(payment: PaymentId, reason: ReasonOption, state: StateOption = None) -> None:
    """Take a credited payment back for good: what is not converted from its owner, the rest from the platform."""
    from PGP_COMMON.operators import payments

    why = act(reason)
    parts = desk(settings(state)).rerun(lambda tx: payments.reverse(tx, payment, why))
    typer.echo(
        f"payment {payment} is reversed: {parts['from_owner']} units from its owner, {parts['from_fee']} from the fee, {parts['loss']} are the platform's loss"
    )
    if parts["come"]:
        typer.echo("its money is in our wallet, and waits in suspense: `pgp suspense refund` sends it to whoever it belongs to")


@app.command()
def keep(payment: PaymentId, reason: ReasonOption, state: StateOption = None) -> None:
    """Leave a payment its owner's although the vendor says that it was given back."""
    from PGP_COMMON.operators import payments

    why = act(reason)
    thawed = desk(settings(state)).rerun(lambda tx: payments.keep(tx, payment, why))
    typer.echo(f"payment {payment} is credited as before; {thawed} parts of it go on")
