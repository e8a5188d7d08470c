"""From a swap that waits for our coins to a transfer that may be signed, and what follows when that transfer is over."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from PGP_COMMON.clients.changenow import Standing, standing
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import Commit, Done, Job, Later, Outcome, bury
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines import accumulations, ledger, payment_cases, payments, payout_ends, payouts, quotes, swaps, transfers, wallet
from PGP_COMMON.money_machines.payouts import Payout, PayoutRow
from PGP_COMMON.money_machines.swaps import Swap, SwapRow
from PGP_COMMON.money_machines.transfers import TRANSFER_LIFE, Transfer, TransferRow

# money.md 7: HOSTPAY2 must have seen the swap waiting this recently; what it saw earlier may have changed.
LOOK_HOLDS_S: Final = 60
# Without a wallet nothing can be sent; `pgp wallet init` opens it.
NO_WALLET_WAIT_S: Final = 60
# Why HOSTPAY3 gave a transfer up, where the quote is not to blame: it lapsed while it waited for gas or for a slot.
ONLY_LAPSED: Final = "deadline too near"


def ask_for_a_look(job: Job[Any]) -> Commit:
    """Have HOSTPAY2 see whether the exchange still waits for our coins."""

    def ask(tx: Transaction) -> Outcome:
        swap = swaps.get(tx, job.id)
        if swap.state != Swap.CREATED:
            return Done(f"the swap is {swap.state}")
        tx.send("swap.check", swap.id)
        return Done()

    return ask


def fund_swap(job: Job[Any]) -> Commit:
    """Ask for the one transfer that funds a swap, or give the swap up: the gate is all in one transaction."""
    return partial(_fund_or_abandon, job)


def _fund_or_abandon(job: Job[Any], tx: Transaction) -> Outcome:
    payout_id = swaps.get(tx, job.id).payout_id
    payout = payouts.lock(tx, payout_id) if payout_id is not None else None
    swap = swaps.lock(tx, job.id)
    if swap.state != Swap.CREATED:
        return Done(f"the swap is {swap.state}")
    held = wallet.find(tx, job.config.text("HOST_WALLET_ETH_ADDRESS"))
    refusal = _refusal(job, tx, swap, payout)
    if refusal is not None:
        return _abandon(tx, swap, payout, source=Swap.CREATED, reason=refusal)
    if held is None:
        return Later(NO_WALLET_WAIT_S, "no wallet is open")
    if payout is not None:
        payouts.fund(tx, payout.id, source=Payout.SWAP_READY)
    swaps.fund(tx, swap.id)
    asked = transfers.request(
        tx,
        wallet_id=held.id,
        purpose="swap",
        swap_id=swap.id,
        asset=swap.from_asset,
        recipient=str(swap.payin_address),
        units=swap.from_units,
        deadline=swap.deadline,
    )
    return _requested(tx, asked, f"swap {swap.id}")


def _refusal(job: Job[Any], tx: Transaction, swap: SwapRow, payout: PayoutRow | None) -> str | None:
    """Why a swap may not be funded now, or None."""
    if payout is not None and payout.state != Payout.SWAP_READY:
        return f"its payout is {payout.state}"
    if standing(swap.vendor_status or "") is not Standing.FUNDABLE:
        return f"the exchange says {swap.vendor_status}"
    if not swaps.was_looked_at(tx, swap.id, within_s=LOOK_HOLDS_S):
        return "the exchange was asked too long ago"
    if swaps.lapses(tx, swap.id, margin_s=job.config.integer("SWAP_DEADLINE_MARGIN_S")):
        return ONLY_LAPSED
    return None


def _requested(tx: Transaction, transfer_id: int | None, what: str) -> Outcome:
    if transfer_id is None:
        raise BrokenRule(f"{what} has a transfer already")
    tx.send("transfer.sign", transfer_id)
    return Done()


def fund_directly(job: Job[Any]) -> Commit:
    """Ask for the transfer to an owner whose coin is what we hold: no exchange, no gate, no deadline."""

    def fund(tx: Transaction) -> Outcome:
        quote = quotes.get(tx, job.id)
        if quote.payout_id is None:
            raise BrokenRule(f"quote {quote.id} is for no payout")
        payout = payouts.lock(tx, quote.payout_id)
        if payout.state != Payout.QUOTED or not quotes.is_latest(tx, quote):
            return Done(f"the payout is {payout.state}")
        held = wallet.find(tx, job.config.text("HOST_WALLET_ETH_ADDRESS"))
        if held is None:
            return Later(NO_WALLET_WAIT_S, "no wallet is open")
        if payout.payout_asset != payout.asset:
            raise BrokenRule(f"payout {payout.id} needs an exchange")
        payouts.fund(tx, payout.id, source=Payout.QUOTED)
        asked = transfers.request(
            tx, wallet_id=held.id, purpose="direct", payout_id=payout.id, asset=payout.asset, recipient=payout.address, units=payout.units
        )
        return _requested(tx, asked, f"payout {payout.id}")

    return fund


# --- a transfer is over


# HOSTPAY3 says that a superseded one is over once the transaction that has its nonce is final.
OVER: Final = TRANSFER_LIFE.ends() | {Transfer.SUPERSEDED}


def close_transfer(job: Job[Any]) -> Commit:
    """What a transfer was for goes on, is closed, or comes back."""

    def close(tx: Transaction) -> Outcome:
        transfer = transfers.get(tx, job.id)
        if transfer.state not in OVER:
            raise BrokenRule(f"transfer {transfer.id} is {transfer.state}, which is no end")
        return CLOSERS[transfer.purpose](tx, transfer)

    return close


def _close_for_swap(tx: Transaction, transfer: TransferRow) -> Outcome:
    swap_id = int(transfer.swap_id or 0)
    payout_id = swaps.get(tx, swap_id).payout_id
    payout = payouts.lock(tx, payout_id) if payout_id is not None else None
    swap = swaps.lock(tx, swap_id)
    if swap.state != Swap.FUNDING:
        return Done(f"the swap is {swap.state}")
    if transfer.state == Transfer.FINAL:
        swaps.mark_funded(tx, swap.id)
        if payout is not None:
            payouts.mark_funded(tx, payout.id)
        tx.send("swap.follow", swap.id)
        return Done()
    if transfer.state == Transfer.CANCELLED:
        return _abandon(tx, swap, payout, source=Swap.FUNDING, reason=transfer.reason or "cancelled")
    swaps.abandon(tx, swap.id, source=Swap.FUNDING, reason=f"its transfer is {transfer.state}")
    if payout is not None:
        payouts.review(tx, payout.id, source=Payout.FUNDING, reason=f"its transfer is {transfer.state}")
    if swap.conversion_id is not None:
        tx.send("conversion.finish", swap.id)
    return _returned(tx, transfer)


def _close_direct(tx: Transaction, transfer: TransferRow) -> Outcome:
    payout_id = int(transfer.payout_id or 0)
    accumulations.lock_of_payout(tx, payout_id)
    payout = payouts.lock(tx, payout_id)
    if payout.state != Payout.FUNDING:
        return Done(f"the payout is {payout.state}")
    if transfer.state == Transfer.FINAL:
        payout_ends.settle(tx, payout, source=Payout.FUNDING, paid_out_units=transfer.units, tx_hash=str(transfer.mined_hash))
        return Done()
    if transfer.state == Transfer.CANCELLED:
        _quote_again(tx, payout, source=Payout.FUNDING, reason=transfer.reason or "cancelled")
        return Done()
    payouts.review(tx, payout.id, source=Payout.FUNDING, reason=f"its transfer is {transfer.state}")
    return _returned(tx, transfer)


def _close_treasury(tx: Transaction, transfer: TransferRow) -> Outcome:
    """The platform's own money left; an operator had said which account it is taken from."""
    if transfer.state != Transfer.FINAL:
        return _returned(tx, transfer)
    source = ledger.fee_income(transfer.asset) if transfer.reason == "income:fee" else ledger.equity(transfer.asset)
    _post_sent(tx, transfer, "treasury.withdraw", source)
    return Done()


def _close_refund(tx: Transaction, transfer: TransferRow) -> Outcome:
    """A payment in suspense went back to whoever made it; one that nobody was ever credited with is over by that."""
    payment = payment_cases.lock_of_refund(tx, int(transfer.payment_id or 0))
    if transfer.state != Transfer.FINAL or payment is None:
        return _returned(tx, transfer)
    if _post_sent(tx, transfer, "suspense.refund", ledger.suspense(transfer.asset)):
        payments.empty_suspense(tx, payment.id, units=transfer.units)
    return Done()


def _close_fill(tx: Transaction, transfer: TransferRow) -> Outcome:
    """A nonce is taken, by whichever transaction; what the fill carried never left the wallet."""
    if transfer.state == Transfer.CANCELLED:
        return Done("cancelled before it was signed")
    lines = [ledger.debit(ledger.wallet(transfer.asset), transfer.units), ledger.credit(ledger.in_flight(transfer.asset), transfer.units)]
    ledger.post(tx, "transfer.return", transfer.id, lines)
    return Done(transfer.state)


CLOSERS: Final = {"swap": _close_for_swap, "direct": _close_direct, "treasury": _close_treasury, "refund": _close_refund, "fill": _close_fill}


def _post_sent(tx: Transaction, transfer: TransferRow, kind: str, source: ledger.Account) -> bool:
    lines = [ledger.debit(source, transfer.units), ledger.credit(ledger.in_flight(transfer.asset), transfer.units)]
    return ledger.post(tx, kind, transfer.id, lines)


# What a person does about a transfer that came to nothing, by what it was for.
NEXT: Final = {
    "swap": "look at the transaction; then `pgp payout release` or `pgp payout resume`; a conversion is priced anew by itself",
    "direct": "look at the transaction; then `pgp payout release` or `pgp payout resume`",
    "treasury": "look at the reason; then `pgp treasury withdraw` anew",
    "refund": "look at the reason; then `pgp suspense refund` anew, or `pgp suspense resolve`",
}


def _returned(tx: Transaction, transfer: TransferRow) -> Outcome:
    """The units never left: they go back in the books, and a person is told why; also that what he asked for himself was cancelled."""
    detail = {"purpose": transfer.purpose, "tx": transfer.mined_hash, "why": transfer.reason, "next": NEXT[transfer.purpose]}
    bury(tx, source="transfer.ended", subject=str(transfer.id), reason=f"transfer_{transfer.state}", detail=detail)
    if transfer.state == Transfer.CANCELLED:
        return Done("cancelled before it was signed")
    lines = [ledger.debit(ledger.wallet(transfer.asset), transfer.units), ledger.credit(ledger.in_flight(transfer.asset), transfer.units)]
    ledger.post(tx, "transfer.return", transfer.id, lines)
    return Done(transfer.state)


# --- a swap is given up


def _abandon(tx: Transaction, swap: SwapRow, payout: PayoutRow | None, *, source: Swap, reason: str) -> Outcome:
    """Give up a swap that nobody has paid for; what it was for begins again with a new quote."""
    swaps.abandon(tx, swap.id, source=source, reason=reason)
    if swap.conversion_id is not None:
        tx.send("conversion.finish", swap.id)
    elif payout is not None:
        state = Payout.SWAP_READY if source is Swap.CREATED else Payout.FUNDING
        _quote_again(tx, payout, source=state, reason=reason, quote_id=swap.quote_id)
    return Done(reason)


def _quote_again(tx: Transaction, payout: PayoutRow, *, source: Payout, reason: str, quote_id: int | None = None) -> None:
    """Send a payout back to `reserved` and have it quoted anew; only what the quote itself is to blame for counts against it."""
    counts = source is not Payout.FUNDING or reason != ONLY_LAPSED
    if payouts.reserve_again(tx, payout.id, source=source, reason=reason, counts=counts):
        tx.send("payout.requote", quote_id or quotes.latest_of_payout(tx, payout.id))
