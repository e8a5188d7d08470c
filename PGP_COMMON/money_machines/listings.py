"""These are the lists: what an operator sees of payouts, swaps, conversions, transfers and suspense before he acts. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row

# --- what was sent for something


@dataclass(frozen=True)
class Sent(Row):
    """A transfer as the one it is for sees it. `is_returned`: the books have its units back."""

    id: int
    swap_id: int | None
    state: str
    units: int
    tx_hash: str | None
    is_returned: bool


def sent_for_payout(tx: Transaction, payout_id: int) -> list[Sent]:
    """Every transfer that was asked for a payout: to its owner, or to one of its swaps; the oldest first."""
    return tx.all(
        Sent,
        """
        SELECT t.id, t.swap_id, t.state, t.units, t.mined_hash AS tx_hash,
               EXISTS (SELECT 1 FROM ledger_tx l WHERE l.kind = 'transfer.return' AND l.reference = CAST(t.id AS text)) AS is_returned
          FROM transfer t WHERE t.payout_id = :id OR t.swap_id IN (SELECT id FROM swap WHERE payout_id = :id) ORDER BY t.id
        """,
        id=payout_id,
    )


def refund_under_way(tx: Transaction, payment_id: int) -> Sent | None:
    """The transfer that sends a payment back and is not over in the books, or None."""
    return tx.one(
        Sent,
        """
        SELECT t.id, t.swap_id, t.state, t.units, t.mined_hash AS tx_hash, false AS is_returned
          FROM transfer t
         WHERE t.payment_id = :id AND t.state <> 'cancelled'
           AND NOT EXISTS (SELECT 1 FROM ledger_tx l WHERE l.kind IN ('transfer.return', 'suspense.refund') AND l.reference = CAST(t.id AS text))
         ORDER BY t.id DESC LIMIT 1
        """,
        id=payment_id,
    )


def is_over(tx: Transaction, transfer_id: int) -> bool:
    """Whether HOSTPAY3 has said that a transfer is over; what follows in the books comes by itself then."""
    return bool(tx.value("SELECT EXISTS (SELECT 1 FROM work WHERE step = 'transfer.ended' AND subject = :id)", id=str(transfer_id)))


# --- the lists


@dataclass(frozen=True)
class ListedPayout(Row):
    """A payout, and what its newest swap and transfer are doing. Amounts are base units of `asset`."""

    id: int
    owner_id: int
    state: str
    units: int
    asset: str
    decimals: int
    payout_asset: str
    address: str
    reason: str | None
    swap: str | None
    transfer: str | None
    created_at: datetime
    changed_at: datetime | None


def payouts(tx: Transaction, *, everything: bool = False, payout_id: int | None = None, limit: int = 200) -> list[ListedPayout]:
    """Payouts that are on their way (or all, or one), the newest first."""
    return tx.all(
        ListedPayout,
        """
        SELECT q.id, q.owner_id, q.state, q.units, q.asset, k.decimals, q.payout_asset, q.address, q.reason,
               (SELECT 'swap ' || s.id || ' ' || s.state || coalesce(', the exchange says ' || s.vendor_status, '')
                  FROM swap s WHERE s.payout_id = q.id ORDER BY s.id DESC LIMIT 1) AS swap,
               (SELECT 'transfer ' || t.id || ' ' || t.state || coalesce(': ' || t.reason, '')
                  FROM transfer t WHERE t.payout_id = q.id OR t.swap_id IN (SELECT id FROM swap WHERE payout_id = q.id) ORDER BY t.id DESC LIMIT 1) AS transfer,
               q.created_at, (SELECT max(h.at) FROM state_history h WHERE h.machine = 'payout' AND h.subject = q.id) AS changed_at
          FROM split_payout_que q JOIN currency_to_network k ON k.asset = q.asset
         WHERE (CAST(:payout_id AS bigint) IS NULL AND (:everything OR q.state NOT IN ('settled', 'released'))) OR q.id = CAST(:payout_id AS bigint)
         ORDER BY q.id DESC LIMIT :limit
        """,
        everything=everything,
        payout_id=payout_id,
        limit=limit,
    )


@dataclass(frozen=True)
class ListedSwap(Row):
    """A swap and what the exchange said of it last. Amounts are base units."""

    id: int
    about: str
    state: str
    from_units: int
    from_asset: str
    from_decimals: int
    to_units: int
    to_asset: str
    to_decimals: int
    provider_id: str | None
    payin_address: str | None
    payout_address: str
    vendor_status: str | None
    vendor_looked_at: datetime | None
    received_units: int | None
    payout_hash: str | None
    refund_hash: str | None
    arrived_units: int | None
    funded_by: str | None
    reason: str | None
    created_at: datetime


def swaps(
    tx: Transaction,
    *,
    everything: bool = False,
    swap_id: int | None = None,
    payout_id: int | None = None,
    conversion_id: int | None = None,
    limit: int = 200,
) -> list[ListedSwap]:
    """Swaps that have not ended (or all, or one, or those of a payout or a conversion), the newest first."""
    return tx.all(
        ListedSwap,
        """
        SELECT s.id, coalesce('payout ' || s.payout_id, 'conversion ' || s.conversion_id) AS about, s.state, s.from_units, s.from_asset,
               f.decimals AS from_decimals, s.to_units, s.to_asset, k.decimals AS to_decimals, s.provider_id, s.payin_address, s.payout_address,
               s.vendor_status, s.vendor_looked_at, s.received_units, s.payout_hash, s.refund_hash,
               (SELECT sum(a.units) FROM arrival a WHERE a.swap_id = s.id) AS arrived_units,
               (SELECT t.mined_hash FROM transfer t WHERE t.swap_id = s.id AND t.state = 'final') AS funded_by, s.reason, s.created_at
          FROM swap s JOIN currency_to_network f ON f.asset = s.from_asset JOIN currency_to_network k ON k.asset = s.to_asset
         WHERE CASE WHEN coalesce(CAST(:swap_id AS bigint), CAST(:payout_id AS bigint), CAST(:conversion_id AS bigint)) IS NULL
                    THEN :everything OR s.state NOT IN ('finished', 'refunded', 'lost', 'abandoned')
                    ELSE s.id = CAST(:swap_id AS bigint) OR s.payout_id = CAST(:payout_id AS bigint) OR s.conversion_id = CAST(:conversion_id AS bigint) END
         ORDER BY s.id DESC LIMIT :limit
        """,
        everything=everything,
        swap_id=swap_id,
        payout_id=payout_id,
        conversion_id=conversion_id,
        limit=limit,
    )


@dataclass(frozen=True)
class ListedConversion(Row):
    """A conversion, what it carries, and its newest swap. Amounts are base units."""

    id: int
    state: str
    from_units: int
    from_asset: str
    from_decimals: int
    to_asset: str
    to_decimals: int
    received_units: int | None
    parts: int
    reason: str | None
    swap: str | None
    created_at: datetime


def conversions(tx: Transaction, *, everything: bool = False, conversion_id: int | None = None, limit: int = 200) -> list[ListedConversion]:
    """Conversions that have not ended (or all, or one), the newest first."""
    return tx.all(
        ListedConversion,
        """
        SELECT c.id, c.state, c.from_units, c.from_asset, f.decimals AS from_decimals, c.to_asset, k.decimals AS to_decimals, c.received_units,
               (SELECT count(*) FROM payout_accumulation a WHERE a.conversion_id = c.id) AS parts, c.reason,
               (SELECT 'swap ' || s.id || ' ' || s.state || coalesce(', the exchange says ' || s.vendor_status, '')
                  FROM swap s WHERE s.conversion_id = c.id ORDER BY s.id DESC LIMIT 1) AS swap, c.created_at
          FROM batch_conversions c JOIN currency_to_network f ON f.asset = c.from_asset JOIN currency_to_network k ON k.asset = c.to_asset
         WHERE (CAST(:conversion_id AS bigint) IS NULL AND (:everything OR c.state NOT IN ('done', 'refunded', 'cancelled')))
            OR c.id = CAST(:conversion_id AS bigint)
         ORDER BY c.id DESC LIMIT :limit
        """,
        everything=everything,
        conversion_id=conversion_id,
        limit=limit,
    )


@dataclass(frozen=True)
class ListedTransfer(Row):
    """A transfer, what it is for, and its newest attempt. Amounts are base units of `asset`."""

    id: int
    purpose: str
    about: str
    state: str
    units: int
    asset: str
    decimals: int
    recipient: str
    nonce: int | None
    attempts: int
    tx_hash: str | None
    reason: str | None
    created_at: datetime
    signed_at: datetime | None


def transfers(tx: Transaction, *, everything: bool = False, transfer_id: int | None = None, limit: int = 200) -> list[ListedTransfer]:
    """Transfers that wait or are under way (or all, or one), the oldest first: that is the order of their nonces."""
    newest = tx.all(
        ListedTransfer,
        """
        SELECT t.id, t.purpose,
               coalesce('swap ' || t.swap_id || coalesce(' of payout ' || s.payout_id, ' of conversion ' || s.conversion_id), 'payout ' || t.payout_id,
                        'payment ' || p.provider_id, t.reason, 'equity') AS about,
               t.state, t.units, t.asset, k.decimals, t.recipient, t.nonce,
               (SELECT count(*) FROM transfer_attempt a WHERE a.transfer_id = t.id) AS attempts,
               coalesce(t.mined_hash, (SELECT a.tx_hash FROM transfer_attempt a WHERE a.transfer_id = t.id ORDER BY a.seq DESC LIMIT 1)) AS tx_hash,
               CASE WHEN t.purpose <> 'treasury' THEN t.reason END AS reason, t.created_at, t.signed_at
          FROM transfer t JOIN currency_to_network k ON k.asset = t.asset LEFT JOIN swap s ON s.id = t.swap_id
          LEFT JOIN processed_payments p ON p.id = t.payment_id
         WHERE (CAST(:transfer_id AS bigint) IS NULL
                AND (:everything OR t.state NOT IN ('final', 'failed_onchain', 'cancelled', 'superseded')
                     OR t.state = 'superseded' AND NOT EXISTS (SELECT 1 FROM ledger_tx l
                                                                WHERE l.kind = 'transfer.return' AND l.reference = CAST(t.id AS text))))
            OR t.id = CAST(:transfer_id AS bigint)
         ORDER BY t.id DESC LIMIT :limit
        """,
        everything=everything,
        transfer_id=transfer_id,
        limit=limit,
    )
    return newest[::-1]


@dataclass(frozen=True)
class ListedPayment(Row):
    """A payment that waits for a person, or of which something is in suspense. `paid_usd`: what it would count unless he says otherwise."""

    provider_id: str
    order_id: str
    state: str
    reason: str | None
    status: str
    outcome_units: int
    suspense_units: int
    asset: str | None
    decimals: int | None
    has_come: bool
    price_usd: Decimal
    value_usd: Decimal | None
    refund: str | None
    created_at: datetime


def suspense(tx: Transaction, *, provider_id: str | None = None, limit: int = 200) -> list[ListedPayment]:
    """Payments in review, and those that were closed while something of them is in suspense (or one, whatever it is); the oldest first."""
    return tx.all(
        ListedPayment,
        """
        SELECT p.provider_id, o.unique_id AS order_id, p.state, p.review_reason AS reason, p.status, p.outcome_units, p.suspense_units,
               p.outcome_asset AS asset, k.decimals, EXISTS (SELECT 1 FROM arrival a WHERE a.payment_id = p.id) AS has_come,
               coalesce(i.price_usd, o.price_usd) AS price_usd, p.value_usd,
               (SELECT 'transfer ' || t.id || ' ' || t.state FROM transfer t WHERE t.payment_id = p.id ORDER BY t.id DESC LIMIT 1) AS refund, p.created_at
          FROM processed_payments p JOIN orders o ON o.id = p.order_id LEFT JOIN invoice i ON i.id = p.invoice_id
          LEFT JOIN currency_to_network k ON k.asset = p.outcome_asset
         WHERE (CAST(:provider_id AS text) IS NULL AND (p.state = 'review' OR p.suspense_units > 0)) OR p.provider_id = CAST(:provider_id AS text)
         ORDER BY p.id LIMIT :limit
        """,
        provider_id=provider_id,
        limit=limit,
    )
