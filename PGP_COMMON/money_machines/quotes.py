"""What the exchange asks for a conversion or a payout: SQL of quote, and what a price costs against the market."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, Decimal, localcontext

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BadInput, NotFound
from PGP_COMMON.money import PRECISION
from PGP_COMMON.money_machines.rows import Row

# money.md 7: so many quotes that come to nothing, and a person looks.
MAX_QUOTES = 20
BPS = 10_000


@dataclass(frozen=True)
class QuoteRow(Row):
    """One question to the exchange and its answer: a price, or why there is none. Amounts are base units."""

    id: int
    conversion_id: int | None
    payout_id: int | None
    from_asset: str
    from_units: int
    to_asset: str
    to_units: int | None
    rate_id: str | None
    valid_until: datetime | None
    cost_bps: int | None
    refused_reason: str | None

    @property
    def is_answered(self) -> bool:
        """Whether the exchange has named a price or refused."""
        return self.to_units is not None or self.refused_reason is not None


def get(tx: Transaction, quote_id: int) -> QuoteRow:
    """A quote as it is; raises NotFound."""
    found = tx.one(
        QuoteRow,
        """
        SELECT id, conversion_id, payout_id, from_asset, from_units, to_asset, to_units, rate_id, valid_until, cost_bps, refused_reason
          FROM quote WHERE id = :id
        """,
        id=quote_id,
    )
    if found is None:
        raise NotFound("there is no such quote", quote=quote_id)
    return found


def ask_for_conversion(tx: Transaction, conversion_id: int) -> int:
    """A new, unanswered quote for a conversion; gives back its id."""
    return int(
        tx.value(
            """
            INSERT INTO quote (conversion_id, from_asset, from_units, to_asset)
            SELECT id, from_asset, from_units, to_asset FROM batch_conversions WHERE id = :id RETURNING id
            """,
            id=conversion_id,
        )
    )


def ask_for_payout(tx: Transaction, payout_id: int) -> int:
    """A new, unanswered quote for a payout; gives back its id."""
    return int(
        tx.value(
            """
            INSERT INTO quote (payout_id, from_asset, from_units, to_asset)
            SELECT id, asset, units, payout_asset FROM split_payout_que WHERE id = :id RETURNING id
            """,
            id=payout_id,
        )
    )


def agree_directly(tx: Transaction, payout_id: int) -> int:
    """A quote for a payout that needs no exchange: the owner's coin is what we hold, so he gets every unit; gives back its id."""
    return int(
        tx.value(
            """
            INSERT INTO quote (payout_id, from_asset, from_units, to_asset, to_units, cost_bps, priced_at)
            SELECT id, asset, units, payout_asset, units, 0, pgp_now() FROM split_payout_que WHERE id = :id AND asset = payout_asset RETURNING id
            """,
            id=payout_id,
        )
    )


def answer(tx: Transaction, quote_id: int, *, to_units: int, rate_id: str, valid_until: datetime, cost_bps: int | None) -> bool:
    """Keep the exchange's price; False when the quote was answered before, and nothing changes."""
    return (
        tx.run(
            """
            UPDATE quote SET to_units = :to_units, rate_id = :rate_id, valid_until = :valid_until, cost_bps = CAST(:cost_bps AS int), priced_at = pgp_now()
             WHERE id = :id AND priced_at IS NULL AND refused_reason IS NULL
            """,
            id=quote_id,
            to_units=to_units,
            rate_id=rate_id,
            valid_until=valid_until,
            cost_bps=cost_bps,
        )
        == 1
    )


def refuse(tx: Transaction, quote_id: int, *, reason: str) -> bool:
    """Keep why the exchange names no price; False when the quote was answered before, and nothing changes."""
    return (
        tx.run(
            "UPDATE quote SET refused_reason = :reason WHERE id = :id AND priced_at IS NULL AND refused_reason IS NULL",
            id=quote_id,
            reason=reason,
        )
        == 1
    )


def is_latest(tx: Transaction, quote: QuoteRow) -> bool:
    """Whether no newer quote was made for the same conversion or payout."""
    return not tx.value(
        """
        SELECT EXISTS (SELECT 1 FROM quote WHERE id > :id AND (payout_id = CAST(:payout_id AS bigint) OR conversion_id = CAST(:conversion_id AS bigint)))
        """,
        id=quote.id,
        payout_id=quote.payout_id,
        conversion_id=quote.conversion_id,
    )


def latest_of_payout(tx: Transaction, payout_id: int) -> int:
    """The newest quote of a payout; raises NotFound."""
    found = tx.value("SELECT max(id) FROM quote WHERE payout_id = :id", id=payout_id)
    if found is None:
        raise NotFound("the payout has no quote", payout=payout_id)
    return int(found)


def of_payout(tx: Transaction, payout_id: int) -> list[int]:
    """Every quote that a payout has had, the oldest first."""
    return list(tx.value("SELECT array_agg(id ORDER BY id) FROM quote WHERE payout_id = :id", id=payout_id) or ())


def count_of_conversion(tx: Transaction, conversion_id: int) -> int:
    """How many quotes a conversion has had."""
    return int(tx.value("SELECT count(*) FROM quote WHERE conversion_id = :id", id=conversion_id))


def is_asked_for_payout(tx: Transaction, payout_id: int) -> bool:
    """Whether a payout has had any quote."""
    return bool(tx.value("SELECT EXISTS (SELECT 1 FROM quote WHERE payout_id = :id)", id=payout_id))


def cost_bps(*, gives: Decimal, gets: Decimal, gives_usd: Decimal, gets_usd: Decimal) -> int:
    """What a quote costs against the mid price, in hundredths of a percent, rounded up: spread and every fee of the exchange together.

    `gives` and `gets` are whole coins, their prices USD for one. Negative when the quote is better than the market. Raises BadInput for amounts or
    prices that are not above zero.
    """
    if min(gives, gets, gives_usd, gets_usd) <= 0:
        raise BadInput("nothing to compare")
    with localcontext() as context:
        context.prec = PRECISION
        lost = 1 - (gets * gets_usd) / (gives * gives_usd)
        # A quote that is better than the market a hundred times over is nonsense, and must still fit the column.
        return max(-BPS * 100, int((lost * BPS).to_integral_value(ROUND_CEILING)))
