"""Lists payouts, shows one, and releases, settles or resumes one that waits for a person."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_facts, say_json, say_table, units_of
from PGP_COMMON.errors import BadInput, NotFound

if TYPE_CHECKING:
    from PGP_COMMON.database import Transaction
    from PGP_COMMON.money_machines.listings import ListedPayout

app = typer.Typer(no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="the payout's number")]
# How exchanges write the hash of a transaction, on any chain.
HASH = re.compile(r"[0-9A-Za-z_:+/=-]{8,128}", re.ASCII)


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="settled and released ones as well")] = False,
    as_json: JsonOption = False,
    state: StateOption = None,
) -> None:
    """Every payout on its way, newest first, with what it waits for."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        found = listings.payouts(tx, everything=everything)
    if as_json:
        say_json(found)
        return
    rows = [
        (one.id, one.owner_id, one.changed_at, one.state, amount(one.units, one.decimals, one.asset), one.payout_asset, one.reason, one.swap, one.transfer)
        for one in found
    ]
    say_table(("payout", "owner", "since", "state", "amount", "paid in", "reason", "swap", "transfer"), rows, empty="no payout is on its way")


@app.command()
def show(number: Number, as_json: JsonOption = False, state: StateOption = None) -> None:
    """Everything that was tried for one payout."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        payout, sent = _found(tx, number), listings.sent_for_payout(tx, number)
        swaps = listings.swaps(tx, payout_id=number)
    if as_json:
        say_json({"payout": payout, "swaps": swaps, "transfers": sent})
        return
    facts: dict[str, object] = {"payout": payout.id, "owner": payout.owner_id, "amount": amount(payout.units, payout.decimals, payout.asset)}
    facts |= {"to": f"{payout.address} ({payout.payout_asset})", "state": payout.state, "reason": payout.reason}
    for swap in swaps:
        said = f"{swap.state}; the exchange says {swap.vendor_status or 'nothing'} of {swap.provider_id or 'no order'}; {swap.reason or ''}"
        facts[f"swap {swap.id}"] = said.rstrip("; ")
    facts |= {f"transfer {one.id}": f"{one.state} {one.tx_hash or ''}".rstrip() for one in sent}
    say_facts(facts)


@app.command()
def release(
    number: Number,
    reason: ReasonOption,
    although_missing: Annotated[bool, typer.Option("--although-missing", help="what the exchange sent back never came: the platform bears it")] = False,
    state: StateOption = None,
) -> None:
    """Give a payout's money back to its owner's balance; the next plan pays it again. Refused while anything could still pay him."""
    from PGP_COMMON.operators import payouts

    why = act(reason)
    before = desk(settings(state)).rerun(lambda tx: payouts.release(tx, number, why, although_missing=although_missing))
    typer.echo(f"payout {number} was {before.state} and is released: its money is on the balance of owner {before.owner_id}")


@app.command()
def settle(
    number: Number,
    *,
    reason: ReasonOption,
    tx_hash: Annotated[str | None, typer.Option("--tx", help="the transaction by which the exchange paid the owner")] = None,
    coins: Annotated[str | None, typer.Option("--amount", help="how much the owner got, in his coin")] = None,
    units: Annotated[int | None, typer.Option(help="the same in base units")] = None,
    state: StateOption = None,
) -> None:
    """The owner of a payout in review has his coin; a swap on hold is finished with what is given here."""
    from PGP_COMMON.operators import payouts

    why, db = act(reason), desk(settings(state))
    with db.reading() as tx:
        decimals = _decimals(tx, number)
    given = units_of(units=units, coins=coins, decimals=decimals)
    hashed = normal(tx_hash) if tx_hash is not None else None
    before, got, by = db.rerun(lambda tx: payouts.settle(tx, number, why, tx_hash=hashed, units=given))
    typer.echo(f"payout {number} is settled: {amount(got, decimals, before.payout_asset)} by {by}")


@app.command()
def resume(number: Number, reason: ReasonOption, state: StateOption = None) -> None:
    """Let a payout in review go on by itself: the exchange works on it again, or nothing has left and it is priced anew."""
    from PGP_COMMON.operators import payouts

    why = act(reason)
    _, target = desk(settings(state)).rerun(lambda tx: payouts.resume(tx, number, why))
    typer.echo(f"payout {number} goes on: it is {target}")


def _found(tx: Transaction, number: int) -> ListedPayout:
    from PGP_COMMON.money_machines import listings

    found = listings.payouts(tx, payout_id=number)
    if not found:
        raise NotFound(f"there is no payout {number}")
    return found[0]


def _decimals(tx: Transaction, number: int) -> int:
    from PGP_COMMON.money_machines import coins

    return coins.coin(tx, _found(tx, number).payout_asset).decimals


def normal(tx_hash: str) -> str:
    """A transaction's hash as the chains' clients write it: Ethereum's in lower case. Raises BadInput for what is none."""
    if not HASH.fullmatch(tx_hash):
        raise BadInput("that is no transaction's hash")
    return tx_hash.lower() if tx_hash[:2].lower() == "0x" else tx_hash
