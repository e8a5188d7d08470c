"""The invariants: queries that must return no row, run by the doctor, on a timer, and after every journey of the tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class Invariant:
    """One claim about the books, and the query that finds where it does not hold (`subject`, `detail`)."""

    code: str
    claim: str
    sql: LiteralString


@dataclass(frozen=True)
class Breach:
    """One row that breaks a claim."""

    subject: str
    detail: str


INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "I01",
        "the trial balance is zero in every asset",
        "SELECT asset AS subject, CAST(sum(balance) AS text) AS detail FROM ledger_account GROUP BY asset HAVING sum(balance) <> 0",
    ),
    Invariant(
        "I02",
        "every account's balance is the sum of its postings",
        """
        SELECT a.code || ' ' || a.asset AS subject, CAST(a.balance AS text) || ' but ' || CAST(coalesce(sum(p.units), 0) AS text) AS detail
          FROM ledger_account a LEFT JOIN ledger_posting p ON p.account_id = a.id GROUP BY a.id HAVING a.balance <> coalesce(sum(p.units), 0)
        """,
    ),
    Invariant(
        "I03",
        "every ledger transaction has lines and balances",
        """
        SELECT CAST(t.id AS text) AS subject, t.kind AS detail FROM ledger_tx t LEFT JOIN ledger_posting p ON p.tx_id = t.id
         GROUP BY t.id, p.asset HAVING coalesce(sum(p.units), 1) <> 0
        """,
    ),
    Invariant(
        "I04",
        "every payment that the vendor finished is credited, rejected, reversed, or in review with its letter",
        """
        SELECT provider_id AS subject, state AS detail FROM processed_payments p
         WHERE status_rank >= 7 AND state = 'observed' AND NOT EXISTS (SELECT 1 FROM work w WHERE w.step = 'payment.settle' AND w.state <> 'done')
        """,
    ),
    Invariant(
        "I05",
        "every payment that was credited has its ledger transaction and every reversed one the other, and no other payment has one",
        """
        SELECT p.provider_id AS subject, p.state AS detail FROM processed_payments p
         WHERE (p.state IN ('credited', 'reversed') OR p.owner_units + p.fee_units > 0)
               <> EXISTS (SELECT 1 FROM ledger_tx t WHERE t.kind IN ('payment.credit', 'suspense.resolve') AND t.reference = CAST(p.id AS text))
            OR (p.state = 'reversed') <> EXISTS (SELECT 1 FROM ledger_tx t WHERE t.kind = 'payment.reverse' AND t.reference = CAST(p.id AS text))
        """,
    ),
    Invariant(
        "I06",
        "the owner's part and the fee are what came",
        """
        SELECT provider_id AS subject, 'parts differ' AS detail FROM processed_payments
         WHERE (state IN ('credited', 'reversed') OR owner_units + fee_units > 0) AND owner_units + fee_units <> outcome_units
        """,
    ),
    Invariant(
        "I06a",
        "what an owner earned by a payment, reversed or not, stands in his accumulations",
        """
        SELECT p.provider_id AS subject, CAST(p.owner_units AS text) || ' but ' || CAST(coalesce(sum(a.units), 0) AS text) AS detail
          FROM processed_payments p LEFT JOIN payout_accumulation a ON a.payment_id = p.id
         GROUP BY p.id HAVING p.owner_units <> coalesce(sum(a.units), 0)
        """,
    ),
    Invariant(
        "I06b",
        "what was given back stays with nobody: only a reversed payment has reversed parts, and it has no pending or frozen ones",
        """
        SELECT p.provider_id AS subject, a.state AS detail FROM payout_accumulation a JOIN processed_payments p ON p.id = a.payment_id
         WHERE (a.state = 'reversed' AND p.state <> 'reversed') OR (a.state = 'frozen' AND p.state <> 'review')
            OR (a.state = 'pending' AND p.state = 'reversed' AND NOT EXISTS (SELECT 1 FROM accumulation_place l WHERE l.accumulation_id = a.id))
        """,
    ),
    Invariant(
        "I07",
        "what a conversion brought is shared out to the last unit",
        """
        SELECT CAST(c.id AS text) AS subject, CAST(c.received_units AS text) || ' but ' || CAST(coalesce(sum(a.converted_units), 0) AS text) AS detail
          FROM batch_conversions c LEFT JOIN payout_accumulation a ON a.conversion_id = c.id
         WHERE c.state = 'done' GROUP BY c.id HAVING c.received_units <> coalesce(sum(a.converted_units), 0)
        """,
    ),
    Invariant(
        "I08",
        "a payout is the sum of its accumulations",
        """
        SELECT CAST(q.id AS text) AS subject, q.state || ': ' || CAST(q.units AS text) || ' but ' || CAST(coalesce(sum(a.converted_units), 0) AS text) AS detail
          FROM split_payout_que q LEFT JOIN payout_accumulation a ON a.payout_id = q.id
         WHERE q.state <> 'released' GROUP BY q.id HAVING q.units <> coalesce(sum(a.converted_units), 0)
        """,
    ),
    Invariant(
        "I09",
        "a released payout holds nothing",
        "SELECT CAST(q.id AS text) AS subject, 'still holds' AS detail FROM split_payout_que q JOIN payout_accumulation a ON a.payout_id = q.id WHERE q.state = 'released'",
    ),
    Invariant(
        "I10",
        "a settled payout has exactly one finished swap or one final direct transfer",
        """
        SELECT CAST(q.id AS text) AS subject, q.state AS detail FROM split_payout_que q
         WHERE q.state = 'settled'
           AND (SELECT count(*) FROM swap s WHERE s.payout_id = q.id AND s.state = 'finished')
             + (SELECT count(*) FROM transfer t WHERE t.payout_id = q.id AND t.state = 'final') <> 1
        """,
    ),
    Invariant(
        "I11",
        "a funded swap has exactly one final transfer of exactly its amount to exactly its address",
        """
        SELECT CAST(s.id AS text) AS subject, s.state AS detail FROM swap s WHERE s.state IN ('funded', 'finished', 'refunded', 'hold', 'lost')
           AND (SELECT count(*) FROM transfer t WHERE t.swap_id = s.id AND t.state = 'final' AND t.units = s.from_units AND t.asset = s.from_asset
                   AND lower(t.recipient) = lower(s.payin_address)) <> 1
        """,
    ),
    Invariant(
        "I12",
        "the wallet's nonces have no gap",
        """
        SELECT w.address AS subject, CAST(w.next_nonce - w.first_nonce AS text) || ' given, ' || CAST(count(t.nonce) AS text) || ' used' AS detail
          FROM wallet w LEFT JOIN transfer t ON t.wallet_id = w.id AND t.nonce IS NOT NULL
         GROUP BY w.id HAVING count(t.nonce) <> w.next_nonce - w.first_nonce OR max(t.nonce) >= w.next_nonce
        """,
    ),
    Invariant(
        "I13",
        "a final transfer was mined as one of its own attempts",
        """
        SELECT CAST(t.id AS text) AS subject, coalesce(t.mined_hash, 'no hash') AS detail FROM transfer t
         WHERE t.state = 'final' AND NOT EXISTS (SELECT 1 FROM transfer_attempt a WHERE a.transfer_id = t.id AND a.tx_hash = t.mined_hash)
        """,
    ),
    Invariant(
        "I15",
        "every paid subscription has exactly one entitlement, and nothing else has one",
        """
        SELECT o.unique_id AS subject, o.state AS detail FROM orders o LEFT JOIN entitlement e ON e.order_id = o.id
         WHERE o.kind = 'subscription' AND (o.state = 'paid') <> (e.id IS NOT NULL)
        """,
    ),
    Invariant(
        "I16",
        "dead work has a letter, and no open work is long overdue",
        """
        SELECT w.step || '/' || w.subject AS subject, w.state AS detail FROM work w
         WHERE (w.state = 'dead' AND NOT EXISTS (SELECT 1 FROM failed_transactions f WHERE f.work_id = w.id))
            OR (w.state = 'open' AND w.wake_at < pgp_now() - interval '15 minutes')
        """,
    ),
    Invariant(
        "I18",
        "the history of states is legal and ends in the row's state",
        """
        SELECT h.machine || ' ' || CAST(h.subject AS text) AS subject, h.source || ' to ' || h.target AS detail FROM state_history h
         WHERE h.source IS NOT NULL AND NOT EXISTS (SELECT 1 FROM legal_move m WHERE m.machine = h.machine AND m.source = h.source AND m.target = h.target)
        """,
    ),
    Invariant(
        "I23",
        "what owners are owed in the ledger is what their accumulations say",
        """
        SELECT 'owner ' || CAST(coalesce(a.owner_id, b.owner_id) AS text) || ' ' || coalesce(a.asset, b.asset) AS subject,
               CAST(coalesce(a.booked, 0) AS text) || ' booked, ' || CAST(coalesce(b.rows, 0) AS text) || ' in rows' AS detail
          FROM (SELECT owner_id, asset, -sum(balance) AS booked FROM ledger_account WHERE owner_id IS NOT NULL GROUP BY owner_id, asset) a
          FULL JOIN (SELECT owner_id, asset, sum(units) AS rows FROM (
                        SELECT owner_id, asset, units FROM payout_accumulation WHERE state IN ('pending', 'converting', 'frozen')
                        UNION ALL
                        SELECT owner_id, converted_asset, converted_units FROM payout_accumulation WHERE state IN ('converted', 'attached')) x
                     GROUP BY owner_id, asset) b ON b.owner_id = a.owner_id AND b.asset = a.asset
         WHERE coalesce(a.booked, 0) <> coalesce(b.rows, 0)
        """,
    ),
    Invariant(
        "I24",
        "what stands in suspense is what payments wait with",
        """
        SELECT coalesce(a.asset, b.asset) AS subject, CAST(coalesce(a.booked, 0) AS text) || ' booked, ' || CAST(coalesce(b.rows, 0) AS text) || ' in rows' AS detail
          FROM (SELECT asset, -sum(balance) AS booked FROM ledger_account WHERE code = 'suspense' GROUP BY asset) a
          FULL JOIN (SELECT outcome_asset AS asset, sum(suspense_units) AS rows FROM processed_payments WHERE suspense_units > 0 GROUP BY 1) b ON b.asset = a.asset
         WHERE coalesce(a.booked, 0) <> coalesce(b.rows, 0)
        """,
    ),
)


def breaches(tx: Transaction) -> list[tuple[Invariant, Breach]]:
    """Every row that breaks an invariant."""
    return [(invariant, breach) for invariant in INVARIANTS for breach in tx.all(Breach, invariant.sql)]
