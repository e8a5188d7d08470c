"""Opens, shows, freezes and unfreezes the wallet, takes a stuck nonce, and adopts it after a restore."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from PGP_COMMON.cli import adopting, explaining
from PGP_COMMON.cli.chain import chain_of, our_wallet, wallet_address
from PGP_COMMON.cli.operator import JsonOption, ReasonOption, act, database, setting, settings, who
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.clients.ethereum import PLAIN_GAS, Ethereum
from PGP_COMMON.errors import BadAnswer, BadInput, Conflict, Misconfigured
from PGP_COMMON.money_machines import audit, dead_letters, ledger, spending, strays, transfers, wallet
from PGP_COMMON.money_machines.transfers import Transfer
from PGP_COMMON.money_machines.wallet import FUNDING, GAS

app = typer.Typer(no_args_is_help=True)
app.callback()(lambda: None)
app.command()(adopting.adopt)
app.command()(explaining.explain)

# A block is final a quarter of an hour after it was made; what changed the wallet last may be that young.
PATIENCE_S = 1200
ASK_EVERY_S = 1


@dataclass(frozen=True)
class Opening:
    """What the chain says of the wallet at a final block: base units by asset, and how many transactions it has made."""

    block: int
    nonce: int
    balances: dict[str, int]


def read_opening(chain: Ethereum, address: str, *, patience_s: int) -> Opening:
    """What the wallet holds at a final block, once the newest block says the same; raises Conflict when it does not in so many seconds."""
    until = time.monotonic() + patience_s
    while True:
        # The newest block first: a token that is not even there is a mistake of ours, one that is not there yet at the final block is only young.
        newest = {asset: chain.balance(asset, address) for asset in (GAS, FUNDING)}
        final = _final(chain, address)
        if final is not None and final.balances == newest and final.nonce == chain.nonces(address).known:
            return final
        if time.monotonic() > until:
            raise Conflict("the wallet has changed in blocks that are not final: wait a quarter of an hour")
        time.sleep(ASK_EVERY_S)


def _final(chain: Ethereum, address: str) -> Opening | None:
    """What the wallet holds at the newest final block; None while that is older than the token's contract."""
    block = chain.finalized()
    try:
        balances = {asset: chain.balance(asset, address, block=block) for asset in (GAS, FUNDING)}
    except BadAnswer:
        return None
    return Opening(block, chain.nonce(address, block="finalized"), balances)


@app.command()
def init(
    reason: Annotated[str, typer.Option("--reason", help="why, for the audit log")] = "the books begin",
    gas_reserve_wei: Annotated[int | None, typer.Option(help="the ETH that only gas may use; default 0.02")] = None,
    patience_s: Annotated[int, typer.Option(help="how long to wait for the newest changes to become final")] = PATIENCE_S,
    state: StateOption = None,
) -> None:
    """Begin the wallet's books: its next nonce, and what it holds now as the platform's own. Harmless when that is done."""
    known = settings(state)
    address, db = wallet_address(known), database(known)
    with db.reading() as tx:
        there = wallet.find(tx, address)
    if there is not None:
        typer.echo(f"wallet {there.address} is open")
        return
    chain = chain_of(known)
    opening = read_opening(chain, address, patience_s=patience_s)
    with db.transaction() as tx:
        wallet.open(
            tx,
            address=address,
            chain_id=chain.chain_id,
            nonce=opening.nonce,
            block=opening.block,
            balances=opening.balances,
            gas_reserve_wei=gas_reserve_wei,
        )
        audit.record(tx, actor=who(), action="wallet.init", subject=address, reason=reason, after=asdict(opening))
    typer.echo(f"wallet {address} is open at block {opening.block} with nonce {opening.nonce}")


@app.command()
def show(as_json: JsonOption = False, state: StateOption = None) -> None:
    """Say what the wallet holds by the books, what it may spend, what is in flight, and whether it is frozen."""
    known = settings(state)
    with database(known).reading() as tx:
        ours = our_wallet(tx, known)
        load = wallet.load(tx, ours.id)
        facts = {
            **asdict(ours),
            "books": {asset: ledger.balance(tx, ledger.wallet(asset)) for asset in (GAS, FUNDING)},
            "gas_money_wei": wallet.gas_money_wei(tx),
            "platform_usdt_units": wallet.platform_units(tx),
            "in_flight": load.in_flight,
            "signed_in_24_hours": load.signed_lately,
            "sent_in_24_hours": {asset: spending.spent(tx, asset=asset) for asset in (GAS, FUNDING)},
            "unexplained": [stray.tx_hash for stray in strays.unexplained(tx, ours.id)],
            "obstacle": wallet.obstacle(tx, ours, fees_wei=load.fees_wei),
        }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for name, value in facts.items():
        typer.echo(f"{name:20} {value}")


@app.command()
def freeze(reason: ReasonOption, state: StateOption = None) -> None:
    """Sign nothing from now on. What is signed already is still sent and watched."""
    known, why = settings(state), act(reason)
    with database(known).transaction() as tx:
        ours = our_wallet(tx, known)
        if not wallet.freeze(tx, ours.id, reason=why.reason):
            raise Conflict(f"it is frozen already: {ours.frozen_reason}")
        audit.note(tx, why, "wallet.freeze", ours.address, after={"frozen": True})
    typer.echo(f"wallet {ours.address} is frozen")


@app.command()
def unfreeze(reason: ReasonOption, state: StateOption = None) -> None:
    """Sign again, if the wallet is at home, the chain has no nonce that was not given here, and everything that left is explained."""
    known, why = settings(state), act(reason)
    address = wallet_address(known)
    nonce = chain_of(known).nonces(address).known
    with database(known).transaction() as tx:
        ours = our_wallet(tx, known)
        if not ours.at_home:
            raise Conflict("this is not the database that the wallet was opened in: `pgp wallet adopt`, once it is the one that the fleet uses")
        if nonce > ours.next_nonce:
            raise Conflict(f"the chain has used nonce {nonce - 1}, and {ours.next_nonce} is the next one here: an older database, or somebody else's key")
        unexplained = strays.unexplained(tx, ours.id)
        if unexplained:
            raise Conflict(f"{unexplained[0].tx_hash} and {len(unexplained) - 1} more are unexplained: `pgp wallet explain`")
        if not wallet.unfreeze(tx, ours.id):
            raise Conflict("it is not frozen")
        audit.note(tx, why, "wallet.unfreeze", address, before={"frozen_reason": ours.frozen_reason}, after={"frozen": False})
        dead_letters.answer(tx, why, ("wallet", ours.address))
    typer.echo(f"wallet {address} signs again")


@app.command()
def fill(
    transfer_id: Annotated[int, typer.Argument(help="the stuck transfer, as its dead letter names it")],
    reason: ReasonOption,
    taken_by: Annotated[str, typer.Option(help="the transaction that has used its nonce already")] = "",
    state: StateOption = None,
) -> None:
    """Give a stuck transfer up: its nonce goes to a transfer of nothing to ourselves, or went to another transaction."""
    known, why = settings(state), act(reason)
    chain, db = chain_of(known), database(known)
    with db.reading() as tx:
        transfer = transfers.get(tx, transfer_id)
        last = transfers.attempts(tx, transfer_id)[-1:]
    if transfer.state != Transfer.STUCK or transfer.nonce is None or not last:
        raise Conflict(f"transfer {transfer_id} is {transfer.state}: only a stuck one is given up")
    raw, tx_hash = _taken(chain, transfer, taken_by.lower()) if taken_by else _self_transfer(known, chain, transfer, last[0])
    with db.transaction() as tx:
        if not transfers.supersede(tx, transfer_id, raw=raw, tx_hash=tx_hash, reason=why.reason):
            raise Conflict("somebody else moved it")
        stray = strays.find(tx, tx_hash)
        if stray is not None and not stray.units:
            # It moved nothing: that it took the nonce is all there is to explain.
            strays.explain(tx, tx_hash, as_="fill")
        audit.note(tx, why, "wallet.fill", f"transfer {transfer_id}", before={"state": "stuck"}, after={"state": "superseded", "tx": tx_hash})
    typer.echo(f"transfer {transfer_id} is given up; what it was for comes back when {tx_hash} is final")


def _taken(chain: Ethereum, transfer: transfers.TransferRow, tx_hash: str) -> tuple[bytes, str]:
    """Make sure that a transaction of our wallet really has the nonce."""
    found = chain.transaction(tx_hash)
    if found is None or found.block_number is None or (found.sender.lower(), found.nonce) != (transfer.sender.lower(), transfer.nonce):
        raise BadInput(f"{tx_hash} is no mined transaction of the wallet with nonce {transfer.nonce}")
    return b"", tx_hash


def _self_transfer(known: Mapping[str, str], chain: Ethereum, transfer: transfers.TransferRow, last: transfers.AttemptRow) -> tuple[bytes, str]:
    """Sign a transfer of nothing to ourselves, dear enough to replace the newest attempt; HOSTPAY3 sends it."""
    from PGP_COMMON.clients.ethereum_answers import Call
    from PGP_COMMON.clients.ethereum_signing import TransactionFields, sign_transfer

    if chain.nonce(transfer.sender) > (transfer.nonce or 0):
        raise Conflict("the nonce is used: name the transaction that has it with --taken-by")
    fees = chain.fees()
    tip = max(fees.tip_wei, last.max_priority_wei * 9 // 8 + 1)
    max_fee = max(2 * fees.base_fee_wei + tip, last.max_fee_wei * 9 // 8 + 1)
    call = Call(to=transfer.sender, value_wei=0, data=b"")
    fields = TransactionFields(chain.chain_id, int(transfer.nonce or 0), PLAIN_GAS, max_fee, tip, call)
    signed = sign_transfer(str(setting(known, "HOST_WALLET_PRIVATE_KEY")), fields)
    if signed.sender.lower() != transfer.sender.lower():
        raise Misconfigured("HOST_WALLET_PRIVATE_KEY is not the wallet's")
    return signed.raw, signed.hash
