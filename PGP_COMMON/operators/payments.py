"""What a person does about a payment: credit it, send it back, close it, take it back from its owner, or leave it his after all."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Final

from PGP_COMMON import addresses
from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BadInput, Conflict, NotFound
from PGP_COMMON.money import PRECISION
from PGP_COMMON.money_machines import (
    accumulations,
    arrivals,
    audit,
    crediting,
    dead_letters,
    ledger,
    listings,
    payment_cases,
    payments,
    transfers,
    transit,
    wallet,
)
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.money_machines.coins import WALLET_ASSETS
from PGP_COMMON.money_machines.payment_cases import Decided, Reviewed
from PGP_COMMON.money_machines.payments import Payment
from PGP_COMMON.money_machines.wallet import WalletRow

USD_PLACES: Final = Decimal("0.00000001")


def _lock(tx: Transaction, provider_id: str) -> Decided:
    found = payment_cases.lock(tx, provider_id)
    if found is None:
        raise NotFound(f"there is no payment {provider_id}: give the vendor's id, as `pgp suspense list` does")
    return found


def _refuse_if_on_its_way_back(tx: Transaction, payment: Decided) -> None:
    """A refund that is asked for, or gone, decides: the money is not given to anybody else, and not sent twice."""
    sent = listings.refund_under_way(tx, payment.id)
    if sent is not None:
        raise Conflict(f"transfer {sent.id} sends payment {payment.provider_id} back: it is {sent.state}")


def _close(tx: Transaction, act: Act, action: str, payment: Decided, **after: object) -> None:
    before = {"state": payment.state, "reason": payment.review_reason, "suspense_units": str(payment.suspense_units)}
    audit.note(tx, act, action, f"payment {payment.provider_id}", before=before, after=after)
    dead_letters.answer(tx, act, (crediting.REVIEW, payment.id))


# --- money in suspense


def worth(case: Reviewed) -> Decimal:
    """What a payment in review counts toward its order in USD unless a person says otherwise: its price × min(1, paid / wanted), rounded down."""
    if not case.pay_amount or case.actually_paid is None:
        return case.price_usd
    with localcontext() as context:
        context.prec = PRECISION
        return min(case.price_usd, case.price_usd * case.actually_paid / case.pay_amount).quantize(USD_PLACES, ROUND_DOWN)


def resolve(tx: Transaction, provider_id: str, act: Act, *, paid_usd: Decimal | None = None) -> tuple[str, Decimal]:
    """Credit a payment in review to its owner, with everything that follows; it counts `paid_usd` toward its order.

    Gives back a word for what happened, and what it counted. Raises NotFound without it, Conflict when nothing of it is in suspense, when it is
    being sent back, or when a part of it went back.
    """
    payment = _lock(tx, provider_id)
    _refuse_if_on_its_way_back(tx, payment)
    case = payment_cases.reviewed(tx, provider_id)
    if case is None:
        raise Conflict(f"payment {provider_id} is {payment.state}: only one in review is credited by a person")
    counts = worth(case) if paid_usd is None else paid_usd
    word = crediting.resolve(tx, provider_id, paid_usd=counts)
    _close(tx, act, "suspense.resolve", payment, state="credited", paid_usd=str(counts))
    return word, counts


def refund(tx: Transaction, provider_id: str, act: Act, *, held: WalletRow, recipient: str) -> tuple[int, Decided]:
    """Send what of a payment is in suspense to an address, all of it, once; gives back the transfer's id and the payment.

    Raises Conflict when nothing is in suspense, when its money has not come to us, in a coin that our wallet does not send, or when a transfer for it
    is on its way; BadInput for an address that nobody should be paid at.
    """
    payment = _lock(tx, provider_id)
    asset, units = payment.outcome_asset, payment.suspense_units
    if payment.state not in (Payment.REVIEW, Payment.REVERSED, Payment.REJECTED) or not units or asset is None:
        raise Conflict(f"payment {provider_id} is {payment.state}, and nothing of it is in suspense")
    if asset not in WALLET_ASSETS:
        raise Conflict(f"our wallet sends no {asset}: have the vendor give it back, then `pgp suspense reject`")
    if not arrivals.has_come(tx, payment.id):
        raise Conflict("its money is still at the vendor: have the vendor give it back, then `pgp suspense reject`")
    _refuse_if_on_its_way_back(tx, payment)
    refuse_address(tx, recipient)
    asked = transfers.request(tx, wallet_id=held.id, purpose="refund", payment_id=payment.id, asset=asset, recipient=recipient, units=units)
    if asked is None:
        raise Conflict(f"payment {provider_id} has a transfer already")
    tx.send("transfer.sign", asked)
    _close(tx, act, "suspense.refund", payment, transfer=asked, units=str(units), asset=asset, recipient=recipient)
    return asked, payment


def refuse_address(tx: Transaction, recipient: str) -> None:
    """Raise BadInput for an address that cannot be right, or that is our own or a coin's contract."""
    fault = addresses.problem("evm", recipient)
    if fault is None and wallet.is_ours(tx, recipient):
        fault = "it is our own, or a coin's contract"
    if fault is not None:
        raise BadInput(f"nothing is sent to {recipient}: {fault}")


def reject(tx: Transaction, provider_id: str, act: Act) -> Decided:
    """Close a payment in review that brings us nothing: the vendor has given it back, or nothing came. Gives back the payment as it was.

    Raises Conflict when its money is in our wallet (it is refunded then), or when its owner was credited with it (it is reversed then).
    """
    payment = _lock(tx, provider_id)
    if payment.state != Payment.REVIEW:
        raise Conflict(f"payment {provider_id} is {payment.state}: only one in review is closed by a person")
    if payment.owner_units or payment.fee_units:
        raise Conflict(f"payment {provider_id} was credited: `pgp payment reverse`, or `pgp payment keep`")
    if payment.suspense_units and arrivals.has_come(tx, payment.id):
        raise Conflict("its money is in our wallet: `pgp suspense refund`, or `pgp suspense resolve`")
    payments.close(tx, payment.id)
    if payment.suspense_units and payment.outcome_asset:
        suspense, transit = ledger.suspense(payment.outcome_asset), ledger.np_transit(payment.outcome_asset)
        ledger.post(tx, "payment.reject", payment.id, [ledger.debit(suspense, payment.suspense_units), ledger.credit(transit, payment.suspense_units)])
    _close(tx, act, "suspense.reject", payment, state="rejected")
    return payment


# --- a payment that its owner was credited with


def reverse(tx: Transaction, provider_id: str, act: Act) -> dict[str, int | bool]:
    """Take a credited payment back for good: from its owner what is not converted, from the platform what is (money.md 5, payment.reverse).

    What of it has come to our wallet waits in suspense, to be sent to whoever it belongs to, also what came beyond its credit. Gives back the units of
    each part, in base units. Raises Conflict when it was never credited.
    """
    payment = _lock(tx, provider_id)
    asset, total = payment.outcome_asset, payment.owner_units + payment.fee_units
    if payment.state not in (Payment.CREDITED, Payment.REVIEW) or not total or asset is None:
        raise Conflict(f"payment {provider_id} is {payment.state}, and its owner has nothing of it to give back")
    came = transit.came(tx, payment.id)
    come, surplus = came is not None, max(0, (came or 0) - total)
    accumulations.lock_of_payment(tx, payment.id)
    accumulations.freeze(tx, payment.id)
    frozen = accumulations.frozen_units(tx, payment.id)
    accumulations.reverse(tx, payment.id)
    payments.reverse(tx, payment.id, suspense_units=total + surplus if come else 0)
    whole = frozen == payment.owner_units
    parts = {"from_owner": frozen, "from_fee": payment.fee_units if whole else 0, "loss": 0 if whole else total - frozen}
    lines = [
        ledger.debit(ledger.owed(payment.owner_id, "pending", asset), parts["from_owner"]),
        ledger.debit(ledger.fee_income(asset), parts["from_fee"]),
        ledger.debit(ledger.loss_expense(asset), parts["loss"]),
        ledger.debit(ledger.np_transit(asset), surplus),
        ledger.credit(ledger.suspense(asset) if come else ledger.np_transit(asset), total + surplus),
    ]
    ledger.post(tx, "payment.reverse", payment.id, lines)
    dead_letters.answer(tx, act, (transit.SURPLUS, payment.id))
    _close(tx, act, "payment.reverse", payment, state="reversed", come=come, surplus=str(surplus), **{name: str(units) for name, units in parts.items()})
    return {**parts, "come": come}


def keep(tx: Transaction, provider_id: str, act: Act) -> int:
    """Leave a payment its owner's although the vendor says that it gave it back; gives back how many parts go on.

    A repeated word of the vendor's changes nothing after that. Raises Conflict when it is not in review for that reason.
    """
    payment = _lock(tx, provider_id)
    if not payments.keep(tx, payment.id):
        raise Conflict(f"payment {provider_id} is {payment.state} ({payment.review_reason or 'no reason'}): only a refunded one is kept")
    accumulations.lock_of_payment(tx, payment.id)
    thawed = accumulations.thaw(tx, payment.id)
    _close(tx, act, "payment.keep", payment, state="credited", parts=thawed)
    return thawed
