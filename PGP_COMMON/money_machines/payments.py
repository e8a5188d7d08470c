"""What was paid for orders, as the vendor saw it: states and SQL of processed_payments."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import LiteralString

from PGP_COMMON.database import Transaction
from PGP_COMMON.log import correlation, new_correlation
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine


class Payment(enum.StrEnum):
    """Who acts next stands beside each state."""

    OBSERVED = "observed"  # the vendor has seen it: the vendor acts
    CREDITED = "credited"  # booked to the owner: the end, unless it is refunded
    REVIEW = "review"  # it makes no sense yet: an operator acts
    REJECTED = "rejected"  # no money came: the end
    REVERSED = "reversed"  # taken back: the end


PAYMENT_LIFE = Machine(
    "payment",
    Payment,
    Payment.OBSERVED,
    {
        Payment.OBSERVED: {Payment.CREDITED, Payment.REVIEW, Payment.REJECTED},
        Payment.CREDITED: {Payment.REVIEW, Payment.REVERSED},
        Payment.REVIEW: {Payment.CREDITED, Payment.REJECTED, Payment.REVERSED},
        Payment.REJECTED: set(),
        Payment.REVERSED: set(),
    },
)


@dataclass(frozen=True)
class Sight:
    """What the vendor says of a payment. Amounts paid are in whole coins of `pay_currency`; the outcome in base units of its asset.

    `outcome_asset` is None while there is no outcome, and for a coin that the catalogue does not have.
    """

    provider_id: str
    parent_provider_id: str | None
    status: str
    rank: int
    pay_currency: str | None
    pay_amount: Decimal | None
    actually_paid: Decimal | None
    outcome_asset: str | None = None
    outcome_units: int = 0
    payin_hash: str | None = None


@dataclass(frozen=True)
class PaymentRow(Row):
    """What is known of a payment. `parts`: how many accumulations it has made; The parent is the payment to whose address it came again."""

    id: int
    order_id: int
    state: str
    status_rank: int
    pay_currency: str | None
    outcome_asset: str | None
    outcome_units: int
    owner_units: int
    fee_units: int
    suspense_units: int
    paid_usd: Decimal
    excess: bool
    review_reason: str | None
    parts: int
    parent_currency: str | None
    parent_pay_amount: Decimal | None


def find(tx: Transaction, provider_id: str) -> PaymentRow | None:
    """A payment by the vendor's id. It is written under its order's lock, so it is read after that."""
    return tx.one(
        PaymentRow,
        """
        SELECT p.id, p.order_id, p.state, p.status_rank, p.pay_currency, p.outcome_asset, p.outcome_units, p.owner_units, p.fee_units, p.suspense_units,
               p.paid_usd, p.excess, p.review_reason, (SELECT count(*) FROM payout_accumulation a WHERE a.payment_id = p.id) AS parts, parent.pay_currency AS parent_currency,
               parent.pay_amount AS parent_pay_amount
          FROM processed_payments p
          LEFT JOIN processed_payments parent ON parent.provider = p.provider AND parent.provider_id = p.parent_provider_id AND parent.order_id = p.order_id
         WHERE p.provider = 'nowpayments' AND p.provider_id = :provider_id
        """,
        provider_id=provider_id,
    )


def observe(tx: Transaction, order_id: int, sight: Sight, *, invoice_id: int | None) -> None:
    """Write down what the vendor sees, unless more is known: its rank only rises. The coin stays the one that was seen first."""
    tx.run(
        """
        INSERT INTO processed_payments AS p (provider_id, order_id, invoice_id, parent_provider_id, status, status_rank, pay_currency, pay_amount,
                                             actually_paid, payin_hash, correlation)
        VALUES (:provider_id, :order_id, :invoice_id, :parent, :status, :rank, :pay_currency, :pay_amount, :actually_paid, CAST(:payin_hash AS text),
                :correlation)
        ON CONFLICT (provider, provider_id) DO UPDATE
           SET status = excluded.status, status_rank = excluded.status_rank, pay_amount = excluded.pay_amount,
               actually_paid = excluded.actually_paid, payin_hash = coalesce(p.payin_hash, excluded.payin_hash)
         WHERE p.status_rank < excluded.status_rank
        """,
        provider_id=sight.provider_id,
        order_id=order_id,
        invoice_id=invoice_id,
        parent=sight.parent_provider_id,
        status=sight.status,
        rank=sight.rank,
        pay_currency=sight.pay_currency,
        pay_amount=sight.pay_amount,
        actually_paid=sight.actually_paid,
        payin_hash=sight.payin_hash,
        correlation=correlation.get() or new_correlation(),
    )


# --- moves: each is one guarded statement; False means that the payment is not in the state the move starts from


def credit(
    tx: Transaction,
    payment_id: int,
    sight: Sight,
    *,
    source: Payment,
    owner_units: int,
    fee_units: int,
    paid_usd: Decimal,
    value_usd: Decimal | None,
    excess: bool,
) -> bool:
    """`credited` with all that came so far: the owner's part and the fee are the outcome. A later, larger outcome credits it once more."""
    return (
        tx.run(
            """
            UPDATE processed_payments
               SET state = 'credited', status = :status, status_rank = greatest(status_rank, :rank), pay_amount = :pay_amount, actually_paid = :actually_paid,
                   outcome_asset = :asset, outcome_units = :units, owner_units = :owner_units, fee_units = :fee_units, suspense_units = 0,
                   paid_usd = :paid_usd, value_usd = :value_usd, excess = :excess, review_reason = NULL, credited_at = coalesce(credited_at, pgp_now()),
                   payin_hash = coalesce(payin_hash, CAST(:payin_hash AS text))
             WHERE id = :id AND state = :source
            """,
            id=payment_id,
            source=source.value,
            status=sight.status,
            rank=sight.rank,
            pay_amount=sight.pay_amount,
            actually_paid=sight.actually_paid,
            asset=sight.outcome_asset,
            units=sight.outcome_units,
            owner_units=owner_units,
            fee_units=fee_units,
            paid_usd=paid_usd,
            value_usd=value_usd,
            excess=excess,
            payin_hash=sight.payin_hash,
        )
        == 1
    )


def review(tx: Transaction, payment_id: int, sight: Sight, *, reason: str, value_usd: Decimal | None = None) -> bool:
    """`observed` or `review` → `review`, for a person: what came since the last look is suspense too.

    Money of a known coin only; the rest has no units to name.
    """
    return (
        tx.run(
            """
            UPDATE processed_payments
               SET state = 'review', status = :status, status_rank = greatest(status_rank, :rank), pay_amount = :pay_amount, actually_paid = :actually_paid,
                   outcome_asset = :asset, outcome_units = :units, suspense_units = suspense_units + greatest(:units - outcome_units, 0),
                   value_usd = :value_usd, review_reason = :reason, payin_hash = coalesce(payin_hash, CAST(:payin_hash AS text))
             WHERE id = :id AND state IN ('observed', 'review')
            """,
            id=payment_id,
            status=sight.status,
            rank=sight.rank,
            pay_amount=sight.pay_amount,
            actually_paid=sight.actually_paid,
            asset=sight.outcome_asset,
            units=sight.outcome_units,
            value_usd=value_usd,
            reason=reason,
            payin_hash=sight.payin_hash,
        )
        == 1
    )


def reject(tx: Transaction, payment_id: int, sight: Sight) -> bool:
    """`observed` → `rejected`: it failed, expired, or was sent back before it was credited."""
    return (
        tx.run(
            """
            UPDATE processed_payments SET state = 'rejected', status = :status, status_rank = greatest(status_rank, :rank)
             WHERE id = :id AND state = 'observed'
            """,
            id=payment_id,
            status=sight.status,
            rank=sight.rank,
        )
        == 1
    )


def take_back(tx: Transaction, payment_id: int, sight: Sight) -> bool:
    """`credited` → `review`: the vendor gave it back to the buyer after we had credited it.

    False as well when the vendor had said so before, and a person kept it credited.
    """
    return (
        tx.run(
            """
            UPDATE processed_payments SET state = 'review', status = :status, status_rank = greatest(status_rank, :rank), review_reason = 'refunded'
             WHERE id = :id AND state = 'credited' AND status_rank < :rank
            """,
            id=payment_id,
            status=sight.status,
            rank=sight.rank,
        )
        == 1
    )


# --- what a person decides


def reverse(tx: Transaction, payment_id: int, *, suspense_units: int) -> bool:
    """`credited` or `review` → `reversed`: taken back for good; what of it has come to us waits in suspense."""
    return (
        tx.run(
            "UPDATE processed_payments SET state = 'reversed', suspense_units = :units WHERE id = :id AND state IN ('credited', 'review')",
            id=payment_id,
            units=suspense_units,
        )
        == 1
    )


def keep(tx: Transaction, payment_id: int) -> bool:
    """`review` → `credited`: a payment that the vendor says it gave back stays its owner's all the same."""
    statement: LiteralString = (
        "UPDATE processed_payments SET state = 'credited', review_reason = NULL WHERE id = :id AND state = 'review' AND review_reason = 'refunded'"
    )
    return tx.run(statement, id=payment_id) == 1


def close(tx: Transaction, payment_id: int) -> bool:
    """`review` → `rejected`: nothing of it is ours, nor an owner's."""
    return tx.run("UPDATE processed_payments SET state = 'rejected', suspense_units = 0 WHERE id = :id AND state = 'review'", id=payment_id) == 1


def empty_suspense(tx: Transaction, payment_id: int, *, units: int) -> None:
    """So many base units went back to whoever they came from; a payment in review of which nothing is left is `rejected`."""
    tx.run(
        """
        UPDATE processed_payments SET suspense_units = suspense_units - :units,
               state = CASE WHEN state = 'review' AND suspense_units = :units THEN 'rejected' ELSE state END WHERE id = :id
        """,
        id=payment_id,
        units=units,
    )


def suspend(tx: Transaction, payment_id: int, *, units: int) -> None:
    """So many base units came although the payment was taken back: they wait for a person."""
    tx.run("UPDATE processed_payments SET suspense_units = suspense_units + :units WHERE id = :id", id=payment_id, units=units)


def hold_more(tx: Transaction, payment_id: int, *, units: int) -> None:
    """So many base units more than the vendor has told of came of a payment in review: they are suspense like the rest."""
    tx.run(
        "UPDATE processed_payments SET outcome_units = outcome_units + :units, suspense_units = suspense_units + :units WHERE id = :id",
        id=payment_id,
        units=units,
    )


# --- the money's way to us


@dataclass(frozen=True)
class Expected(Row):
    """A payment whose money is on its way to our wallet. `waits_s`: how long ago it was booked, in seconds."""

    id: int
    provider_id: str
    state: str
    payout_hash: str | None
    waits_s: int


def expected(tx: Transaction, payment_id: int) -> Expected | None:
    """A payment whose arrival is awaited."""
    return tx.one(
        Expected,
        """
        SELECT id, provider_id, state, payout_hash, CAST(extract(epoch FROM pgp_now() - coalesce(credited_at, created_at)) AS bigint) AS waits_s
          FROM processed_payments WHERE id = :id
        """,
        id=payment_id,
    )


def keep_payout_hash(tx: Transaction, payment_id: int, payout_hash: str) -> bool:
    """Write down the transaction that brings a payment's money; False when one is known. Raises Conflict when it brings another's."""
    return tx.run("UPDATE processed_payments SET payout_hash = :hash WHERE id = :id AND payout_hash IS NULL", id=payment_id, hash=payout_hash) == 1


# --- what notices may have missed


@dataclass(frozen=True)
class Known(Row):
    """What we know of a payment, to compare with the vendor's list."""

    provider_id: str
    state: str
    status_rank: int
    outcome_units: int


def known(tx: Transaction, provider_ids: list[str]) -> dict[str, Known]:
    """Those of the payments that we know, by the vendor's id."""
    rows = tx.all(
        Known,
        "SELECT provider_id, state, status_rank, outcome_units FROM processed_payments WHERE provider = 'nowpayments' AND provider_id = ANY(:ids)",
        ids=provider_ids,
    )
    return {row.provider_id: row for row in rows}


def unsettled(tx: Transaction, *, limit: int) -> list[Known]:
    """Payments that may still bring money, or more of it, in any order: the vendor lets one wait for at most seven days (contracts: 1.6).

    One that was credited when it was paid in part is over once the vendor says `finished` (rank 7).
    """
    return tx.all(
        Known,
        """
        SELECT provider_id, state, status_rank, outcome_units FROM processed_payments
         WHERE (state = 'observed' OR (state = 'credited' AND status_rank < 7)) AND created_at > pgp_now() - interval '8 days' ORDER BY random() LIMIT :limit
        """,
        limit=limit,
    )
