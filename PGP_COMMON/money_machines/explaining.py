"""Explaining: an operator says what a stray was for; the row that the lost history had is made again, and the stray becomes its transfer.

What is given up here to make room for it has never been funded. Whoever was paid by the stray is owed that much less from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from PGP_COMMON import addresses
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import bury
from PGP_COMMON.errors import BadInput, Conflict
from PGP_COMMON.log import new_correlation
from PGP_COMMON.money_machines import accumulations, adopting, coins, conversions, ledger, owners, payouts, quotes, strays, swaps, transfers
from PGP_COMMON.money_machines.accumulations import AccumulationRow
from PGP_COMMON.money_machines.adopting import Sent
from PGP_COMMON.money_machines.conversions import Conversion
from PGP_COMMON.money_machines.payouts import Payout
from PGP_COMMON.money_machines.swaps import Swap
from PGP_COMMON.money_machines.wallet import FUNDING, GAS, WalletRow

# As many rows as the planners take at once.
MOST_ROWS = 2000
GIVEN_UP = "its coins had left before the restore, for another order"


@dataclass(frozen=True, slots=True)
class Order:
    """An order at the exchange, as the exchange describes it. Amounts are base units."""

    provider_id: str
    payin_address: str
    from_units: int
    to_asset: str
    to_units: int
    payout_address: str
    refund_address: str


def check_order(sent: Sent, order: Order, *, wallet_address: str) -> None:
    """Make sure that the stray funded exactly this order of ours; raises Conflict with what differs."""
    if order.payin_address.lower() != sent.recipient.lower():
        raise Conflict(f"the order's pay-in address is {order.payin_address}, the transaction went to {sent.recipient}")
    if order.from_units != sent.units:
        raise Conflict(f"the order wants {order.from_units} units, the transaction carries {sent.units}")
    if order.refund_address.lower() != wallet_address.lower():
        raise Conflict("the order would be refunded to somebody else: it is not ours")


# --- a payout


def payout_by_order(tx: Transaction, held: WalletRow, sent: Sent, payout_id: int, order: Order) -> int:
    """The stray funded the exchange for this payout; gives back its transfer. Raises Conflict when payout and order do not belong together."""
    accumulations.lock_of_payout(tx, payout_id)
    payout = payouts.lock(tx, payout_id)
    family = coins.coin(tx, payout.payout_asset).address_family or ""
    if order.to_asset != payout.payout_asset or not addresses.same(family, order.payout_address, payout.address):
        raise Conflict(f"payout {payout.id} goes to {payout.address} in {payout.payout_asset}, the order to {order.payout_address} in {order.to_asset}")
    _same_money(sent, asset=payout.asset, units=payout.units, what=f"payout {payout.id}")
    _clear_payout(tx, payout)
    quote_id = quotes.ask_for_payout(tx, payout.id)
    _price(tx, quote_id, order)
    payouts.agree(tx, payout.id)
    return _adopt_order(tx, held, sent, quote_id, order, payout_address=payout.address, extra_id=payout.extra_id)


def payout_directly(tx: Transaction, held: WalletRow, sent: Sent, payout_id: int) -> int:
    """The stray was this payout itself; gives back its transfer. Raises Conflict when it went elsewhere or is another amount."""
    accumulations.lock_of_payout(tx, payout_id)
    payout = payouts.lock(tx, payout_id)
    if payout.payout_asset != payout.asset or payout.address.lower() != sent.recipient.lower():
        raise Conflict(f"payout {payout.id} goes to {payout.address} in {payout.payout_asset}: name the exchange's order with --order")
    _same_money(sent, asset=payout.asset, units=payout.units, what=f"payout {payout.id}")
    _clear_payout(tx, payout)
    return _taken(tx, held, adopting.fund_directly(tx, held, payout.id), sent)


def reserve_for(tx: Transaction, sent: Sent, owner_id: int, *, asset: str, address: str, fee_cap_percent: Decimal) -> int:
    """The payout that paid an owner by the stray is gone: make it again from his oldest converted money; gives back its id.

    An open payout of the same units to the same place is taken as it is. Raises Conflict when his money does not come to exactly so much: what is
    missing may still be on its way (payments that the vendor's list finds, conversions that are explained first).
    """
    owners.lock(tx, owner_id)
    found = tx.value(
        """
        SELECT id FROM split_payout_que
         WHERE owner_id = :owner AND units = :units AND payout_asset = :asset AND lower(address) = lower(:address) AND state NOT IN ('settled', 'released')
        """,
        owner=owner_id,
        units=sent.units,
        asset=asset,
        address=address,
    )
    if found is not None:
        return int(found)
    if payouts.has_open(tx, owner_id):
        raise Conflict(f"owner {owner_id} has another payout on its way: release it, or name it with --payout")
    details = tx.value(
        "SELECT max(id) FROM payout_details WHERE owner_id = :owner AND asset = :asset AND lower(address) = lower(:address)",
        owner=owner_id,
        asset=asset,
        address=address,
    )
    if details is None:
        raise Conflict(f"owner {owner_id} was never paid at {address} in {asset}")
    rows = _beginning(accumulations.collect_converted(tx, owner_id, asset=FUNDING, limit=MOST_ROWS), sent.units, converted=True, whose=f"owner {owner_id}")
    payout_id = payouts.reserve(
        tx,
        owner_id=owner_id,
        details_id=int(details),
        asset=FUNDING,
        units=sent.units,
        fee_cap_percent=fee_cap_percent,
        correlation=new_correlation(),
    )
    accumulations.attach(tx, rows, payout_id=payout_id)
    lines = [ledger.debit(ledger.owed(owner_id, "available", FUNDING), sent.units), ledger.credit(ledger.owed(owner_id, "reserved", FUNDING), sent.units)]
    ledger.post(tx, "payout.reserve", payout_id, lines)
    return payout_id


def _clear_payout(tx: Transaction, payout: payouts.PayoutRow) -> None:
    """Take a payout, locked, back to its reserved money; what was prepared for it meanwhile was never funded, and is given up."""
    if payout.state == Payout.RESERVED:
        return
    if payout.state not in (Payout.QUOTED, Payout.SWAP_READY, Payout.FUNDING):
        raise Conflict(f"payout {payout.id} is {payout.state}")
    _give_up_swap(tx, payout_id=payout.id)
    _give_up_transfer(tx, payout_id=payout.id)
    if not payouts.reserve_again(tx, payout.id, source=Payout(payout.state), reason=GIVEN_UP, counts=False):
        raise Conflict(f"payout {payout.id} has moved on")


# --- a conversion


def conversion_by_order(tx: Transaction, held: WalletRow, sent: Sent, conversion_id: int, order: Order) -> int:
    """The stray funded the exchange for this conversion; gives back its transfer. Raises Conflict when it is another amount or has moved on."""
    accumulations.lock_of_conversion(tx, conversion_id)
    conversion = conversions.lock(tx, conversion_id)
    if order.to_asset != conversion.to_asset or order.payout_address.lower() != held.address.lower():
        raise Conflict(f"the order pays {order.to_asset} to {order.payout_address}, and a conversion comes back to the wallet")
    _same_money(sent, asset=conversion.from_asset, units=conversion.from_units, what=f"conversion {conversion.id}")
    if conversion.state != Conversion.PLANNED:
        _give_up_swap(tx, conversion_id=conversion.id)
        if conversion.state not in (Conversion.QUOTED, Conversion.SWAPPING) or not conversions.plan_again(
            tx, conversion.id, source=Conversion(conversion.state), reason=GIVEN_UP
        ):
            raise Conflict(f"conversion {conversion.id} is {conversion.state}")
    quote_id = quotes.ask_for_conversion(tx, conversion.id)
    _price(tx, quote_id, order)
    conversions.agree(tx, conversion.id)
    return _adopt_order(tx, held, sent, quote_id, order, payout_address=held.address, extra_id=None)


def plan_for(tx: Transaction, sent: Sent) -> int:
    """The conversion that the stray funded is gone: make it again from the oldest pending money; gives back its id.

    Raises Conflict when that does not come to exactly so much.
    """
    rows = _beginning(accumulations.collect_pending(tx, GAS, limit=MOST_ROWS), sent.units, converted=False, whose="pending money that has arrived")
    conversion_id = conversions.plan(tx, from_asset=GAS, from_units=sent.units, to_asset=FUNDING, correlation=new_correlation())
    accumulations.begin_conversion(tx, rows, conversion_id=conversion_id)
    lines = []
    for owner_id, units in accumulations.per_owner(rows).items():
        lines.append(ledger.debit(ledger.owed(owner_id, "pending", GAS), units))
        lines.append(ledger.credit(ledger.owed(owner_id, "converting", GAS), units))
    ledger.post(tx, "conv.start", conversion_id, lines)
    return conversion_id


# --- the platform's own, a refund, a loss


def withdrawal(tx: Transaction, held: WalletRow, sent: Sent, *, account: Literal["equity", "income:fee"]) -> int:
    """The stray was a withdrawal of the platform's own money from this account; gives back its transfer."""
    asked = transfers.request(tx, wallet_id=held.id, purpose="treasury", asset=sent.asset, recipient=sent.recipient, units=sent.units, reason=account)
    return _taken(tx, held, asked, sent)


def refund(tx: Transaction, held: WalletRow, sent: Sent, *, payment_id: int) -> int:
    """The stray gave a payment in suspense back; gives back its transfer. Raises Conflict when so much is not in suspense for it."""
    kept = tx.value(
        "SELECT suspense_units FROM processed_payments WHERE id = :id AND outcome_asset = :asset FOR NO KEY UPDATE", id=payment_id, asset=sent.asset
    )
    if kept is None or int(kept) < sent.units:
        raise Conflict(f"of payment {payment_id} there are {kept or 0} units in suspense, and {sent.units} were sent")
    asked = transfers.request(tx, wallet_id=held.id, purpose="refund", payment_id=payment_id, asset=sent.asset, recipient=sent.recipient, units=sent.units)
    return _taken(tx, held, asked, sent)


def loss(tx: Transaction, stray: strays.Stray, *, owner_id: int | None) -> None:
    """The stray can be brought back to no row: the platform bears it. It has been booked before.

    The owner who was paid by it, if it was one, gets no payout until a person has settled that with him and resolved the letter about it.
    """
    if owner_id is not None:
        owners.stop_payouts(tx, owner_id, reason=owners.PAID_BEFORE)
        detail = {
            "tx": stray.tx_hash,
            "units": stray.units,
            "asset": stray.asset,
            "next": "settle it with the owner; resolving this lets his payouts begin again",
        }
        bury(tx, source=owners.PAID_BEFORE_LETTER, subject=f"owner {owner_id}", reason="paid_before_the_restore", detail=detail)
    if not strays.lose(tx, stray):
        raise Conflict("somebody else explained it")


# --- shared


def _beginning(rows: Sequence[AccumulationRow], units: int, *, converted: bool, whose: str) -> list[AccumulationRow]:
    """The oldest rows that come to exactly so much."""
    taken: list[AccumulationRow] = []
    left = units
    for row in rows:
        if left <= 0:
            break
        taken.append(row)
        left -= int((row.converted_units if converted else row.units) or 0)
    if left:
        raise Conflict(f"{whose}: the oldest rows do not come to exactly {units} units ({units - left} with the last of them)")
    return taken


def _same_money(sent: Sent, *, asset: str, units: int, what: str) -> None:
    if (sent.asset, sent.units) != (asset, units):
        raise Conflict(f"{what} is {units} units of {asset}, the transaction {sent.units} of {sent.asset}")


def _price(tx: Transaction, quote_id: int, order: Order) -> None:
    """Keep what the order promises as the quote's answer: it was agreed to before the restore."""
    valid_until = tx.value("SELECT pgp_now() + interval '1 hour'")
    if not quotes.answer(tx, quote_id, to_units=order.to_units, rate_id=order.provider_id, valid_until=valid_until, cost_bps=None):
        raise Conflict("somebody else answered the quote")


def _adopt_order(tx: Transaction, held: WalletRow, sent: Sent, quote_id: int, order: Order, *, payout_address: str, extra_id: str | None) -> int:
    known = tx.value("SELECT id FROM swap WHERE provider_id = :id OR lower(payin_address) = lower(:payin)", id=order.provider_id, payin=order.payin_address)
    if known is not None and not swaps.hand_order_on(tx, swaps.lock(tx, int(known)).id):
        raise BadInput(f"swap {known} has this order, and was not given up: `pgp wallet adopt` finds it")
    swap_id = swaps.plan(tx, quote_id, payout_address=payout_address, payout_extra_id=extra_id, refund_address=held.address)
    swaps.remember(tx, swap_id, provider_id=order.provider_id, payin_address=order.payin_address)
    return _taken(tx, held, adopting.fund_swap(tx, held, swap_id), sent)


def _taken(tx: Transaction, held: WalletRow, transfer_id: int | None, sent: Sent) -> int:
    if transfer_id is None:
        raise Conflict("what it was for has a transfer, or has moved on")
    adopting.take(tx, held, transfer_id, sent)
    return transfer_id


def _give_up_swap(tx: Transaction, *, payout_id: int | None = None, conversion_id: int | None = None) -> None:
    """Give up the living swap of a payout or conversion, and the transfer that waits to be signed for it."""
    found = tx.value(
        """
        SELECT id FROM swap WHERE (payout_id = CAST(:payout AS bigint) OR conversion_id = CAST(:conversion AS bigint)) AND state IN ('planned', 'created', 'funding')
        """,
        payout=payout_id,
        conversion=conversion_id,
    )
    if found is None:
        return
    swap = swaps.lock(tx, int(found))
    _give_up_transfer(tx, swap_id=swap.id)
    if not swaps.abandon(tx, swap.id, source=Swap(swap.state), reason=GIVEN_UP):
        raise Conflict(f"swap {swap.id} is {swap.state}")


def _give_up_transfer(tx: Transaction, *, payout_id: int | None = None, swap_id: int | None = None) -> None:
    found = tx.value(
        """
        SELECT id FROM transfer
         WHERE (payout_id = CAST(:payout AS bigint) OR swap_id = CAST(:swap AS bigint)) AND state NOT IN ('cancelled', 'failed_onchain', 'superseded')
        """,
        payout=payout_id,
        swap=swap_id,
    )
    if found is not None and not transfers.cancel(tx, transfers.lock(tx, int(found)).id, reason=GIVEN_UP):
        raise Conflict(f"transfer {found} has been signed: it is paid already")
