"""A payment's money between its credit and our wallet: what the vendor keeps of it, and what comes before it is credited. Reads of arrival.

Once money of a payment has come, nothing of it is left in transit, but for what came beyond its credit: that stands there with the other sign, is
nobody's to spend, and is taken up by the credit that it came before.
"""

from __future__ import annotations

from typing import Final, LiteralString

from PGP_COMMON import log
from PGP_COMMON.database import Transaction
from PGP_COMMON.engine import bury
from PGP_COMMON.money_machines import dead_letters, ledger, payments
from PGP_COMMON.money_machines.audit import Act

logger = log.get(__name__)
# Where what came beyond a payment's credit waits for it, or for a person; the letter's subject is the payment's id.
SURPLUS: Final = "payment.surplus"
# money.md 5: a vendor that keeps more than this of a payment asks for other pay-out settings.
KEPT_PERCENT: Final = 3
CREDITED: Final = Act("crediting", "the vendor has confirmed it, and it is credited")


def came(tx: Transaction, payment_id: int) -> int | None:
    """How many base units of a payment have come to our wallet; None while nothing has.

    Whoever decides by it has locked the payment: naming an arrival's cause locks it too.
    """
    found = tx.value("SELECT sum(units) FROM arrival WHERE payment_id = :id AND cause = 'payment'", id=payment_id)
    return None if found is None else int(found)


def follow_arrival(tx: Transaction, payment_id: int, *, asset: str, outcome: int, units: int) -> int:
    """So many units more have left transit for the wallet: book what the vendor kept back of the outcome. Gives back what came beyond it."""
    total = came(tx, payment_id) or 0
    before = total - units
    _keep_back(tx, payment_id, asset, outcome=outcome, total=total, booked=max(0, outcome - before) if before else 0, is_first=not before)
    return max(0, total - outcome)


def follow_credit(tx: Transaction, payment_id: int, *, asset: str, before: int, outcome: int) -> None:
    """A payment's outcome has grown since `before`, and transit with it: what had come beyond it is taken up, the rest the vendor has kept back."""
    total = came(tx, payment_id) if 0 < before < outcome else None
    if total is None:
        return
    _keep_back(tx, payment_id, asset, outcome=outcome, total=total, booked=max(0, before - total), is_first=False)
    if total <= outcome:
        dead_letters.answer(tx, CREDITED, (SURPLUS, payment_id))


def _keep_back(tx: Transaction, payment_id: int, asset: str, *, outcome: int, total: int, booked: int, is_first: bool) -> None:
    """Let what the vendor kept be what is missing of the outcome; more of its money takes back what was booked so, and never below nothing."""
    kept = max(0, outcome - total)
    if kept == booked:
        return
    lines = [ledger.debit(ledger.swap_expense(asset), kept - booked), ledger.credit(ledger.np_transit(asset), kept - booked)]
    ledger.post(tx, "np.residue", payment_id if is_first else f"{payment_id}/{outcome}/{total}", lines)
    if kept * 100 > outcome * KEPT_PERCENT:
        logger.warning("the vendor kept much of a payment; change its pay-out settings", payment=payment_id, kept=kept, of=outcome)


def leave_surplus(tx: Transaction, payment_id: int, *, asset: str, surplus: int, tx_hash: str) -> None:
    """More came than a payment is credited with: nobody's until the vendor says more of it, and a person should know."""
    detail = {"surplus": str(surplus), "asset": asset, "tx": tx_hash, "next": "look at the payment in the vendor's dashboard; its next credit closes this"}
    bury(tx, source=SURPLUS, subject=str(payment_id), reason="more_came_than_credited", detail=detail)


def suspend_surplus(tx: Transaction, payment_id: int, *, asset: str, surplus: int, total: int) -> None:
    """More came of a payment that waits for a person: that waits with the rest, and what the vendor says of it later is no news."""
    payments.hold_more(tx, payment_id, units=surplus)
    ledger.post(
        tx, "payment.review", f"{payment_id}/{total}", [ledger.debit(ledger.np_transit(asset), surplus), ledger.credit(ledger.suspense(asset), surplus)]
    )


# --- claims (the invariants I25 and I26)

BALANCE_SQL: Final[LiteralString] = """
    SELECT coalesce(a.asset, b.asset) AS subject, CAST(coalesce(a.booked, 0) AS text) || ' booked, ' || CAST(coalesce(b.rows, 0) AS text) || ' in rows' AS detail
      FROM (SELECT asset, balance AS booked FROM ledger_account WHERE code = 'np_transit' AND {moved}) a
      FULL JOIN (SELECT p.outcome_asset AS asset, sum(CASE WHEN r.units IS NULL THEN p.outcome_units ELSE least(0, p.outcome_units - r.units) END) AS rows
                   FROM processed_payments p
                   LEFT JOIN (SELECT payment_id, sum(units) AS units FROM arrival WHERE cause = 'payment' GROUP BY payment_id) r ON r.payment_id = p.id
                  WHERE p.state IN ('credited', 'review') AND p.outcome_units > 0 AND {moved} GROUP BY p.outcome_asset) b ON b.asset = a.asset
     WHERE coalesce(a.booked, 0) <> coalesce(b.rows, 0)
"""
SURPLUS_SQL: Final[LiteralString] = """
    SELECT p.provider_id AS subject, CAST(r.units - p.outcome_units AS text) || ' ' || p.outcome_asset || ' beyond it' AS detail
      FROM processed_payments p JOIN LATERAL (SELECT sum(units) AS units FROM arrival WHERE payment_id = p.id) r ON r.units > p.outcome_units
     WHERE p.state IN ('credited', 'review') AND {moved}
       AND NOT EXISTS (SELECT 1 FROM failed_transactions f WHERE f.source = 'payment.surplus' AND f.subject = CAST(p.id AS text) AND f.resolved_at IS NULL)
"""
# Only an arrival makes more of what came; CASE, because only its matches have a number for a reference.
SURPLUS_MOVED: Final[LiteralString] = """
    p.id = ANY(ARRAY(SELECT a.payment_id FROM ledger_tx t JOIN arrival a ON a.id = CASE WHEN t.kind = 'arrival.match' THEN CAST(t.reference AS bigint) END
                      WHERE t.id > :ledger))
"""
