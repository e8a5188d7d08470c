"""What a person does about a swap: put it on hold when the exchange is silent, write down how it ended, or give it up."""

from __future__ import annotations

import re
from typing import Final

from PGP_COMMON.clients.changenow import Standing, standing
from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BadInput, Conflict
from PGP_COMMON.money_machines import accumulations, audit, conversions, dead_letters, ledger, payouts, swap_ends, swaps
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.money_machines.payouts import Payout
from PGP_COMMON.money_machines.swaps import Swap, SwapRow
from PGP_COMMON.operators.payouts import finish_swap

# What the exchange says of a swap that it has given up itself; anything else may still end well, and giving it up would pay twice.
HOPELESS: Final = frozenset({Standing.REVIEW, Standing.HOLD})
ETHEREUM_HASH: Final = re.compile(r"0x[0-9a-f]{64}", re.ASCII)


def _lock(tx: Transaction, swap_id: int) -> SwapRow:
    """A swap with everything that is locked before it."""
    seen = swaps.get(tx, swap_id)
    if seen.conversion_id is not None:
        accumulations.lock_of_conversion(tx, seen.conversion_id)
        conversions.lock(tx, seen.conversion_id)
    if seen.payout_id is not None:
        accumulations.lock_of_payout(tx, seen.payout_id)
        payouts.lock(tx, seen.payout_id)
    return swaps.lock(tx, swap_id)


def _on_hold(tx: Transaction, swap_id: int) -> SwapRow:
    swap = _lock(tx, swap_id)
    if swap.state != Swap.HOLD:
        raise Conflict(f"swap {swap.id} is {swap.state}: only one on hold is a person's; `pgp swap hold` puts a funded one there")
    return swap


def _note(tx: Transaction, act: Act, action: str, swap: SwapRow, **after: object) -> None:
    audit.note(tx, act, action, f"swap {swap.id}", before={"state": swap.state, "reason": swap.reason, "exchange said": swap.vendor_status}, after={**after})


def _on_our_chain(tx_hash: str) -> str:
    """What comes to our wallet comes by an Ethereum transaction."""
    if not ETHEREUM_HASH.fullmatch(tx_hash):
        raise BadInput("what comes to our wallet has an Ethereum hash: 0x and 64 hexadecimal digits")
    return tx_hash


def hold(tx: Transaction, swap_id: int, act: Act) -> SwapRow:
    """Take a funded swap into a person's hands: the exchange has been silent for too long. HOSTPAY2 goes on asking, and may still end it.

    Gives back the swap as it was. Raises Conflict when it is not funded, NotFound without it.
    """
    swap = _lock(tx, swap_id)
    if swap.state != Swap.FUNDED or not swaps.hold(tx, swap.id, reason=act.reason[:200]):
        raise Conflict(f"swap {swap.id} is {swap.state}: only a funded one is put on hold")
    tx.send("swap.ended", swaps.review_subject(tx, swap.id))
    _note(tx, act, "swap.hold", swap, state="hold")
    return swap


def finish(tx: Transaction, swap_id: int, act: Act, *, tx_hash: str, units: int) -> SwapRow:
    """The exchange has paid out so many base units by this transaction, whatever it says: what the swap was for goes on from there.

    Gives back the swap as it was. Raises Conflict when it is not on hold, BadInput for an amount that cannot be meant.
    """
    swap = _on_hold(tx, swap_id)
    finish_swap(tx, swap, tx_hash=tx_hash, units=units)
    if swap.conversion_id is not None:
        tx.send("arrival.look", _on_our_chain(tx_hash))
    tx.send("swap.ended", swap.id)
    _note(tx, act, "swap.finished", swap, state="finished", units=units, hash=tx_hash)
    dead_letters.answer(tx, act, ("swap.follow", swap.id), ("swap.ended", swap.id))
    return swap


def refund(tx: Transaction, swap_id: int, act: Act, *, tx_hash: str) -> SwapRow:
    """The exchange has sent our coins back by this transaction, though it does not say so: they are looked for, and what it was for goes on.

    Gives back the swap as it was. Raises Conflict when it is not on hold.
    """
    swap = _on_hold(tx, swap_id)
    swaps.refund(tx, swap.id, refund_units=None, refund_hash=_on_our_chain(tx_hash))
    tx.send("arrival.look", tx_hash)
    tx.send("swap.ended", swap.id)
    _note(tx, act, "swap.refunded", swap, state="refunded", hash=tx_hash)
    dead_letters.answer(tx, act, ("swap.follow", swap.id), ("swap.ended", swap.id))
    return swap


def lose(tx: Transaction, swap_id: int, act: Act, *, despite: str = "") -> SwapRow:
    """Give a swap up: our coins are the platform's loss, and its owners are owed what they were.

    A conversion gives everybody his ETH back by itself; a payout is in review then, to be released or resumed.
    `despite`: the exchange's last word, when it does not say itself that it failed. Raises Conflict without it, or when the swap is not on hold.
    """
    swap = _on_hold(tx, swap_id)
    said = swap.vendor_status or ""
    if standing(said) not in HOPELESS and despite != said:
        raise Conflict(f"the exchange says {said}: it may still pay; if you know that it will not, say --despite {said}")
    if not swaps.is_paid_for(tx, swap.id):
        raise Conflict(f"swap {swap.id} was never paid by a final transfer of ours: nothing is lost")
    if swap.payout_id is not None:
        payouts.review(tx, swap.payout_id, source=Payout.FUNDED, reason="its swap was given up")
    ledger.lock(tx, ledger.in_flight(swap.from_asset), ledger.swap_expense(swap.from_asset))
    swap_ends.lose(tx, swap, reason=act.reason[:200])
    if swap.conversion_id is not None:
        tx.send("conversion.finish", swap.id)
    _note(tx, act, "swap.lost", swap, state="lost", loss=str(swap.from_units), asset=swap.from_asset)
    dead_letters.answer(tx, act, ("swap.follow", swap.id), ("swap.ended", swap.id))
    return swap
