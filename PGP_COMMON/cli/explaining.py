"""Explains what left the wallet and fits no row: a person says what it was for, and nobody is paid for the same twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from PGP_COMMON.cli.adopting import LETTER, read_sent
from PGP_COMMON.cli.chain import chain_of, our_wallet
from PGP_COMMON.cli.operator import ReasonOption, act, desk, setting, settings
from PGP_COMMON.cli.place import StateOption
from PGP_COMMON.errors import BadInput, Conflict, NotFound
from PGP_COMMON.money import floor_units
from PGP_COMMON.money_machines import audit, coins, dead_letters, explaining, strays
from PGP_COMMON.money_machines.explaining import Order
from PGP_COMMON.money_machines.wallet import FUNDING, WalletRow

if TYPE_CHECKING:
    from PGP_COMMON.database import BaseDatabaseManager, Transaction
    from PGP_COMMON.money_machines.adopting import Sent
    from PGP_COMMON.money_machines.audit import Act
    from PGP_COMMON.money_machines.strays import Stray


def explain(
    tx_hash: Annotated[str, typer.Argument(help="the transaction that left, as its dead letter names it")],
    reason: ReasonOption,
    *,
    payout: Annotated[int | None, typer.Option(help="it paid this payout, or funded the exchange for it (with --order)")] = None,
    owner: Annotated[int | None, typer.Option(help="it paid this owner, by a payout whose row is gone")] = None,
    conversion: Annotated[int | None, typer.Option(help="it funded the exchange for this conversion (with --order); 0: for one whose row is gone")] = None,
    order: Annotated[str, typer.Option(help="the exchange's id of the order that it funded")] = "",
    treasury: Annotated[str, typer.Option(help="it was a withdrawal from this account: equity or income:fee")] = "",
    payment: Annotated[int | None, typer.Option(help="it gave this payment in suspense (its number here) back")] = None,
    loss: Annotated[bool, typer.Option("--loss", help="nothing explains it: the platform bears it (with --owner: he was paid by it)")] = False,
    state: StateOption = None,
) -> None:
    """Say what a transaction was for that no row explains; its row is made again, so that nobody is paid for the same twice."""
    known, why = settings(state), act(reason)
    said = [payout is not None, owner is not None and not loss, conversion is not None, bool(treasury), payment is not None, loss]
    if sum(said) != 1:
        raise BadInput("say one thing: --payout, --owner, --conversion, --treasury, --payment or --loss")
    db = desk(known)
    with db.reading() as tx:
        held = our_wallet(tx, known)
        stray = strays.find(tx, tx_hash)
    if stray is None or stray.explained_as is not None:
        raise NotFound(f"{tx_hash} waits for no explanation")
    if not stray.is_booked:
        raise Conflict("run `pgp wallet adopt` first: it books what left, and finds by itself what it can")
    if loss:
        done = _lose(db, stray, why, owner=owner)
    else:
        sent = read_sent(known, chain_of(known), stray.tx_hash, address=held.address)
        if sent is None:
            raise Conflict("our executor could not have made it: if it is nobody's payout, it is a loss")
        wanted = Wanted(payout, owner, conversion, treasury, payment, _order(db, known, sent, held, order) if order else None)
        done = _remake(db, held, sent, wanted, why, fee_cap=Decimal(setting(known, "PAYOUT_FEE_CAP_PERCENT")))
    typer.echo(done)


@dataclass(frozen=True)
class Wanted:
    """What a person says that a stray was for: one of these, and the exchange's order if one carried it."""

    payout: int | None
    owner: int | None
    conversion: int | None
    treasury: str
    payment: int | None
    order: Order | None


def _order(db: BaseDatabaseManager, known: Mapping[str, str], sent: Sent, held: WalletRow, order_id: str) -> Order:
    """Ask the exchange about its order, and make sure that the stray funded exactly that."""
    from PGP_COMMON.clients.changenow import ChangeNow
    from PGP_COMMON.http import Http

    exchange = ChangeNow(Http("changenow", setting(known, "CHANGENOW_URL")), api_key=lambda: str(setting(known, "CHANGENOW_API_KEY")))
    seen = exchange.exchange(order_id)
    with db.reading() as tx:
        gives, gets = (
            coins.at_exchange(tx, ticker=seen.from_ticker, network=seen.from_network),
            coins.at_exchange(tx, ticker=seen.to_ticker, network=seen.to_network),
        )
    if gives is None or gets is None or gives.asset != sent.asset or seen.expected_from is None or seen.expected_to is None:
        raise Conflict(f"order {order_id} is {seen.from_ticker} to {seen.to_ticker}, and the transaction carries {sent.asset}")
    order = Order(
        provider_id=order_id,
        payin_address=seen.payin_address,
        from_units=floor_units(seen.expected_from, gives.decimals),
        to_asset=gets.asset,
        to_units=floor_units(seen.expected_to, gets.decimals),
        payout_address=seen.payout_address,
        refund_address=seen.refund_address or "",
    )
    explaining.check_order(sent, order, wallet_address=held.address)
    return order


def _lose(db: BaseDatabaseManager, stray: Stray, why: Act, *, owner: int | None) -> str:
    with db.transaction() as tx:
        explaining.loss(tx, stray, owner_id=owner)
        _note(tx, stray.tx_hash, why, after={"loss": str(stray.units), "asset": stray.asset, "owner": owner})
    return f"{stray.tx_hash} is the platform's loss" + ("" if owner is None else f"; owner {owner} gets no payout until that is settled with him")


def _remake(db: BaseDatabaseManager, held: WalletRow, sent: Sent, wanted: Wanted, why: Act, *, fee_cap: Decimal) -> str:
    """Make the row again and let the stray be its transfer: in two transactions where the row itself has to be posted first."""
    payout, conversion = wanted.payout, wanted.conversion
    if wanted.owner is not None:
        place = (FUNDING, sent.recipient) if wanted.order is None else (wanted.order.to_asset, wanted.order.payout_address)
        with db.transaction() as tx:
            payout = explaining.reserve_for(tx, sent, wanted.owner, asset=place[0], address=place[1], fee_cap_percent=fee_cap)
    if conversion is not None and wanted.order is None:
        raise BadInput("a conversion goes through the exchange: name its order with --order")
    if conversion == 0:
        with db.transaction() as tx:
            conversion = explaining.plan_for(tx, sent)
    with db.transaction() as tx:
        transfer_id = _transfer(tx, held, sent, wanted, payout=payout, conversion=conversion)
        _note(tx, sent.tx_hash, why, after={"transfer": transfer_id, "payout": payout, "conversion": conversion})
    return f"{sent.tx_hash} is transfer {transfer_id}; the executor watches it"


def _transfer(tx: Transaction, held: WalletRow, sent: Sent, wanted: Wanted, *, payout: int | None, conversion: int | None) -> int:
    if payout is not None and wanted.order is not None:
        return explaining.payout_by_order(tx, held, sent, payout, wanted.order)
    if payout is not None:
        return explaining.payout_directly(tx, held, sent, payout)
    if conversion is not None and wanted.order is not None:
        return explaining.conversion_by_order(tx, held, sent, conversion, wanted.order)
    if wanted.payment is not None:
        return explaining.refund(tx, held, sent, payment_id=wanted.payment)
    account: Literal["equity", "income:fee"] = "income:fee" if wanted.treasury == "income:fee" else "equity"
    if wanted.treasury not in ("equity", "income:fee"):
        raise BadInput("--treasury names equity or income:fee")
    return explaining.withdrawal(tx, held, sent, account=account)


def _note(tx: Transaction, tx_hash: str, why: Act, *, after: Mapping[str, object]) -> None:
    dead_letters.answer(tx, why, (LETTER, tx_hash))
    audit.note(tx, why, "wallet.explain", f"transaction {tx_hash}", after=after)
