"""Many accumulations exchanged at once, ETH to USDT: states and SQL of batch_conversions."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import NotFound
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine


class Conversion(enum.StrEnum):
    """Who acts next stands beside each state."""

    PLANNED = "planned"  # its accumulations are collected: MICROBATCH acts
    QUOTED = "quoted"  # the exchange has named its price: MICROBATCH acts
    SWAPPING = "swapping"  # a swap carries it: HOSTPAY acts
    DONE = "done"  # the USDT is shared out: the end
    REFUNDED = "refunded"  # the ETH came back: the end
    REVIEW = "review"  # something does not fit: an operator acts
    CANCELLED = "cancelled"  # given up before a price: the end


CONVERSION_LIFE = Machine(
    "conversion",
    Conversion,
    Conversion.PLANNED,
    {
        Conversion.PLANNED: {Conversion.QUOTED, Conversion.CANCELLED},
        Conversion.QUOTED: {Conversion.PLANNED, Conversion.SWAPPING},
        Conversion.SWAPPING: {Conversion.PLANNED, Conversion.DONE, Conversion.REFUNDED, Conversion.REVIEW},
        Conversion.DONE: set(),
        Conversion.REFUNDED: set(),
        Conversion.REVIEW: {Conversion.PLANNED, Conversion.DONE, Conversion.REFUNDED},
        Conversion.CANCELLED: set(),
    },
)


@dataclass(frozen=True)
class ConversionRow(Row):
    """One conversion of collected accumulations. `received_units` are what really arrived, in base units of `to_asset`."""

    id: int
    from_asset: str
    from_units: int
    to_asset: str
    received_units: int | None
    state: str
    reason: str | None
    correlation: str
    created_at: datetime


def get(tx: Transaction, conversion_id: int) -> ConversionRow:
    """A conversion as it is; raises NotFound."""
    found = tx.one(
        ConversionRow,
        "SELECT id, from_asset, from_units, to_asset, received_units, state, reason, correlation, created_at FROM batch_conversions WHERE id = :id",
        id=conversion_id,
    )
    if found is None:
        raise NotFound("there is no such conversion", conversion=conversion_id)
    return found


def lock(tx: Transaction, conversion_id: int) -> ConversionRow:
    """A conversion as it is, locked until the transaction ends; raises NotFound. Its accumulations are locked before it, its swap after it."""
    tx.value("SELECT id FROM batch_conversions WHERE id = :id FOR NO KEY UPDATE", id=conversion_id)
    return get(tx, conversion_id)


def plan(tx: Transaction, *, from_asset: str, from_units: int, to_asset: str, correlation: str) -> int:
    """A new conversion, `planned`; gives back its id."""
    return int(
        tx.value(
            """
            INSERT INTO batch_conversions (from_asset, from_units, to_asset, correlation)
            VALUES (:from_asset, :from_units, :to_asset, :correlation) RETURNING id
            """,
            from_asset=from_asset,
            from_units=from_units,
            to_asset=to_asset,
            correlation=correlation,
        )
    )


def refusals(tx: Transaction, *, from_asset: str, to_asset: str, source: str, subject: str) -> int:
    """How often in a row a pair's conversions came back: since the last that was done, and since a person last resolved the dead letter about it."""
    return int(
        tx.value(
            """
            SELECT count(*) FROM batch_conversions
             WHERE from_asset = :from_asset AND to_asset = :to_asset AND state = 'refunded'
               AND finished_at > coalesce((SELECT max(finished_at) FROM batch_conversions
                                            WHERE from_asset = :from_asset AND to_asset = :to_asset AND state = 'done'), '-infinity')
               AND finished_at > coalesce((SELECT max(resolved_at) FROM failed_transactions WHERE source = :source AND subject = :subject), '-infinity')
            """,
            from_asset=from_asset,
            to_asset=to_asset,
            source=source,
            subject=subject,
        )
    )


# --- moves: each is one guarded statement; False means that somebody was first, or that the conversion is not in the state the move starts from


def agree(tx: Transaction, conversion_id: int) -> bool:
    """Move planned → quoted: the exchange has named its price."""
    return tx.run("UPDATE batch_conversions SET state = 'quoted', reason = NULL WHERE id = :id AND state = 'planned'", id=conversion_id) == 1


def begin_swap(tx: Transaction, conversion_id: int) -> bool:
    """Move quoted → swapping: a swap carries it."""
    return tx.run("UPDATE batch_conversions SET state = 'swapping' WHERE id = :id AND state = 'quoted'", id=conversion_id) == 1


def plan_again(tx: Transaction, conversion_id: int, *, source: Conversion, reason: str) -> bool:
    """Move quoted or swapping (an operator: review as well; `source`) → planned: our coins are with us, and a new quote is needed."""
    return (
        tx.run(
            """
            UPDATE batch_conversions SET state = 'planned', reason = :reason
             WHERE id = :id AND state = :source AND state IN ('quoted', 'swapping', 'review')
            """,
            id=conversion_id,
            source=source.value,
            reason=reason,
        )
        == 1
    )


def cancel(tx: Transaction, conversion_id: int, *, reason: str) -> bool:
    """Move planned → cancelled: given up before any coin left."""
    return (
        tx.run(
            "UPDATE batch_conversions SET state = 'cancelled', reason = :reason, finished_at = pgp_now() WHERE id = :id AND state = 'planned'",
            id=conversion_id,
            reason=reason,
        )
        == 1
    )


def finish(tx: Transaction, conversion_id: int, *, source: Conversion, received_units: int) -> bool:
    """Move swapping (an operator: review; `source`) → done: so many units of `to_asset` arrived and are shared out."""
    return (
        tx.run(
            """
            UPDATE batch_conversions SET state = 'done', received_units = :units, reason = NULL, finished_at = pgp_now()
             WHERE id = :id AND state = :source AND state IN ('swapping', 'review')
            """,
            id=conversion_id,
            source=source.value,
            units=received_units,
        )
        == 1
    )


def refund(tx: Transaction, conversion_id: int, *, source: Conversion, reason: str) -> bool:
    """Move swapping (an operator: review; `source`) → refunded: our coins came back, or are given up."""
    return (
        tx.run(
            """
            UPDATE batch_conversions SET state = 'refunded', reason = :reason, finished_at = pgp_now()
             WHERE id = :id AND state = :source AND state IN ('swapping', 'review')
            """,
            id=conversion_id,
            source=source.value,
            reason=reason,
        )
        == 1
    )


def review(tx: Transaction, conversion_id: int, *, reason: str) -> bool:
    """Move swapping → review: something does not fit; an operator decides."""
    return (
        tx.run(
            "UPDATE batch_conversions SET state = 'review', reason = :reason WHERE id = :id AND state = 'swapping'",
            id=conversion_id,
            reason=reason,
        )
        == 1
    )
