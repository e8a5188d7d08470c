"""Lists transfers in flight, shows one, lets a stuck one go on, and takes back what is not signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.chain import chain_of
from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, desk, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.cli.printing import amount, say_facts, say_json, say_table
from PGP_COMMON.errors import NotFound

if TYPE_CHECKING:
    from PGP_COMMON.database import Transaction
    from PGP_COMMON.money_machines.listings import ListedTransfer

app = typer.Typer(no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="the transfer's number")]


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="those that are over as well")] = False, as_json: JsonOption = False, state: StateOption = None
) -> None:
    """Every transfer that waits or is in flight, in the order of their nonces, with why it waits."""
    from PGP_COMMON.money_machines import listings

    with database(settings(state)).reading() as tx:
        found = listings.transfers(tx, everything=everything)
    if as_json:
        say_json(found)
        return
    rows = [
        (one.id, one.signed_at or one.created_at, one.state, one.nonce, amount(one.units, one.decimals, one.asset), one.about, one.attempts, one.reason)
        for one in found
    ]
    say_table(("transfer", "since", "state", "nonce", "amount", "for", "attempts", "reason"), rows, empty="nothing is in flight")


@app.command()
def show(number: Number, as_json: JsonOption = False, state: StateOption = None) -> None:
    """Everything that is known of one transfer, with the hash of every attempt."""
    from PGP_COMMON.money_machines import transfers

    with database(settings(state)).reading() as tx:
        one, attempts = _found(tx, number), transfers.attempts(tx, number)
    hashes = [attempt.tx_hash for attempt in attempts]
    if as_json:
        say_json({"transfer": one, "attempts": hashes})
        return
    facts: dict[str, object] = {"transfer": one.id, "purpose": one.purpose, "for": one.about, "state": one.state, "reason": one.reason}
    facts |= {"amount": amount(one.units, one.decimals, one.asset), "to": one.recipient, "nonce": one.nonce}
    say_facts(facts | {f"attempt {seq}": tx_hash for seq, tx_hash in enumerate(hashes, 1)})


@app.command()
def resume(number: Number, reason: ReasonOption, state: StateOption = None) -> None:
    """Let a stuck transfer go on with the bytes that are kept, if the chain says that its nonce is its own."""
    from PGP_COMMON.money_machines import transfers
    from PGP_COMMON.operators import transfers as operators

    known, why = settings(state), act(reason)
    db, chain = desk(known), chain_of(known)
    with db.reading() as tx:
        seen = transfers.get(tx, number)
        hashes = [attempt.tx_hash for attempt in transfers.attempts(tx, number)]
    # A receipt counts only while its block is on the chain.
    found = list(chain.receipts(hashes).by_hash.values()) if hashes else []
    is_mined = any(chain.has_block(number=receipt.block_number, block_hash=receipt.block_hash) for receipt in found)
    is_free = seen.nonce is not None and chain.nonce(seen.sender) <= seen.nonce
    db.rerun(lambda tx: operators.resume(tx, number, why, is_mined=is_mined, is_free=is_free))
    typer.echo(f"transfer {number} goes on with the same bytes; the wallet stays frozen until `pgp wallet unfreeze`")


@app.command()
def cancel(number: Number, reason: ReasonOption, state: StateOption = None) -> None:
    """Take back a withdrawal or a refund that is not signed yet."""
    from PGP_COMMON.operators import transfers

    why = act(reason)
    before = desk(settings(state)).rerun(lambda tx: transfers.cancel(tx, number, why))
    typer.echo(f"transfer {number} is cancelled: nothing of its {before.units} base units of {before.asset} has left")


def _found(tx: Transaction, number: int) -> ListedTransfer:
    from PGP_COMMON.money_machines import listings

    found = listings.transfers(tx, transfer_id=number)
    if not found:
        raise NotFound(f"there is no transfer {number}")
    return found[0]
