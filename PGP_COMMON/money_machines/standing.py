"""How things stand, for people: open letters, pauses, the wallet beside its ledger, and everything that one payment touched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class Letter:
    """Something that waits for a person."""

    source: str
    subject: str
    reason: str


@dataclass(frozen=True)
class WalletStanding:
    """The wallet in one asset, as the ledger has it (base units)."""

    address: str
    chain_id: int
    next_nonce: int
    asset: str
    ledger_units: Decimal
    unfinal_units: Decimal
    gas_unbooked: int


@dataclass(frozen=True)
class Sent:
    """A transfer that we hold to be final."""

    id: int
    tx_hash: str


@dataclass(frozen=True)
class Event:
    """One thing that happened to the money, in order of time."""

    at: datetime
    what: str
    subject: str
    detail: str


@dataclass(frozen=True)
class Ids:
    """Everything that one payment or payout hangs together with."""

    orders: list[int]
    payments: list[int]
    conversions: list[int]
    payouts: list[int]
    swaps: list[int]
    transfers: list[int]


def open_letters(tx: Transaction) -> list[Letter]:
    """Dead letters that nobody has resolved, oldest first."""
    return tx.all(Letter, "SELECT source, subject, reason FROM failed_transactions WHERE resolved_at IS NULL ORDER BY id LIMIT 100")


def pauses(tx: Transaction) -> list[Letter]:
    """What is switched off, and which vendors are left alone right now."""
    return tx.all(
        Letter,
        """
        SELECT 'switch ' || switch AS source, CAST(since AS text) AS subject, reason FROM machine_pause
        UNION ALL SELECT 'vendor ' || vendor, CAST(until AS text), reason FROM vendor_pause WHERE until > pgp_now()
        """,
    )


def frozen_wallets(tx: Transaction) -> list[Letter]:
    """Wallets that may not sign."""
    return tx.all(Letter, "SELECT 'wallet' AS source, address AS subject, frozen_because(w) AS reason FROM wallet w WHERE frozen_because(w) IS NOT NULL")


@dataclass(frozen=True)
class Signed:
    """So many open units of work of a step carry a signature of one key."""

    step: str
    kid: str
    count: int


def signed_with(tx: Transaction) -> list[Signed]:
    """Which keys open work is signed with: a key may go when no work carries it."""
    return tx.all(
        Signed,
        """
        SELECT step, substring(signature FROM '^v1=([^:]+):') AS kid, count(*) AS count FROM work WHERE state = 'open' GROUP BY 1, 2 ORDER BY 1, 2
        """,
    )


def wallet_standing(tx: Transaction) -> list[WalletStanding]:
    """What the chain should show for our wallet: the ledger, plus what is signed and not final, less what left and is not booked."""
    return tx.all(
        WalletStanding,
        """
        SELECT w.address, w.chain_id, w.next_nonce, a.asset, a.balance AS ledger_units,
               coalesce((SELECT sum(t.units) FROM transfer t WHERE t.wallet_id = w.id AND t.asset = a.asset
                          AND t.state IN ('signed', 'broadcast', 'mined', 'stuck')), 0)
               - coalesce((SELECT sum(c.units) FROM chain_tx c WHERE c.wallet_id = w.id AND c.asset = a.asset AND c.succeeded AND c.booked_at IS NULL), 0)
               - CASE a.asset WHEN 'eth' THEN coalesce((SELECT sum(c.gas_wei) FROM chain_tx c WHERE c.wallet_id = w.id AND c.booked_at IS NULL), 0) ELSE 0 END
               AS unfinal_units,
               (SELECT count(*) FROM transfer t WHERE t.wallet_id = w.id AND t.state IN ('signed', 'broadcast', 'mined', 'stuck')) AS gas_unbooked
          FROM wallet w CROSS JOIN ledger_account a WHERE a.code = 'wallet' ORDER BY a.asset
        """,
    )


def final_transfers(tx: Transaction) -> list[Sent]:
    """The newest transfers that we hold to be final, with their hashes; the older ones have been compared with the chain before."""
    return tx.all(Sent, "SELECT id, mined_hash AS tx_hash FROM transfer WHERE state = 'final' ORDER BY id DESC LIMIT 20")


def find(tx: Transaction, name: str) -> Ids | None:
    """Everything that a payment id, order, payout (`payout:7`) or transaction hash hangs together with; None when nobody knows it."""
    return tx.one(
        Ids,
        """
        WITH known_payments AS (
            SELECT p.id, p.order_id FROM processed_payments p JOIN orders o ON o.id = p.order_id
             WHERE p.provider_id = :name OR o.unique_id = :name OR p.payout_hash = lower(:name)
                OR p.id IN (SELECT a.payment_id FROM payout_accumulation a
                             WHERE a.payout_id = CAST(substring(:name FROM '^payout:([0-9]{1,15})$') AS bigint)
                                OR a.payout_id IN (SELECT s.payout_id FROM swap s LEFT JOIN transfer t ON t.swap_id = s.id
                                                    WHERE s.payout_hash = :name OR t.mined_hash = lower(:name) OR s.provider_id = :name)
                                OR a.payout_id IN (SELECT t.payout_id FROM transfer t WHERE t.mined_hash = lower(:name))
                                OR a.conversion_id IN (SELECT s.conversion_id FROM swap s LEFT JOIN transfer t ON t.swap_id = s.id
                                                        WHERE s.payout_hash = :name OR t.mined_hash = lower(:name) OR s.provider_id = :name))
        ), known_orders AS (
            SELECT order_id AS id FROM known_payments UNION SELECT id FROM orders WHERE unique_id = :name
        ), parts AS (SELECT conversion_id, payout_id FROM payout_accumulation WHERE payment_id IN (SELECT id FROM known_payments)
        ), known_swaps AS (
            SELECT id FROM swap WHERE conversion_id IN (SELECT conversion_id FROM parts) OR payout_id IN (SELECT payout_id FROM parts)
        )
        SELECT ARRAY(SELECT id FROM known_orders) AS orders, ARRAY(SELECT id FROM known_payments) AS payments,
               ARRAY(SELECT DISTINCT conversion_id FROM parts WHERE conversion_id IS NOT NULL) AS conversions,
               ARRAY(SELECT DISTINCT payout_id FROM parts WHERE payout_id IS NOT NULL) AS payouts,
               ARRAY(SELECT id FROM known_swaps) AS swaps,
               ARRAY(SELECT id FROM transfer WHERE swap_id IN (SELECT id FROM known_swaps) OR payout_id IN (SELECT payout_id FROM parts)) AS transfers
         WHERE EXISTS (SELECT 1 FROM known_orders)
        """,
        name=name,
    )


_EVENTS: LiteralString = """
SELECT at, what, subject, detail FROM (
    SELECT h.at, h.machine AS what, CAST(h.subject AS text) AS subject,
           coalesce(h.source || ' → ', '') || h.target || ' (' || replace(replace(h.actor, 'pgp-', ''), '-v1', '') || ')' AS detail
      FROM state_history h
     WHERE (h.machine = 'order' AND h.subject = ANY(CAST(:orders AS bigint[]))) OR (h.machine = 'payment' AND h.subject = ANY(CAST(:payments AS bigint[])))
        OR (h.machine = 'conversion' AND h.subject = ANY(CAST(:conversions AS bigint[]))) OR (h.machine = 'payout' AND h.subject = ANY(CAST(:payouts AS bigint[])))
        OR (h.machine = 'swap' AND h.subject = ANY(CAST(:swaps AS bigint[]))) OR (h.machine = 'transfer' AND h.subject = ANY(CAST(:transfers AS bigint[])))
        OR (h.machine = 'accumulation' AND h.subject IN (SELECT id FROM payout_accumulation WHERE payment_id = ANY(CAST(:payments AS bigint[]))))
        OR (h.machine = 'invite' AND h.subject IN (SELECT i.id FROM invite i JOIN entitlement e ON e.id = i.entitlement_id WHERE e.order_id = ANY(CAST(:orders AS bigint[]))))
    UNION ALL
    SELECT i.created_at, 'invoice', coalesce(i.provider_id, '?'), '$' || CAST(i.price_usd AS text) FROM invoice i WHERE i.order_id = ANY(CAST(:orders AS bigint[]))
    UNION ALL
    SELECT coalesce(p.credited_at, p.created_at), 'credit', p.provider_id,
           CAST(trim_scale(p.outcome_units * CAST('1e-' || k.decimals AS numeric)) AS text) || ' ' || upper(p.outcome_asset) || ': owner ' || CAST(trim_scale(p.owner_units * CAST('1e-' || k.decimals AS numeric)) AS text)
           || ', fee ' || CAST(trim_scale(p.fee_units * CAST('1e-' || k.decimals AS numeric)) AS text)
      FROM processed_payments p JOIN currency_to_network k ON k.asset = p.outcome_asset WHERE p.id = ANY(CAST(:payments AS bigint[])) AND p.state = 'credited'
    UNION ALL
    SELECT a.seen_at, 'arrival', a.tx_hash, CAST(trim_scale(a.units * CAST('1e-' || k.decimals AS numeric)) AS text) || ' ' || upper(a.asset) || coalesce(' for a ' || a.cause, '')
      FROM arrival a JOIN currency_to_network k ON k.asset = a.asset WHERE a.payment_id = ANY(CAST(:payments AS bigint[])) OR a.swap_id = ANY(CAST(:swaps AS bigint[]))
    UNION ALL
    SELECT q.priced_at, 'quote', CAST(q.id AS text),
           CAST(trim_scale(q.from_units * CAST('1e-' || f.decimals AS numeric)) AS text) || ' ' || upper(q.from_asset) || ' buys ' || CAST(trim_scale(q.to_units * CAST('1e-' || k.decimals AS numeric)) AS text) || ' ' || upper(q.to_asset)
           || coalesce(', costs ' || CAST(trim_scale(q.cost_bps * 0.01) AS text) || ' %', '')
      FROM quote q JOIN currency_to_network f ON f.asset = q.from_asset JOIN currency_to_network k ON k.asset = q.to_asset
     WHERE q.priced_at IS NOT NULL AND (q.conversion_id = ANY(CAST(:conversions AS bigint[])) OR q.payout_id = ANY(CAST(:payouts AS bigint[])))
    UNION ALL
    SELECT t.created_at, 'transaction', t.tx_hash,
           CAST(trim_scale(t.units * CAST('1e-' || k.decimals AS numeric)) AS text) || ' ' || upper(t.asset) || ' to ' || t.recipient || ', nonce ' || CAST(t.nonce AS text)
      FROM transfer_attempt t JOIN currency_to_network k ON k.asset = t.asset WHERE t.transfer_id = ANY(CAST(:transfers AS bigint[]))
    UNION ALL
    SELECT s.ended_at, 'exchange paid', coalesce(s.payout_hash, '?'), coalesce(CAST(trim_scale(s.received_units * CAST('1e-' || k.decimals AS numeric)) AS text), '?') || ' ' || upper(s.to_asset)
      FROM swap s JOIN currency_to_network k ON k.asset = s.to_asset WHERE s.id = ANY(CAST(:swaps AS bigint[])) AND s.ended_at IS NOT NULL AND s.state = 'finished'
    UNION ALL
    SELECT l.at, 'ledger', l.kind || ' ' || l.reference,
           (SELECT string_agg(a.code || ' ' || CAST(trim_scale(p.units * CAST('1e-' || k.decimals AS numeric)) AS text) || ' ' || upper(p.asset), '; ' ORDER BY p.line)
              FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id JOIN currency_to_network k ON k.asset = p.asset WHERE p.tx_id = l.id)
      FROM ledger_tx l
     WHERE (l.kind = 'payment.credit' AND l.reference IN (SELECT provider_id FROM processed_payments WHERE id = ANY(CAST(:payments AS bigint[]))
                                                          UNION SELECT CAST(unnest(CAST(:payments AS bigint[])) AS text)))
        OR (l.kind LIKE 'conv.%' AND l.reference = ANY(SELECT CAST(unnest(CAST(:conversions AS bigint[])) AS text)))
        OR (l.kind LIKE 'payout.%' AND l.reference = ANY(SELECT CAST(unnest(CAST(:payouts AS bigint[])) AS text)))
        OR (l.kind LIKE 'transfer.%' AND l.reference = ANY(SELECT CAST(unnest(CAST(:transfers AS bigint[])) AS text)))
    UNION ALL
    SELECT n.sent_at, 'message', n.kind, n.state || coalesce(' (message ' || CAST(n.message_id AS text) || ')', '')
      FROM notification n WHERE n.sent_at IS NOT NULL
       AND ((n.kind IN ('sale', 'donation', 'part_paid') AND n.subject = ANY(CAST(:payments AS bigint[]))) OR (n.kind LIKE 'payout%' AND n.subject = ANY(CAST(:payouts AS bigint[]))))
    UNION ALL
    SELECT coalesce(w.done_at, w.created_at), 'work', w.step || '/' || w.subject, w.state || coalesce(': ' || w.last_error, '')
      FROM work w
     WHERE (w.step LIKE 'payout.%' AND w.subject = ANY(SELECT CAST(unnest(CAST(:payouts AS bigint[])) AS text)) AND w.step = 'payout.start')
        OR (w.step LIKE 'swap.%' AND w.subject = ANY(SELECT CAST(unnest(CAST(:swaps AS bigint[])) AS text)))
        OR (w.step LIKE 'transfer.%' AND w.subject = ANY(SELECT CAST(unnest(CAST(:transfers AS bigint[])) AS text)))
        OR (w.correlation IN (SELECT correlation FROM processed_payments WHERE id = ANY(CAST(:payments AS bigint[]))))
) everything WHERE at IS NOT NULL ORDER BY at
"""


def events(tx: Transaction, ids: Ids) -> list[Event]:
    """Every row, task, message, swap and transaction of these, in order of time; amounts in coins, exactly."""
    return tx.all(
        Event,
        _EVENTS,
        orders=ids.orders,
        payments=ids.payments,
        conversions=ids.conversions,
        payouts=ids.payouts,
        swaps=ids.swaps,
        transfers=ids.transfers,
    )
