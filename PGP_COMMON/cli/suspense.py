"""Lists payments that wait for a person, and credits one to its owner, sends it back, or closes it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import typer

from PGP_COMMON.cli.chain import our_wallet
from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_json, say_table
from PGP_COMMON.errors import BadInput
from PGP_COMMON.money import exact

app = typer.Typer(no_args_is_help=True)
PaymentId = Annotated[str, typer.Argument(help="the payment, by the vendor's id")]


@app.command("list")
def list_(as_json: JsonOption = False, state: StateOption = None) -> None:
    """Every payment in review, and what else is in suspense, oldest first."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        found = listings.suspense(tx)
    if as_json:
        say_json(found)
        return
    rows = [
        (one.provider_id, one.created_at, one.state, one.reason, amount(one.suspense_units, one.decimals, one.asset),
         "in the wallet" if one.has_come else "at the vendor", f"${one.price_usd}", one.refund)
        for one in found
    ]  # fmt: skip
    say_table(("payment", "since", "state", "reason", "in suspense", "where", "price", "refund"), rows, empty="nothing is in suspense")


@app.command()
def resolve(
    payment: PaymentId,
    reason: ReasonOption,
    paid_usd: Annotated[str | None, typer.Option(help="what it counts toward its order, in USD; default: its price × min(1, paid / wanted)")] = None,
    state: StateOption = None,
) -> None:
    """Credit a payment in review to its owner, with access and everything else that follows from a credit."""
    from PGP_COMMON.operators import payments

    why = act(reason)
    given = None if paid_usd is None else _usd(paid_usd)
    word, counted = desk(settings(state)).rerun(lambda tx: payments.resolve(tx, payment, why, paid_usd=given))
    typer.echo(f"payment {payment} is {word}: it counts ${counted} toward its order")


@app.command()
def refund(
    payment: PaymentId,
    reason: ReasonOption,
    to: Annotated[str, typer.Option("--to", help="the Ethereum address that gets it")],
    state: StateOption = None,
) -> None:
    """Send what of a payment is in suspense to an address, once; it is closed when the transfer is final."""
    from PGP_COMMON.money_machines import coins
    from PGP_COMMON.operators import payments

    known, why = settings(state), act(reason)
    db = desk(known)
    with db.reading() as tx:
        held = our_wallet(tx, known)
    transfer, before = db.rerun(lambda tx: payments.refund(tx, payment, why, held=held, recipient=to))
    with db.reading() as tx:
        decimals = coins.coin(tx, str(before.outcome_asset)).decimals
    typer.echo(f"transfer {transfer} sends {amount(before.suspense_units, decimals, before.outcome_asset)} of payment {payment} to {to}")


@app.command()
def reject(payment: PaymentId, reason: ReasonOption, state: StateOption = None) -> None:
    """Close a payment in review that brings us nothing: the vendor gave it back, or nothing came."""
    from PGP_COMMON.operators import payments

    why = act(reason)
    before = desk(settings(state)).rerun(lambda tx: payments.reject(tx, payment, why))
    typer.echo(f"payment {payment} was in review ({before.review_reason}) and is rejected")


def _usd(text: str) -> Decimal:
    dollars = exact(text)
    if not 0 <= dollars < Decimal(10) ** 6:
        raise BadInput("that is no price in USD")
    return dollars
