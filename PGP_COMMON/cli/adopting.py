"""Adopts the wallet after a restore: what its chain did since finds its rows here, and this database becomes its home."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from PGP_COMMON.cli.chain import chain_of, our_wallet, wallet_address
from PGP_COMMON.cli.operator import ReasonOption, act, desk, setting, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.engine import bury
from PGP_COMMON.errors import BadInput, BrokenRule, Conflict
from PGP_COMMON.money_machines import adopting, audit, dead_letters, strays, transfers, wallet
from PGP_COMMON.money_machines.wallet import FUNDING, GAS, WalletRow

if TYPE_CHECKING:
    from PGP_COMMON.clients.ethereum import Ethereum
    from PGP_COMMON.clients.ethereum_answers import ChainTransaction
    from PGP_COMMON.database import BaseDatabaseManager, Transaction
    from PGP_COMMON.money_machines.adopting import Sent
    from PGP_COMMON.money_machines.audit import Act
    from PGP_COMMON.money_machines.strays import Stray

# HOSTPAY2 reads forty blocks in a second or two; a day of them takes some minutes.
PATIENCE_S = 600
ASK_EVERY_S = 1
LETTER = "wallet.stray"


@dataclass(frozen=True)
class Desk:
    """Where one run works: the settings, the database, the chain, the wallet as it was found, and who adopts it and why."""

    known: Mapping[str, str]
    db: BaseDatabaseManager
    chain: Ethereum
    held: WalletRow
    why: Act


@dataclass
class Adoption:
    """What one run found: the transfers that were recognised, what is young and fits nothing, and what is final and fits nothing."""

    adopted: dict[str, int] = field(default_factory=dict)
    young: list[ChainTransaction] = field(default_factory=list)
    unexplained: list[Stray] = field(default_factory=list)


def read_sent(known: Mapping[str, str], chain: Ethereum, tx_hash: str, *, address: str) -> Sent | None:
    """A transaction of the wallet with its signed bytes, read back; None if it is none that our executor could have made."""
    from PGP_COMMON.clients.ethereum_answers import call_hash
    from PGP_COMMON.clients.ethereum_signing import decode_raw, meaning, raw_of

    seen = chain.signed(tx_hash)
    if seen is None:
        return None
    try:
        raw = raw_of(seen)
        fields, signer, _hash = decode_raw(raw)
        token, recipient, units = meaning(fields.call)
    except BadInput:
        return None
    ours = {None: GAS, str(setting(known, "USDT_CONTRACT")).lower(): FUNDING}
    asset = ours.get(token.lower() if token is not None else None)
    if asset is None or not units or signer.lower() != address.lower() or fields.chain_id != chain.chain_id:
        return None
    return adopting.Sent(
        tx_hash, fields.nonce, asset, units, recipient, call_hash(fields.call), raw, fields.gas, fields.max_fee_wei, fields.max_priority_fee_wei
    )


def adopt(
    reason: ReasonOption,
    fills: Annotated[int | None, typer.Option(help="how many nonces a lost signature may still carry; default: as many as can be under way")] = None,
    patience_s: Annotated[int, typer.Option(help="how long to wait for HOSTPAY2 to have read the chain")] = PATIENCE_S,
    state: StateOption = None,
) -> None:
    """Make this database the wallet's home, once everything that the wallet did has its row here. Run it again until it says so."""
    known, why = settings(state), act(reason)
    address, chain, db = wallet_address(known), chain_of(known), desk(known)
    with db.reading() as tx:
        held = our_wallet(tx, known)
        if held.at_home and not strays.unexplained(tx, held.id) and chain.nonces(address).known <= held.next_nonce:
            typer.echo("there is nothing to adopt: the wallet is at home, and its chain has nothing that is not known here")
            return
    at, found = Desk(known, db, chain, held, why), Adoption()
    _freeze(at)
    _wait_until_read(at, patience_s=patience_s)
    _adopt_final(at, found)
    _adopt_young(at, found)
    _book(at, found)
    _tell(found)
    made = _close(at, found, fills=fills)
    typer.echo(f"this database is the wallet's home now; {len(made)} nonces from before are taken first")
    if found.unexplained:
        typer.echo(f"{len(found.unexplained)} transactions are left to explain (`pgp wallet explain`); until then nothing is planned or signed")
    typer.echo("then: `pgp wallet unfreeze`")


def _freeze(at: Desk) -> None:
    with at.db.transaction() as tx:
        wallet.lock(tx, at.held.id)
        if wallet.freeze(tx, at.held.id, reason=f"being adopted: {at.why.reason}"):
            audit.note(tx, at.why, "wallet.freeze", at.held.address, after={"frozen": True})


def _wait_until_read(at: Desk, *, patience_s: int) -> None:
    """HOSTPAY2 reads final blocks, books what came and writes down what went: nothing is decided before it has read what is final now."""
    final, until, told = at.chain.finalized(), time.monotonic() + patience_s, -1
    while True:
        with at.db.reading() as tx:
            read = our_wallet(tx, at.known).scanned_block
        if read >= final:
            return
        if time.monotonic() >= until:
            raise Conflict(f"HOSTPAY2 has read the chain up to block {read} of {final}: is it running? (`pgp fire wallet-reconcile`)")
        if told < 0:
            with at.db.transaction() as tx:
                tx.send("wallet.reconcile", f"adopt up to block {final}")
        if read > told:
            typer.echo(f"HOSTPAY2 reads the chain: block {read} of {final}", err=True)
        told = read
        time.sleep(ASK_EVERY_S)


def _adopt_final(at: Desk, found: Adoption) -> None:
    """What left in final blocks, in the order of the nonces."""
    with at.db.reading() as tx:
        waiting = strays.unexplained(tx, at.held.id)
    for stray in waiting:
        sent = read_sent(at.known, at.chain, stray.tx_hash, address=at.held.address)
        transfer_id = None if sent is None else _adopt_one(at, sent)
        if transfer_id is None:
            found.unexplained.append(stray)
        else:
            found.adopted[stray.tx_hash] = transfer_id


def _adopt_young(at: Desk, found: Adoption) -> None:
    """What is in blocks that are not final, or in a pool. What fits no row there is no fact yet, and nothing after it is looked at."""
    blocks = range(at.chain.finalized() + 1, max(at.chain.heads()) + 1)
    mined = [seen.transaction for block in blocks for seen in at.chain.transactions_of(at.held.address, block=block)]
    young = {one.nonce: one for one in [*at.chain.waiting(at.held.address), *mined] if one.sender.lower() == at.held.address.lower()}
    for _nonce, one in sorted(young.items()):
        with at.db.reading() as tx:
            if transfers.is_ours(tx, one.tx_hash) or strays.find(tx, one.tx_hash) is not None:
                continue
        sent = read_sent(at.known, at.chain, one.tx_hash, address=at.held.address)
        transfer_id = None if sent is None or found.young else _adopt_one(at, sent)
        if transfer_id is None:
            found.young.append(one)
        else:
            found.adopted[one.tx_hash] = transfer_id


def _adopt_one(at: Desk, sent: Sent) -> int | None:
    def one(tx: Transaction) -> int | None:
        transfer_id = adopting.adopt(tx, at.held, sent)
        if transfer_id is not None:
            dead_letters.answer(tx, at.why, (LETTER, sent.tx_hash))
            audit.note(tx, at.why, "wallet.adopt", f"transaction {sent.tx_hash}", after={"transfer": transfer_id, "nonce": sent.nonce})
        return transfer_id

    try:
        return at.db.rerun(one)
    except BrokenRule as error:
        raise _not_covered(error) from error


def _not_covered(error: BrokenRule) -> Exception:
    if error.data.get("constraint") != "ledger_floor":
        return error
    return Conflict("the books hold less than what left: money that came is not booked yet; run it again when HOSTPAY2 has looked at every arrival")


def _book(at: Desk, found: Adoption) -> None:
    """The books agree with the chain also about what nobody has explained, and a person is told of each."""
    for stray in found.unexplained:
        try:
            at.db.rerun(lambda tx, stray=stray: strays.book_gas(tx, stray))  # type: ignore[misc]
            at.db.rerun(lambda tx, stray=stray: _book_one(tx, stray, at.why))  # type: ignore[misc]
        except BrokenRule as error:
            raise _not_covered(error) from error


def _book_one(tx: Transaction, stray: Stray, why: Act) -> None:
    detail = {"asset": stray.asset, "units": stray.units, "to": stray.recipient, "nonce": stray.nonce, "block": stray.block, "known": strays.hint(tx, stray)}
    bury(tx, source=LETTER, subject=stray.tx_hash, reason="unexplained_transaction", detail={**detail, "next": "`pgp wallet explain`"})
    if strays.book(tx, stray):
        audit.note(tx, why, "wallet.import", f"transaction {stray.tx_hash}", after={"asset": stray.asset, "units": str(stray.units), "nonce": stray.nonce})


def _tell(found: Adoption) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("nonce", "transaction", "units", "asset", "to", "is", box=None)
    for stray in found.unexplained:
        table.add_row(str(stray.nonce), stray.tx_hash, str(stray.units), str(stray.asset), str(stray.recipient), "unexplained")
    for one in found.young:
        table.add_row(str(one.nonce), one.tx_hash, str(one.value_wei), "", str(one.recipient), "not final, and fits no row")
    for tx_hash, transfer_id in found.adopted.items():
        table.add_row("", tx_hash, "", "", "", f"transfer {transfer_id}")
    if table.row_count:
        Console(width=180).print(table)


def _close(at: Desk, found: Adoption, *, fills: int | None) -> list[int]:
    """The last step, once every nonce that any node knows has its row: this is home, and the next nonce follows the chain."""
    held, nonces = at.held, at.chain.nonces(at.held.address)
    if found.young:
        raise Conflict(f"{len(found.young)} transactions are not final yet and fit no row: run it again when they are, in a quarter of an hour")

    def close(tx: Transaction) -> list[int]:
        wallet.lock(tx, held.id)
        gaps = strays.missing(tx, held.id, upto=nonces.known)
        if gaps:
            raise Conflict(f"the chain has nonces {gaps[0]} to {gaps[-1]}, and nobody shows all of their transactions yet: run it again when they are mined")
        wallet.skip_nonces(tx, held.id, to=nonces.known)
        now = wallet.lock(tx, held.id)
        assert now is not None
        upto = nonces.final + now.max_in_flight if fills is None else now.next_nonce + fills
        wallet.make_home(tx, held.id, reason=at.why.reason)
        made = [] if strays.is_filling(tx, held.id) else adopting.fill_nonces(tx, now, upto=upto)
        after = {"next_nonce": now.next_nonce, "fills": len(made), "adopted": len(found.adopted), "unexplained": len(found.unexplained)}
        audit.note(tx, at.why, "wallet.home", held.address, before={"next_nonce": held.next_nonce}, after=after)
        return made

    return at.db.rerun(close)
