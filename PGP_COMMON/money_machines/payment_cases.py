"""This is the case: a payment as a person decides on it, with what it was for; reads of processed_payments, and the locks that his move needs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.payments import Sight
from PGP_COMMON.money_machines.rows import Row


@dataclass(frozen=True)
class Reviewed(Row):
    """A payment in review with what it was for, as a person decides on it."""

    id: int
    unique_id: str
    invoice: str | None
    price_usd: Decimal
    status: str
    status_rank: int
    pay_currency: str | None
    pay_amount: Decimal | None
    actually_paid: Decimal | None
    outcome_asset: str | None
    suspense_units: int

    def sight(self, provider_id: str) -> Sight:
        """What the vendor said of it."""
        return Sight(
            provider_id, None, self.status, self.status_rank, self.pay_currency, self.pay_amount, self.actually_paid, self.outcome_asset, self.suspense_units
        )


def reviewed(tx: Transaction, provider_id: str) -> Reviewed | None:
    """A payment that waits for a person, or None; its price is its invoice's, the order's if it named none of ours."""
    return tx.one(
        Reviewed,
        """
        SELECT p.id, o.unique_id, i.provider_id AS invoice, coalesce(i.price_usd, o.price_usd) AS price_usd, p.status, p.status_rank, p.pay_currency,
               p.pay_amount, p.actually_paid, p.outcome_asset, p.suspense_units
          FROM processed_payments p JOIN orders o ON o.id = p.order_id LEFT JOIN invoice i ON i.id = p.invoice_id
         WHERE p.provider = 'nowpayments' AND p.provider_id = :provider_id AND p.state = 'review'
        """,
        provider_id=provider_id,
    )


@dataclass(frozen=True)
class Decided(Row):
    """A payment as a person decides on it; its order is locked. `status_rank` 8 is the vendor's `refunded`."""

    id: int
    provider_id: str
    state: str
    review_reason: str | None
    outcome_asset: str | None
    outcome_units: int
    owner_units: int
    fee_units: int
    suspense_units: int
    owner_id: int


def lock(tx: Transaction, provider_id: str) -> Decided | None:
    """Lock a payment's order, which everybody does who moves the payment, and then the payment; None when there is none."""
    tx.value(
        """
        SELECT o.id FROM orders o JOIN processed_payments p ON p.order_id = o.id
         WHERE p.provider = 'nowpayments' AND p.provider_id = :provider_id FOR NO KEY UPDATE OF o
        """,
        provider_id=provider_id,
    )
    tx.value("SELECT id FROM processed_payments WHERE provider = 'nowpayments' AND provider_id = :provider_id FOR NO KEY UPDATE", provider_id=provider_id)
    return tx.one(
        Decided,
        """
        SELECT p.id, p.provider_id, p.state, p.review_reason, p.outcome_asset, p.outcome_units, p.owner_units, p.fee_units, p.suspense_units, o.owner_id
          FROM processed_payments p JOIN orders o ON o.id = p.order_id WHERE p.provider = 'nowpayments' AND p.provider_id = :provider_id
        """,
        provider_id=provider_id,
    )


def lock_of_refund(tx: Transaction, payment_id: int) -> Decided | None:
    """The same by our own id: what HOSTPAY1 knows of a refund that is over."""
    found = tx.value("SELECT provider_id FROM processed_payments WHERE id = :id", id=payment_id)
    return None if found is None else lock(tx, str(found))
