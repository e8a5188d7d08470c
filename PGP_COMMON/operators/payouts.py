"""What a person does about a payout: release it, settle it, or let it go on; never so that its owner could be paid twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BadInput, Conflict
from PGP_COMMON.money_machines import accumulations, arrivals, audit, dead_letters, ledger, listings, payout_ends, payouts, quotes, spending, swap_ends, swaps
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.money_machines.listings import Sent
from PGP_COMMON.money_machines.payouts import Payout, PayoutRow, Release
from PGP_COMMON.money_machines.swaps import Swap, SwapRow
from PGP_COMMON.money_machines.transfers import Transfer

# A swap in one of these never pays any more, and a transfer in one of these moved nothing.
OVER: Final = frozenset({Swap.ABANDONED, Swap.REFUNDED, Swap.LOST})
NOT_STARTED: Final = frozenset({Swap.PLANNED, Swap.CREATED})
NOTHING_LEFT: Final = frozenset({Transfer.CANCELLED, Transfer.FAILED_ONCHAIN, Transfer.SUPERSEDED})
# More than the agreed amount so many times over is a slipped decimal point: coins typed as base units, or the other way round.
ABSURD: Final = 2


@dataclass(frozen=True)
class Case:
    """A payout with all that was ever tried for it, locked in the one order."""

    payout: PayoutRow
    swaps: Sequence[SwapRow]
    transfers: Sequence[Sent]

    @property
    def last_swap(self) -> SwapRow | None:
        """The newest of its swaps."""
        return self.swaps[-1] if self.swaps else None


def _case(tx: Transaction, payout_id: int) -> Case:
    accumulations.lock_of_payout(tx, payout_id)
    payout = payouts.lock(tx, payout_id)
    tried = swaps.lock_of_payout(tx, payout_id)
    return Case(payout, tried, listings.sent_for_payout(tx, payout_id))


# --- release


def release(tx: Transaction, payout_id: int, act: Act, *, although_missing: bool = False) -> PayoutRow:
    """Give the money back to the owner's balance; the next plan pays it again. Gives back the payout as it was.

    `although_missing`: what the exchange says it sent back has not come, and the platform bears it. Raises Conflict while anything that was
    started for the payout could still pay its owner, NotFound without such a payout.
    """
    case = _case(tx, payout_id)
    payout = case.payout
    if payout.state not in (Payout.RESERVED, Payout.QUOTED, Payout.REVIEW):
        raise Conflict(f"payout {payout.id} is {payout.state}: only one that is reserved, quoted or in review is released")
    _refuse_if_it_may_pay(tx, case, although_missing=although_missing)
    for swap in case.swaps:
        if swap.state in NOT_STARTED:
            swaps.abandon(tx, swap.id, source=Swap(swap.state), reason="its payout was released")
    _lock_accounts(tx, payout)
    payout_ends.release(tx, payout, source=Payout(payout.state), reason=Release.OPERATOR)
    costs = {swap.id: swap_ends.book_cost(tx, swap.id) for swap in case.swaps if swap.state == Swap.REFUNDED}
    audit.note(
        tx, act, "payout.release", f"payout {payout.id}", before={"state": payout.state, "reason": payout.reason}, after={"state": "released", "costs": costs}
    )
    _answer(tx, act, case)
    return payout


def _refuse_if_it_may_pay(tx: Transaction, case: Case, *, although_missing: bool) -> None:
    """Say in a sentence what could still pay the owner, if anything could."""
    for sent in case.transfers:
        if sent.state == Transfer.FINAL and sent.swap_id is None:
            raise Conflict(f"transfer {sent.id} has paid the owner: `pgp payout settle {case.payout.id}`")
        if sent.state not in NOTHING_LEFT and sent.state != Transfer.FINAL:
            raise Conflict(f"transfer {sent.id} is {sent.state}: it is not over, and may still pay")
        if sent.state != Transfer.CANCELLED and sent.state in NOTHING_LEFT and not sent.is_returned:
            raise Conflict(f"transfer {sent.id} is {sent.state}, and not yet over in the books")
    for swap in case.swaps:
        if swap.state == Swap.FINISHED:
            raise Conflict(f"swap {swap.id} has paid the owner: `pgp payout settle {case.payout.id}`")
        if swap.state not in OVER | NOT_STARTED:
            raise Conflict(f"swap {swap.id} is {swap.state}: it may still pay; first `pgp swap lost {swap.id}` or `pgp swap refunded {swap.id}`")
        if swap.state in NOT_STARTED | {Swap.ABANDONED} and any(sent.swap_id == swap.id and sent.state == Transfer.FINAL for sent in case.transfers):
            raise Conflict(f"swap {swap.id} is {swap.state}, and yet a transfer has paid it: ask the exchange")
        if swap.state == Swap.REFUNDED and not although_missing and arrivals.of_swap(tx, swap.id, cause="refund") is None:
            raise Conflict(f"what swap {swap.id} sent back has not arrived; if it never will, say --although-missing: the platform bears it")


def _lock_accounts(tx: Transaction, payout: PayoutRow) -> None:
    """Two postings follow: their accounts are locked once, in the one order."""
    owed = [ledger.owed(payout.owner_id, purse, payout.asset) for purse in ("reserved", "available")]
    ledger.lock(tx, *owed, ledger.in_flight(payout.asset), ledger.swap_expense(payout.asset))


def _answer(tx: Transaction, act: Act, case: Case) -> None:
    """Close the letters that asked for this move."""
    about: list[tuple[str, object]] = [("swap.ended", swap.id) for swap in case.swaps]
    about += [("swap.follow", swap.id) for swap in case.swaps]
    about += [("transfer.ended", sent.id) for sent in case.transfers]
    about += [("payout.requote", quote_id) for quote_id in quotes.of_payout(tx, case.payout.id)]
    about.append((spending.LETTER, f"payout {case.payout.id}"))
    dead_letters.answer(tx, act, *about)


# --- settle


def settle(tx: Transaction, payout_id: int, act: Act, *, tx_hash: str | None = None, units: int | None = None) -> tuple[PayoutRow, int, str]:
    """The owner has his coin: by this transaction of the exchange, so many base units of it. Gives back the payout as it was, units and hash.

    Neither is asked for when the books have them. A swap on hold is finished with them, so that a settled payout has exactly one finished swap.
    Raises Conflict when the payout is not in review, or when what was started for it does not fit.
    """
    case = _case(tx, payout_id)
    payout = case.payout
    if payout.state != Payout.REVIEW:
        raise Conflict(f"payout {payout.id} is {payout.state}: only one in review is settled by a person")
    known = _paid(case)
    if known is None:
        known = _finish_hold(tx, case, tx_hash=tx_hash, units=units)
    elif (tx_hash or known[1], units or known[0]) != (known[1], known[0]):
        raise Conflict(f"the books say {known[0]} units by {known[1]}: leave --tx and the amount out, or ask the exchange again")
    payout_ends.settle(tx, payout, source=Payout.REVIEW, paid_out_units=known[0], tx_hash=known[1])
    after = {"state": "settled", "paid_out_units": known[0], "tx": known[1]}
    audit.note(tx, act, "payout.settle", f"payout {payout.id}", before={"state": payout.state, "reason": payout.reason}, after=after)
    _answer(tx, act, case)
    return payout, known[0], known[1]


def _paid(case: Case) -> tuple[int, str] | None:
    """The units and the transaction that paid the owner, if the books have them."""
    for swap in case.swaps:
        if swap.state == Swap.FINISHED:
            return int(swap.received_units or 0), str(swap.payout_hash)
    for sent in case.transfers:
        if sent.state == Transfer.FINAL and sent.swap_id is None:
            return sent.units, str(sent.tx_hash)
    return None


def _finish_hold(tx: Transaction, case: Case, *, tx_hash: str | None, units: int | None) -> tuple[int, str]:
    """Bring the swap on hold to the end that a person knows of."""
    swap = case.last_swap
    if swap is None or swap.state != Swap.HOLD:
        raise Conflict(f"nothing has paid the owner: {'it has no swap' if swap is None else f'swap {swap.id} is {swap.state}'}; release it, or resume it")
    if tx_hash is None or units is None:
        raise BadInput(f"swap {swap.id} is on hold: say with which transaction (--tx) and how much (--amount or --units) the exchange has paid the owner")
    finish_swap(tx, swap, tx_hash=tx_hash, units=units)
    return units, tx_hash


def finish_swap(tx: Transaction, swap: SwapRow, *, tx_hash: str, units: int) -> None:
    """Write down how a swap on hold ended. Raises BadInput for an amount that cannot be meant, Conflict without our own final transfer."""
    if not 0 < units <= swap.to_units * ABSURD:
        raise BadInput(f"{units} base units of {swap.to_asset}, where {swap.to_units} were agreed: is that in base units?")
    if not swaps.is_paid_for(tx, swap.id):
        raise Conflict(f"swap {swap.id} was never paid by a final transfer of ours")
    if not swaps.finish(tx, swap.id, received_units=units, payout_hash=tx_hash):
        raise Conflict(f"swap {swap.id} is {swap.state}")


# --- resume


def resume(tx: Transaction, payout_id: int, act: Act) -> tuple[PayoutRow, Payout]:
    """Let a payout in review go on by itself: with the exchange that works on it again, or with a new price when nothing has left.

    Gives back the payout as it was, and its new state. Raises Conflict when neither is the case.
    """
    case = _case(tx, payout_id)
    payout, swap = case.payout, case.last_swap
    if payout.state != Payout.REVIEW:
        raise Conflict(f"payout {payout.id} is {payout.state}: only one in review is resumed")
    if swap is not None and swap.state == Swap.FUNDED:
        payouts.resume(tx, payout.id)
        target = Payout.FUNDED
    else:
        target = Payout.RESERVED
        _refuse_if_it_may_pay(tx, case, although_missing=False)
        if any(one.state == Swap.REFUNDED for one in case.swaps):
            raise Conflict(f"its money came back: `pgp payout release {payout.id}`, and the next plan pays it again")
        payouts.reserve_again(tx, payout.id, source=Payout.REVIEW, reason="an operator lets it go on", counts=False)
        payouts.forget_failed_quotes(tx, payout.id)
        tx.send("payout.requote", quotes.latest_of_payout(tx, payout.id))
    audit.note(tx, act, "payout.resume", f"payout {payout.id}", before={"state": payout.state, "reason": payout.reason}, after={"state": target.value})
    _answer(tx, act, case)
    return payout, target
