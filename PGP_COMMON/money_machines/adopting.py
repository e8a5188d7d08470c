"""Adopting: a transaction that the wallet made in a history that a restore has lost finds the row that it was for, by exact facts alone.

An operator's command does this (`pgp wallet adopt`), with the wallet frozen. What fits no row is left to him: `explaining`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule, Conflict
from PGP_COMMON.money_machines import conversions, ledger, payouts, quotes, strays, swaps, transfers, wallet
from PGP_COMMON.money_machines.conversions import Conversion
from PGP_COMMON.money_machines.payouts import Payout
from PGP_COMMON.money_machines.swaps import Swap
from PGP_COMMON.money_machines.transfers import Transfer, TransferRow
from PGP_COMMON.money_machines.wallet import WalletRow

# States of a transfer that nothing is over for: it may still take another attempt, or be given up for what took its nonce.
UNDER_WAY: Final = frozenset({Transfer.SIGNED, Transfer.BROADCAST, Transfer.MINED, Transfer.STUCK})


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction of the wallet as the chain shows it: what it moves, in base units, and its signed bytes, which were read back."""

    tx_hash: str
    nonce: int
    asset: str
    units: int
    recipient: str
    calldata_hash: bytes
    raw: bytes
    gas_limit: int
    max_fee_wei: int
    max_priority_wei: int


def adopt(tx: Transaction, held: WalletRow, sent: Sent) -> int | None:
    """Make it an attempt of the transfer that it was; gives back the transfer's id, or None when no row fits exactly.

    That is the transfer with its nonce and its very words (a dearer attempt that was lost); or one that waits to be signed for the same address,
    asset and units; or the one that a living swap with this pay-in address, or an open direct payout to this address, would have got.
    From there the executor watches it like any other. A second call finds it done.
    """
    own = _of_nonce(tx, held, sent)
    if own is not None and own.calldata_hash == sent.calldata_hash:
        return _add_attempt(tx, own, sent)
    if own is not None and own.purpose == "fill":
        _give_way(tx, own, sent)
    elif own is not None:
        return None
    wanted = _requested(tx, held, sent) or _of_swap(tx, held, sent) or _of_direct_payout(tx, held, sent)
    if wanted is not None:
        take(tx, held, wanted, sent)
    return wanted


def _of_nonce(tx: Transaction, held: WalletRow, sent: Sent) -> TransferRow | None:
    """The transfer that has this nonce and has not been given up, locked."""
    found = tx.value(
        "SELECT id FROM transfer WHERE wallet_id = :id AND nonce = :nonce AND state <> 'superseded'",
        id=held.id,
        nonce=sent.nonce,
    )
    return None if found is None else transfers.lock(tx, int(found))


def _add_attempt(tx: Transaction, own: TransferRow, sent: Sent) -> int:
    """A dearer attempt, signed after the restore point: the chain mines one of them, and we watch all."""
    if not transfers.is_ours(tx, sent.tx_hash):
        if own.state not in UNDER_WAY:
            raise Conflict(f"transfer {own.id} is {own.state}, and its nonce has another transaction", tx=sent.tx_hash)
        _keep(tx, own.id, sent)
    if own.state == Transfer.STUCK:
        transfers.resume(tx, own.id)
    strays.explain(tx, sent.tx_hash, as_="transfer", transfer_id=own.id)
    return own.id


def _give_way(tx: Transaction, own: TransferRow, sent: Sent) -> None:
    """A fill whose nonce a lost signature took after all: that is what the fill was there to find out."""
    if own.state in (Transfer.SIGNED, Transfer.BROADCAST):
        transfers.stick(tx, own.id, reason="a transaction from before the restore took its nonce")
    if not transfers.supersede(tx, own.id, raw=b"", tx_hash=sent.tx_hash, reason="a transaction from before the restore took its nonce"):
        raise Conflict(f"fill {own.id} is {own.state}: try again when the executor has looked", tx=sent.tx_hash)


def _requested(tx: Transaction, held: WalletRow, sent: Sent) -> int | None:
    """The oldest transfer that waits to be signed and says the same. Two that say the same in every word are the same to the chain."""
    found = tx.value(
        """
        SELECT min(id) FROM transfer
         WHERE wallet_id = :id AND state = 'requested' AND asset = :asset AND units = :units AND lower(recipient) = lower(:recipient)
        """,
        id=held.id,
        asset=sent.asset,
        units=sent.units,
        recipient=sent.recipient,
    )
    return None if found is None else int(found)


def _of_swap(tx: Transaction, held: WalletRow, sent: Sent) -> int | None:
    """Ask for the transfer that the living swap with this pay-in address is to get."""
    found = tx.value(
        """
        SELECT id FROM swap
         WHERE lower(payin_address) = lower(:recipient) AND from_asset = :asset AND from_units = :units AND state IN ('planned', 'created')
        """,
        recipient=sent.recipient,
        asset=sent.asset,
        units=sent.units,
    )
    return None if found is None else fund_swap(tx, held, int(found))


def fund_swap(tx: Transaction, held: WalletRow, swap_id: int) -> int | None:
    """Lead a planned or created swap, and what it is for, to where its transfer is asked for; None when what it is for has moved on."""
    seen = swaps.get(tx, swap_id)
    if not _lead(tx, seen):
        return None
    swap = swaps.lock(tx, swap_id)
    if swap.state == Swap.PLANNED:
        swaps.mark_created(tx, swap.id, deadline=swap.deadline)
    if not swaps.fund(tx, swap.id):
        raise Conflict(f"swap {swap.id} has moved on")
    return transfers.request(
        tx,
        wallet_id=held.id,
        purpose="swap",
        swap_id=swap.id,
        asset=swap.from_asset,
        recipient=str(swap.payin_address),
        units=swap.from_units,
        deadline=swap.deadline,
    )


def _lead(tx: Transaction, swap: swaps.SwapRow) -> bool:
    """Bring a swap's payout or conversion, locked, to the state in which the swap is funded."""
    if swap.payout_id is not None:
        payout = payouts.lock(tx, swap.payout_id)
        if payout.state == Payout.QUOTED:
            payouts.await_funding(tx, payout.id)
        return payouts.fund(tx, payout.id, source=Payout.SWAP_READY)
    conversion = conversions.lock(tx, int(swap.conversion_id or 0))
    if conversion.state == Conversion.QUOTED:
        return conversions.begin_swap(tx, conversion.id)
    return conversion.state == Conversion.SWAPPING


def _of_direct_payout(tx: Transaction, held: WalletRow, sent: Sent) -> int | None:
    """Ask for the transfer that the oldest open payout to this address, which needs no exchange, is to get."""
    found = tx.value(
        """
        SELECT min(id) FROM split_payout_que
         WHERE payout_asset = :asset AND asset = :asset AND units = :units AND lower(address) = lower(:recipient) AND state IN ('reserved', 'quoted')
        """,
        asset=sent.asset,
        units=sent.units,
        recipient=sent.recipient,
    )
    return None if found is None else fund_directly(tx, held, int(found))


def fund_directly(tx: Transaction, held: WalletRow, payout_id: int) -> int | None:
    """Lead a direct payout to where its transfer is asked for; None when it has moved on."""
    payout = payouts.lock(tx, payout_id)
    if payout.state == Payout.RESERVED:
        quotes.agree_directly(tx, payout.id)
        payouts.agree(tx, payout.id)
    if not payouts.fund(tx, payout.id, source=Payout.QUOTED):
        return None
    return transfers.request(tx, wallet_id=held.id, purpose="direct", payout_id=payout.id, asset=payout.asset, recipient=payout.address, units=payout.units)


def take(tx: Transaction, held: WalletRow, transfer_id: int, sent: Sent) -> None:
    """Give a transfer that waits to be signed the nonce and the bytes that it has on the chain. Its units are posted once, here or when it was found."""
    row = transfers.lock(tx, transfer_id)
    if (row.asset, row.units, row.recipient.lower()) != (sent.asset, sent.units, sent.recipient.lower()):
        raise BrokenRule(f"transfer {transfer_id} says something else than {sent.tx_hash}")
    wallet.lock(tx, held.id)
    cap_wei = sent.gas_limit * sent.max_fee_wei
    if not transfers.sign(tx, transfer_id, nonce=sent.nonce, calldata_hash=sent.calldata_hash, max_total_fee_wei=cap_wei):
        raise Conflict(f"transfer {transfer_id} is {row.state}")
    _keep(tx, transfer_id, sent)
    wallet.skip_nonces(tx, held.id, to=sent.nonce + 1)
    tx.send("transfer.watch", transfer_id)
    stray = strays.find(tx, sent.tx_hash)
    strays.explain(tx, sent.tx_hash, as_="transfer", transfer_id=transfer_id)
    if stray is None or not stray.is_booked:
        lines = [ledger.debit(ledger.in_flight(sent.asset), sent.units), ledger.credit(ledger.wallet(sent.asset), sent.units)]
        ledger.post(tx, "transfer.sign", transfer_id, lines)


def _keep(tx: Transaction, transfer_id: int, sent: Sent) -> None:
    transfers.keep_attempt(
        tx,
        transfer_id,
        raw=sent.raw,
        tx_hash=sent.tx_hash,
        gas_limit=sent.gas_limit,
        max_fee_wei=sent.max_fee_wei,
        max_priority_wei=sent.max_priority_wei,
    )


def fill_nonces(tx: Transaction, held: WalletRow, *, upto: int) -> list[int]:
    """Ask for transfers of one wei to ourselves that take every nonce from the next one up to before `upto`; gives back their ids.

    A signature that was sent, is in no pool that we see, and was lost with its row can only be mined with one of these nonces.
    """
    made = []
    for _ in range(max(0, upto - held.next_nonce)):
        asked = transfers.request(tx, wallet_id=held.id, purpose="fill", asset=wallet.GAS, recipient=held.address, units=1, reason="restore")
        assert asked is not None
        tx.send("transfer.sign", asked)
        made.append(asked)
    return made
