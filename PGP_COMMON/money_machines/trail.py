"""This is the trail: everything that one payment, order, payout, swap or transaction touched, and what people did about it, in order of time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import LiteralString

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class Event:
    """One thing that happened to the money, in order of time."""

    at: datetime
    what: str
    subject: str
    detail: str


@dataclass(frozen=True)
class Ids:
    """Everything that a name hangs together with."""

    orders: list[int]
    payments: list[int]
    conversions: list[int]
    payouts: list[int]
    swaps: list[int]
    transfers: list[int]


# Forward from what the name is to everything that its money became, by way of every place where an accumulation has been.
_FIND: LiteralString = """
WITH named AS (
    SELECT CAST(substring(:name FROM '^payout:([0-9]{1,15})$') AS bigint) AS payout, CAST(substring(:name FROM '^conversion:([0-9]{1,15})$') AS bigint) AS conversion,
           CAST(substring(:name FROM '^swap:([0-9]{1,15})$') AS bigint) AS swap, CAST(substring(:name FROM '^transfer:([0-9]{1,15})$') AS bigint) AS transfer
), named_transfers AS (
    SELECT t.id, t.swap_id, t.payout_id, t.payment_id FROM transfer t
     WHERE t.id = (SELECT transfer FROM named) OR t.id IN (SELECT transfer_id FROM transfer_attempt WHERE tx_hash = lower(:name))
        OR (t.wallet_id, t.nonce) IN (SELECT wallet_id, nonce FROM nonce_fill WHERE tx_hash = lower(:name))
), named_arrivals AS (SELECT payment_id, swap_id FROM arrival WHERE tx_hash = lower(:name)
), named_swaps AS (
    SELECT s.id, s.payout_id, s.conversion_id FROM swap s
     WHERE s.id = (SELECT swap FROM named) OR s.provider_id = :name OR s.payout_hash IN (:name, lower(:name)) OR s.refund_hash = lower(:name)
        OR lower(s.payin_address) = lower(:name) OR s.id IN (SELECT swap_id FROM named_transfers) OR s.id IN (SELECT swap_id FROM named_arrivals)
), named_payouts AS (
    SELECT q.id FROM split_payout_que q
     WHERE q.id = (SELECT payout FROM named) OR q.tx_hash IN (:name, lower(:name)) OR q.id IN (SELECT payout_id FROM named_swaps)
        OR q.id IN (SELECT payout_id FROM named_transfers)
), named_conversions AS (
    SELECT id FROM batch_conversions WHERE id = (SELECT conversion FROM named) OR id IN (SELECT conversion_id FROM named_swaps)
), known_payments AS (
    SELECT p.id, p.order_id FROM processed_payments p JOIN orders o ON o.id = p.order_id
     WHERE p.provider_id = :name OR o.unique_id = upper(:name) OR p.payout_hash = lower(:name) OR p.payin_hash IN (:name, lower(:name))
        OR p.id IN (SELECT payment_id FROM named_transfers) OR p.id IN (SELECT payment_id FROM named_arrivals)
        OR p.id IN (SELECT a.payment_id FROM accumulation_place l JOIN payout_accumulation a ON a.id = l.accumulation_id
                     WHERE l.payout_id IN (SELECT id FROM named_payouts) OR l.conversion_id IN (SELECT id FROM named_conversions))
), known_orders AS (SELECT order_id AS id FROM known_payments UNION SELECT id FROM orders WHERE unique_id = upper(:name)
), places AS (
    SELECT l.conversion_id, l.payout_id FROM accumulation_place l JOIN payout_accumulation a ON a.id = l.accumulation_id
     WHERE a.payment_id IN (SELECT id FROM known_payments)
), known_payouts AS (SELECT payout_id AS id FROM places WHERE payout_id IS NOT NULL UNION SELECT id FROM named_payouts
), known_conversions AS (SELECT conversion_id AS id FROM places WHERE conversion_id IS NOT NULL UNION SELECT id FROM named_conversions
), known_swaps AS (
    SELECT id FROM swap WHERE conversion_id IN (SELECT id FROM known_conversions) OR payout_id IN (SELECT id FROM known_payouts)
), known_transfers AS (
    SELECT id FROM transfer WHERE swap_id IN (SELECT id FROM known_swaps) OR payout_id IN (SELECT id FROM known_payouts)
        OR payment_id IN (SELECT id FROM known_payments) UNION SELECT id FROM named_transfers
)
SELECT ARRAY(SELECT id FROM known_orders) AS orders, ARRAY(SELECT id FROM known_payments) AS payments,
       ARRAY(SELECT id FROM known_conversions) AS conversions, ARRAY(SELECT id FROM known_payouts) AS payouts,
       ARRAY(SELECT id FROM known_swaps) AS swaps, ARRAY(SELECT id FROM known_transfers) AS transfers
 WHERE EXISTS (SELECT 1 FROM known_orders) OR EXISTS (SELECT 1 FROM known_payouts) OR EXISTS (SELECT 1 FROM known_transfers)
    OR EXISTS (SELECT 1 FROM known_conversions)
"""


def find(tx: Transaction, name: str) -> Ids | None:
    """Everything that a name hangs together with; None when nobody knows it.

    A name is a payment's or an exchange's id at the vendor, an order's unique id, `payout:7` (or `conversion:`, `swap:`, `transfer:`), the hash of a
    transaction of ours, of the exchange, of NOWPayments or of the buyer, or the address that a swap is paid at.
    """
    return tx.one(Ids, _FIND, name=name)


_EVENTS: LiteralString = """
WITH posted AS (
    SELECT l.id FROM ledger_tx l
     WHERE (l.kind ~ '^(payment|suspense.resolve|np)' AND split_part(l.reference, '/', 1) = ANY(SELECT CAST(unnest(CAST(:payments AS bigint[])) AS text)))
        OR (l.kind LIKE 'conv.%' AND l.reference = ANY(SELECT CAST(unnest(CAST(:conversions AS bigint[])) AS text)))
        OR (l.kind LIKE 'payout.%' AND l.reference = ANY(SELECT CAST(unnest(CAST(:payouts AS bigint[])) AS text)))
        OR (l.kind IN ('refund.cost', 'swap.lost') AND l.reference = ANY(SELECT CAST(unnest(CAST(:swaps AS bigint[])) AS text)))
        OR (l.kind IN ('transfer.sign', 'transfer.return', 'treasury.withdraw', 'suspense.refund')
            AND l.reference = ANY(SELECT CAST(unnest(CAST(:transfers AS bigint[])) AS text)))
        OR (l.kind = 'transfer.gas' AND l.reference IN (SELECT tx_hash FROM transfer_attempt WHERE transfer_id = ANY(CAST(:transfers AS bigint[]))))
        OR (l.kind = 'arrival.match' AND l.reference IN (SELECT CAST(r.id AS text) FROM arrival r
                                                          WHERE r.payment_id = ANY(CAST(:payments AS bigint[])) OR r.swap_id = ANY(CAST(:swaps AS bigint[]))))
)
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
      FROM processed_payments p JOIN currency_to_network k ON k.asset = p.outcome_asset WHERE p.id = ANY(CAST(:payments AS bigint[])) AND p.owner_units + p.fee_units > 0
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
      FROM ledger_tx l WHERE l.id IN (SELECT id FROM posted) OR l.reverses IN (SELECT id FROM posted)
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

# What people did about it, and what asked them to: letters by what they are about, and the audit log's entries on the same things.
_HANDS: LiteralString = """
WITH about (source, subject) AS (
    SELECT s.source, CAST(unnest(CAST(:payments AS bigint[])) AS text) FROM (VALUES ('payment.review'), ('payment.surplus'), ('payment.payout_hash')) s (source)
    UNION SELECT s.source, CAST(unnest(CAST(:swaps AS bigint[])) AS text)
            FROM (VALUES ('swap.create'), ('swap.fund'), ('swap.check'), ('swap.fundable'), ('swap.follow'), ('swap.ended'), ('payout.swap_ready'), ('conversion.swap'),
                         ('conversion.finish')) s (source)
    UNION SELECT s.source, CAST(unnest(CAST(:transfers AS bigint[])) AS text) FROM (VALUES ('transfer.sign'), ('transfer.watch'), ('transfer.ended')) s (source)
    UNION SELECT 'payout.start', CAST(unnest(CAST(:payouts AS bigint[])) AS text)
    UNION SELECT s.source, CAST(q.id AS text)
            FROM quote q, (VALUES ('payout.quote'), ('payout.quoted'), ('payout.requote'), ('payout.direct'), ('conversion.quote')) s (source)
           WHERE q.payout_id = ANY(CAST(:payouts AS bigint[])) OR q.conversion_id = ANY(CAST(:conversions AS bigint[]))
    UNION SELECT 'invoice.create', CAST(i.id AS text) FROM invoice i WHERE i.order_id = ANY(CAST(:orders AS bigint[]))
    UNION SELECT 'invite.send', CAST(i.id AS text) FROM invite i JOIN entitlement e ON e.id = i.entitlement_id WHERE e.order_id = ANY(CAST(:orders AS bigint[]))
    UNION SELECT 'arrival', CAST(r.id AS text) FROM arrival r WHERE r.payment_id = ANY(CAST(:payments AS bigint[])) OR r.swap_id = ANY(CAST(:swaps AS bigint[]))
    UNION SELECT 'arrival.look', h.hash FROM (
            SELECT payout_hash AS hash FROM processed_payments WHERE id = ANY(CAST(:payments AS bigint[]))
            UNION SELECT payout_hash FROM swap WHERE id = ANY(CAST(:swaps AS bigint[])) UNION SELECT refund_hash FROM swap WHERE id = ANY(CAST(:swaps AS bigint[]))) h
), letters AS (
    SELECT f.id, f.source, f.subject, f.reason, f.created_at FROM failed_transactions f
     WHERE (f.source, split_part(f.subject, ':', 1)) IN (SELECT source, subject FROM about)
        OR f.work_id IN (SELECT w.id FROM work w JOIN processed_payments p ON p.correlation = w.correlation WHERE p.id = ANY(CAST(:payments AS bigint[])))
), things (subject) AS (
    SELECT 'payment ' || provider_id FROM processed_payments WHERE id = ANY(CAST(:payments AS bigint[]))
    UNION SELECT 'conversion ' || unnest(CAST(:conversions AS bigint[])) UNION SELECT 'payout ' || unnest(CAST(:payouts AS bigint[]))
    UNION SELECT 'swap ' || unnest(CAST(:swaps AS bigint[])) UNION SELECT 'transfer ' || unnest(CAST(:transfers AS bigint[]))
    UNION SELECT source || ' ' || subject FROM letters
    UNION SELECT 'transaction ' || tx_hash FROM transfer_attempt WHERE transfer_id = ANY(CAST(:transfers AS bigint[]))
), entries AS (
    SELECT u.id, u.at, u.actor, u.action, u.subject, u.reason FROM audit_log u WHERE u.subject IN (SELECT subject FROM things)
    UNION
    SELECT u.id, u.at, u.actor, u.action, u.subject, u.reason FROM audit_log u JOIN wallet w ON w.address = u.subject
      JOIN (SELECT wallet_id, min(created_at) AS first, max(coalesce(final_at, pgp_now())) AS last FROM transfer
             WHERE id = ANY(CAST(:transfers AS bigint[])) GROUP BY wallet_id) t ON t.wallet_id = w.id AND u.at BETWEEN t.first AND t.last
)
SELECT at, what, subject, detail FROM (
    SELECT created_at AS at, 'letter' AS what, CAST(id AS text) AS subject, source || ' ' || subject || ': ' || reason AS detail, id FROM letters
    UNION ALL
    SELECT at, 'operator', subject, action || ' (' || actor || '): ' || reason, id FROM entries
) hands ORDER BY at, what, id
"""


def events(tx: Transaction, ids: Ids) -> list[Event]:
    """Every row, task, message, swap, transaction, letter and operator's move of these, in order of time; amounts in coins, exactly."""
    found = tx.all(Event, _EVENTS, **asdict(ids))
    hands = tx.all(Event, _HANDS, **asdict(ids))
    return sorted([*found, *hands], key=lambda event: event.at)
