"""Lists swaps, shows one, and says how one ended that the exchange keeps, or gives it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.payout import normal
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_facts, say_json, say_table, units_of
from PGP_COMMON.errors import NotFound

if TYPE_CHECKING:
    from PGP_COMMON.database import Transaction
    from PGP_COMMON.money_machines.listings import ListedSwap
    from PGP_COMMON.money_machines.swaps import SwapRow

app = typer.Typer(no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="the swap's number")]


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="ended ones as well")] = False, as_json: JsonOption = False, state: StateOption = None
) -> None:
    """Every swap that has not ended, newest first."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        found = listings.swaps(tx, everything=everything)
    if as_json:
        say_json(found)
        return
    rows = [
        (one.id, one.about, one.state, amount(one.from_units, one.from_decimals, one.from_asset), amount(one.to_units, one.to_decimals, one.to_asset),
         one.provider_id, one.vendor_status, one.vendor_looked_at, one.reason)
        for one in found
    ]  # fmt: skip
    say_table(("swap", "for", "state", "gives", "gets", "exchange's id", "it says", "asked", "reason"), rows, empty="no swap is under way")


@app.command()
def show(number: Number, as_json: JsonOption = False, state: StateOption = None) -> None:
    """Everything that is known of one swap."""
    with database(settings(state)).reading() as tx:
        swap = _found(tx, number)
    if as_json:
        say_json(swap)
        return
    say_facts(
        {
            "swap": swap.id,
            "for": swap.about,
            "state": swap.state,
            "reason": swap.reason,
            "gives": amount(swap.from_units, swap.from_decimals, swap.from_asset),
            "gets": amount(swap.to_units, swap.to_decimals, swap.to_asset),
            "exchange's id": swap.provider_id,
            "it says": swap.vendor_status,
            "asked at": swap.vendor_looked_at,
            "we pay": swap.payin_address,
            "by": swap.funded_by,
            "it pays": swap.payout_address,
            "paid out": amount(swap.received_units, swap.to_decimals, swap.to_asset),
            "by transaction": swap.payout_hash,
            "sent back by": swap.refund_hash,
            "arrived units": swap.arrived_units,
        }
    )


@app.command()
def hold(number: Number, reason: ReasonOption, state: StateOption = None) -> None:
    """Take a funded swap into a person's hands, when the exchange has been silent for too long; it is still asked about."""
    from PGP_COMMON.operators import swaps

    why = act(reason)
    before = desk(settings(state)).rerun(lambda tx: swaps.hold(tx, number, why))
    typer.echo(f"swap {number} is on hold; what it is for ({_about(before)}) waits for a person")


@app.command()
def finished(
    number: Number,
    *,
    reason: ReasonOption,
    tx_hash: Annotated[str, typer.Option("--tx", help="the transaction by which the exchange paid out")],
    coins: Annotated[str | None, typer.Option("--amount", help="how much it paid out, in coins")] = None,
    units: Annotated[int | None, typer.Option(help="the same in base units")] = None,
    state: StateOption = None,
) -> None:
    """A swap on hold has paid out, whatever the exchange says of it; what it is for goes on from there."""
    from PGP_COMMON.operators import swaps

    why, db = act(reason), desk(settings(state))
    with db.reading() as tx:
        seen = _found(tx, number)
    given = units_of(units=units, coins=coins, decimals=seen.to_decimals, needed=True) or 0
    before = db.rerun(lambda tx: swaps.finish(tx, number, why, tx_hash=normal(tx_hash), units=given))
    typer.echo(f"swap {number} is finished with {amount(given, seen.to_decimals, seen.to_asset)}; {_about(before)} goes on")


@app.command()
def refunded(
    number: Number,
    reason: ReasonOption,
    tx_hash: Annotated[str, typer.Option("--tx", help="the transaction by which the exchange sent our coins back")],
    state: StateOption = None,
) -> None:
    """A swap on hold was sent back, though the exchange does not say so; its coins are looked for on the chain."""
    from PGP_COMMON.operators import swaps

    why = act(reason)
    before = desk(settings(state)).rerun(lambda tx: swaps.refund(tx, number, why, tx_hash=normal(tx_hash)))
    typer.echo(f"swap {number} is refunded; {_about(before)} goes on once its coins are seen")


@app.command()
def lost(
    number: Number,
    reason: ReasonOption,
    despite: Annotated[str, typer.Option(help="the exchange's last word, if that is not that it failed")] = "",
    state: StateOption = None,
) -> None:
    """Give a swap on hold up: its coins are the platform's loss. If the exchange pays after all, it has paid twice."""
    from PGP_COMMON.operators import swaps

    why = act(reason)
    before = desk(settings(state)).rerun(lambda tx: swaps.lose(tx, number, why, despite=despite))
    follows = f"now `pgp payout release {before.payout_id}`" if before.payout_id is not None else "its owners have their ETH back by themselves"
    typer.echo(f"swap {number} is lost, {before.from_units} base units of {before.from_asset}; {follows}")


def _about(swap: SwapRow) -> str:
    return f"payout {swap.payout_id}" if swap.payout_id is not None else f"conversion {swap.conversion_id}"


def _found(tx: Transaction, number: int) -> ListedSwap:
    from PGP_COMMON.money_machines import listings

    found = listings.swaps(tx, swap_id=number)
    if not found:
        raise NotFound(f"there is no swap {number}")
    return found[0]
