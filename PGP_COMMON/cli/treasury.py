"""Says what the wallet holds and for whom, announces deposits of the platform's own money, and takes it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from PGP_COMMON.cli.chain import chain_of, our_wallet
from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_json, say_table, units_of
from PGP_COMMON.errors import PgpError

if TYPE_CHECKING:
    from PGP_COMMON.money_machines.chest import Chest, Waiting
    from PGP_COMMON.money_machines.wallet import WalletRow

app = typer.Typer()
# Each side of an asset's chest, by the words that people read; both add up to the same.
WHERE = {"in the wallet, by the books": "wallet", "signed away, not settled": "in_flight", "still at NOWPayments": "np_transit"}
WHOSE = {
    "owners, pending": "pending",
    "owners, converting": "converting",
    "owners, available": "available",
    "owners, reserved": "reserved",
    "in suspense": "suspense",
    "arrived, not explained or not shared out": "arrivals",
    "the platform's own": "own",
    "accounts that nobody knows": "other",
}
OWN = {"deposits": "equity", "fees": "fees", "less gas": "gas", "less exchanges": "swaps", "less losses": "losses"}


@app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: JsonOption = False, state: StateOption = None) -> None:
    """Say what is held, by the chain and by the books, and for whom; and what waits for gas or a deposit, and why."""
    if context.invoked_subcommand is not None:
        return
    from PGP_COMMON.money_machines import chest, wallet

    known = settings(state)
    with database(known).reading() as tx:
        held, found, waiting = our_wallet(tx, known), chest.chests(tx), chest.waiting(tx)
        fees_wei = wallet.load(tx, held.id).fees_wei
        gas = {"gas_money_wei": wallet.gas_money_wei(tx), "gas_reserve_wei": held.gas_reserve_wei, "gas_in_flight_wei": fees_wei}
        free = {one.asset: _may_leave(tx, held, one.asset, fees_wei) for one in found}
        facts = {**gas, "platform_usdt_units": wallet.platform_units(tx), "obstacle": wallet.obstacle(tx, held, fees_wei=fees_wei)}
    chain = _on_chain(known, held)
    if as_json:
        assets = {one.asset: {**asdict(one), "held": one.held, "owners": one.owners, "own": one.own, "whose": one.whose} for one in found}
        say_json({"wallet": held.address, "assets": assets, "chain": chain, "may_leave": free, **facts, "waiting": waiting})
        return
    for one in found:
        _say(one, chain, free[one.asset])
    _say_gas(facts, waiting)


def _may_leave(tx: Any, held: WalletRow, asset: str, fees_wei: int) -> dict[str, int]:
    from PGP_COMMON.money_machines import wallet
    from PGP_COMMON.money_machines.coins import WALLET_ASSETS

    if asset not in WALLET_ASSETS:
        return {}
    return {account: wallet.withdrawable_units(tx, held, asset=asset, account=account, fees_wei=fees_wei) for account in (wallet.EQUITY, wallet.FEES)}


def _on_chain(known: Mapping[str, str], held: WalletRow) -> dict[str, Any]:
    """What the chain says at its newest final block, and what it should say there; or why it was not asked."""
    from PGP_COMMON.money_machines import reconciliations
    from PGP_COMMON.money_machines.wallet import FUNDING, GAS

    try:
        chain = chain_of(known)
        block = chain.finalized()
        with database(known).reading() as tx:
            books = reconciliations.holdings(tx, held.id, block=block)
        receipts = chain.receipts([tx_hash for holding in books for tx_hash in holding.hashes or ()]).by_hash
        expected = reconciliations.expected_units(books, receipts, block=block)
        units = {asset: chain.balance(asset, held.address, block=block) for asset in (GAS, FUNDING)}
    except PgpError as error:
        return {"unknown": str(error)}
    return {"block": block, "units": units, "expected": {asset: expected[asset] for asset in units}}


def _say(one: Chest, chain: Mapping[str, Any], free: Mapping[str, int]) -> None:
    """One asset: where it is, whose it is, and that both are the same."""

    def lines(words: Mapping[str, str]) -> list[tuple[str, str]]:
        return [(what, amount(getattr(one, name), one.decimals, one.asset)) for what, name in words.items() if name != "other" or one.other]

    rows = [*lines(WHERE), ("together", amount(one.held, one.decimals, one.asset)), ("", "")]
    rows += [*lines(WHOSE), ("together", amount(one.whose, one.decimals, one.asset)), ("", "")]
    rows += [(f"the platform's own: {what}", text) for what, text in lines(OWN)]
    rows += [(f"may leave from {account}", amount(units, one.decimals, one.asset)) for account, units in free.items()]
    if one.asset in chain.get("units", {}):
        has, should = chain["units"][one.asset], chain["expected"][one.asset]
        rows += [(f"on the chain at final block {chain['block']}", amount(has, one.decimals, one.asset))]
        rows += [("the chain has more than it should", amount(has - should, one.decimals, one.asset))] if has != should else []
    say_table((one.asset.upper(), "" if one.held == one.whose else "THE BOOKS DO NOT ADD UP"), rows, empty="")
    typer.echo()


def _say_gas(facts: Mapping[str, Any], waiting: list[Waiting]) -> None:
    typer.echo(f"gas money {amount(facts['gas_money_wei'], 18, 'eth')}, of which {amount(facts['gas_reserve_wei'], 18, 'eth')} are the reserve")
    typer.echo(f"nothing new is signed: {facts['obstacle']}" if facts["obstacle"] else "the wallet may sign")
    say_table(("waits", "number", "state", "why"), [(one.what, one.id, one.state, one.why) for one in waiting], empty="nothing waits for the wallet")


@app.command()
def expect(tx_hash: Annotated[str, typer.Argument(help="the deposit's transaction")], reason: ReasonOption, state: StateOption = None) -> None:
    """Announce a deposit of the platform's own money, before or after it was sent; its arrival is booked to equity."""
    from PGP_COMMON.operators import treasury

    known, why = settings(state), act(reason)
    db = desk(known)
    with db.reading() as tx:
        held = our_wallet(tx, known)
    found = db.rerun(lambda tx: treasury.expect(tx, tx_hash, why, held=held))
    if found.booked:
        typer.echo(f"it had come before, and is booked to equity: {found.booked} arrivals")
    elif found.look == "dead":
        typer.echo("it is announced, and had been looked for in vain: `pgp dead list` has the letter, `pgp dead retry` looks again")
    else:
        typer.echo("it is announced: it is booked once its block is final" if found.is_new else "it was announced before")


@app.command()
def book(
    asset: Annotated[str, typer.Option(help="eth or usdterc20")],
    reason: ReasonOption,
    state: StateOption = None,
) -> None:
    """Book what the chain has and the books have not (or the other way round), once the comparisons of some minutes agree and the cause is known."""
    from PGP_COMMON.money_machines import coins, reconciliations
    from PGP_COMMON.operators import treasury

    known, why = settings(state), act(reason)
    db, chain = desk(known), chain_of(known)
    with db.reading() as tx:
        held, decimals = our_wallet(tx, known), coins.coin(tx, asset).decimals
        books = reconciliations.holdings(tx, held.id, block=held.scanned_block)
    # At the block up to which every arrival has been asked for: what came later would look like a difference.
    receipts = chain.receipts([tx_hash for holding in books for tx_hash in holding.hashes or ()]).by_hash
    seen = treasury.Seen(held.scanned_block, chain.balance(asset, held.address, block=held.scanned_block), receipts)
    difference = db.rerun(lambda tx: treasury.book(tx, why, held=held, asset=asset, seen=seen))
    typer.echo(f"{amount(difference, decimals, asset)} are booked as {'equity' if difference > 0 else 'a loss'}")


@app.command()
def withdraw(
    *,
    reason: ReasonOption,
    to: Annotated[str, typer.Option("--to", help="the Ethereum address that gets it")],
    asset: Annotated[str, typer.Option(help="eth or usdterc20")],
    account: Annotated[str, typer.Option("--from", help="equity, or income:fee")],
    coins: Annotated[str | None, typer.Option("--amount", help="how much, in coins")] = None,
    units: Annotated[int | None, typer.Option(help="the same in base units")] = None,
    again: Annotated[bool, typer.Option("--again", help="the same is under way already, and is meant twice")] = False,
    state: StateOption = None,
) -> None:
    """Take the platform's own money out, by a transfer like any other; the gas reserve and what is owed to anybody stay."""
    from PGP_COMMON.money_machines import coins as catalogue
    from PGP_COMMON.operators import treasury

    known, why = settings(state), act(reason)
    db = desk(known)
    with db.reading() as tx:
        held, decimals = our_wallet(tx, known), catalogue.coin(tx, asset).decimals
    given = units_of(units=units, coins=coins, decimals=decimals, needed=True) or 0
    transfer = db.rerun(lambda tx: treasury.withdraw(tx, why, held=held, asset=asset, units=given, recipient=to, account=account, again=again))
    typer.echo(f"transfer {transfer} takes {amount(given, decimals, asset)} from {account} to {to}")
