"""Money seen coming to our wallet, from final blocks only, and its cause: states and SQL of arrival and expected_deposit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from PGP_COMMON import log
from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import ledger, payments, swaps, transit
from PGP_COMMON.money_machines.payments import Payment
from PGP_COMMON.money_machines.rows import Row

logger = log.get(__name__)
Cause = Literal["payment", "swap", "refund", "treasury"]
# What stands in an arrival's `log` when it is ETH itself and no token's event.
NATIVE: Final = "native"


@dataclass(frozen=True)
class ArrivalRow(Row):
    """One arrival: so many base units of an asset, by the log's index or `native`."""

    id: int
    asset: str
    units: int
    tx_hash: str
    log: str
    block: int
    sender: str
    cause: str | None


def book(tx: Transaction, *, wallet_id: int, asset: str, units: int, tx_hash: str, log: str, block: int, sender: str) -> int | None:
    """Keep an arrival and post it, once for (transaction, log); None when it was kept before. The caller has seen its block finalized."""
    made = tx.value(
        """
        INSERT INTO arrival (wallet_id, asset, units, tx_hash, log, block, sender)
        VALUES (:wallet_id, :asset, :units, :tx_hash, :log, :block, :sender)
        ON CONFLICT (tx_hash, log) DO NOTHING
        RETURNING id
        """,
        wallet_id=wallet_id,
        asset=asset,
        units=units,
        tx_hash=tx_hash,
        log=log,
        block=block,
        sender=sender,
    )
    if made is None:
        return None
    ledger.post(tx, "arrival", f"{tx_hash}:{log}", [ledger.debit(ledger.wallet(asset), units), ledger.credit(ledger.arrivals(asset), units)])
    return int(made)


def of_transaction(tx: Transaction, tx_hash: str) -> list[ArrivalRow]:
    """Everything that arrived by one transaction."""
    return tx.all(
        ArrivalRow,
        "SELECT id, asset, units, tx_hash, log, block, sender, cause FROM arrival WHERE tx_hash = :tx_hash ORDER BY log, id",
        tx_hash=tx_hash,
    )


def of_swap(tx: Transaction, swap_id: int, *, cause: Literal["swap", "refund"]) -> int | None:
    """How many base units have arrived from a swap (what it bought, or what it gave back); None while nothing has."""
    found = tx.value("SELECT sum(units) FROM arrival WHERE swap_id = :swap_id AND cause = :cause", swap_id=swap_id, cause=cause)
    return None if found is None else int(found)


def has_come(tx: Transaction, payment_id: int) -> bool:
    """Whether a payment's money is in our wallet. Whoever decides by it has locked the payment: naming the cause locks it too."""
    return transit.came(tx, payment_id) is not None


def unmatched(tx: Transaction, *, limit: int) -> list[ArrivalRow]:
    """Arrivals whose cause is not known yet, the oldest first."""
    return tx.all(
        ArrivalRow,
        """
        SELECT id, asset, units, tx_hash, log, block, sender, cause FROM arrival WHERE matched_at IS NULL ORDER BY seen_at, id LIMIT :limit
        """,
        limit=limit,
    )


def overdue(tx: Transaction, *, turn: str, limit: int) -> list[ArrivalRow]:
    """Arrivals whose cause has not been known for a day: an operator must look (money.md 5).

    Another handful each turn: anybody can send us dust that nothing ever explains, and it must not stand before the rest.
    """
    return tx.all(
        ArrivalRow,
        """
        SELECT id, asset, units, tx_hash, log, block, sender, cause FROM arrival
         WHERE matched_at IS NULL AND seen_at < pgp_now() - interval '24 hours' ORDER BY md5(CAST(id AS text) || :turn) LIMIT :limit
        """,
        turn=turn,
        limit=limit,
    )


def expect(tx: Transaction, tx_hash: str, *, reason: str) -> bool:
    """Announce a deposit of the platform's own money; False when it was announced before."""
    return (
        tx.run(
            "INSERT INTO expected_deposit (tx_hash, reason) VALUES (lower(:tx_hash), :reason) ON CONFLICT (tx_hash) DO NOTHING",
            tx_hash=tx_hash,
            reason=reason,
        )
        == 1
    )


def waits_since_a_day(tx: Transaction, tx_hash: str) -> bool:
    """Whether a transaction has been looked for, for a day."""
    return bool(
        tx.value(
            "SELECT created_at < pgp_now() - interval '24 hours' FROM work WHERE step = 'arrival.look' AND subject = :tx_hash",
            tx_hash=tx_hash,
        )
    )


# --- causes


@dataclass(frozen=True)
class Paid(Row):
    """The payment that an arrival is the money of. What the vendor had credited us with is `outcome_units`; `is_credited`: somebody owns it."""

    id: int
    state: str
    outcome_units: int
    is_credited: bool


@dataclass(frozen=True)
class Swapped(Row):
    """The swap that an arrival came from."""

    id: int
    cause: str


def match(tx: Transaction, arrival: ArrivalRow) -> bool:
    """Find an arrival's cause and post what follows from it; False while no cause is known.

    Money that a conversion bought stays in `arrivals`: the conversion shares it out and posts it (money.md 5, conv.finish).
    """
    paid = _payment(tx, arrival)
    if paid is not None:
        return _settle_payment(tx, arrival, paid)
    swapped = _swap(tx, arrival)
    if swapped is not None:
        return _settle_swap(tx, arrival, swapped)
    if tx.value("SELECT 1 FROM expected_deposit WHERE tx_hash = :tx_hash", tx_hash=arrival.tx_hash):
        if _name(tx, arrival, cause="treasury"):
            _post_match(tx, arrival, ledger.equity(arrival.asset))
        return True
    return False


def _payment(tx: Transaction, arrival: ArrivalRow) -> Paid | None:
    """The payment whose money this is, locked; only once its own posting is in the books."""
    return tx.one(
        Paid,
        """
        SELECT id, state, outcome_units, owner_units + fee_units > 0 AS is_credited FROM processed_payments
         WHERE payout_hash = :tx_hash AND outcome_asset = :asset AND state <> 'observed' AND outcome_units > 0
           FOR NO KEY UPDATE
        """,
        tx_hash=arrival.tx_hash,
        asset=arrival.asset,
    )


def _settle_payment(tx: Transaction, arrival: ArrivalRow, paid: Paid) -> bool:
    if not _name(tx, arrival, cause="payment", payment_id=paid.id):
        return True
    if paid.state in (Payment.REVERSED, Payment.REJECTED):
        # The books had taken it back from transit, and yet it came: it is nobody's until a person says whose.
        _post_match(tx, arrival, ledger.suspense(arrival.asset))
        payments.suspend(tx, paid.id, units=arrival.units)
        logger.warning("the vendor sent the money of a payment that was taken back", payment=paid.id)
        return True
    _post_match(tx, arrival, ledger.np_transit(arrival.asset))
    surplus = transit.follow_arrival(tx, paid.id, asset=arrival.asset, outcome=paid.outcome_units, units=arrival.units)
    if surplus and not paid.is_credited:
        transit.suspend_surplus(tx, paid.id, asset=arrival.asset, surplus=surplus, total=paid.outcome_units + surplus)
    elif surplus:
        transit.leave_surplus(tx, paid.id, asset=arrival.asset, surplus=surplus, tx_hash=arrival.tx_hash)
    return True


def _swap(tx: Transaction, arrival: ArrivalRow) -> Swapped | None:
    """The swap that paid this out to our wallet, or that gave it back."""
    return tx.one(
        Swapped,
        """
        SELECT s.id, CASE WHEN s.payout_hash = :tx_hash THEN 'swap' ELSE 'refund' END AS cause
          FROM swap s JOIN arrival a ON a.id = :arrival_id JOIN wallet w ON w.id = a.wallet_id
         WHERE (s.payout_hash = :tx_hash AND s.to_asset = :asset AND lower(s.payout_address) = lower(w.address))
            OR (s.refund_hash = :tx_hash AND s.from_asset = :asset)
         ORDER BY s.id LIMIT 1
        """,
        arrival_id=arrival.id,
        tx_hash=arrival.tx_hash,
        asset=arrival.asset,
    )


def _settle_swap(tx: Transaction, arrival: ArrivalRow, swapped: Swapped) -> bool:
    cause: Cause = "swap" if swapped.cause == "swap" else "refund"
    if _name(tx, arrival, cause=cause, swap_id=swapped.id) and cause == "refund":
        _post_refund(tx, arrival, swapped.id)
    return True


def _post_refund(tx: Transaction, arrival: ArrivalRow, swap_id: int) -> None:
    """What comes back is no longer in flight; what had been booked as a cost before it came is none after all."""
    swap = swaps.lock(tx, swap_id)
    closed = ledger.is_posted(tx, "refund.cost", swap.id) or ledger.is_posted(tx, "swap.lost", swap.id)
    before = (of_swap(tx, swap.id, cause="refund") or 0) - arrival.units
    in_flight = 0 if closed else min(arrival.units, max(0, swap.from_units - before))
    lines = [
        ledger.debit(ledger.arrivals(arrival.asset), arrival.units),
        ledger.credit(ledger.in_flight(arrival.asset), in_flight),
        ledger.credit(ledger.swap_expense(arrival.asset), arrival.units - in_flight),
    ]
    ledger.post(tx, "arrival.match", arrival.id, lines)


def _name(tx: Transaction, arrival: ArrivalRow, *, cause: Cause, payment_id: int | None = None, swap_id: int | None = None) -> bool:
    """Write the cause down; False when it had one."""
    return (
        tx.run(
            """
            UPDATE arrival SET cause = :cause, payment_id = CAST(:payment_id AS bigint), swap_id = CAST(:swap_id AS bigint), matched_at = pgp_now()
             WHERE id = :id AND matched_at IS NULL
            """,
            id=arrival.id,
            cause=cause,
            payment_id=payment_id,
            swap_id=swap_id,
        )
        == 1
    )


def _post_match(tx: Transaction, arrival: ArrivalRow, against: ledger.Account) -> None:
    lines = [ledger.debit(ledger.arrivals(arrival.asset), arrival.units), ledger.credit(against, arrival.units)]
    ledger.post(tx, "arrival.match", arrival.id, lines)
