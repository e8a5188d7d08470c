"""These are the shares: of each payment what became of it to the last unit, and of each transaction whose money it moved. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from PGP_COMMON.database import Transaction
from PGP_COMMON.money import share_out
from PGP_COMMON.money_machines.rows import Row

# --- forward: from a payment to what its owner got


@dataclass(frozen=True)
class Paid(Row):
    """A payment: its outcome in base units, of which `owner_units` and `fee_units` are the parts once it was credited."""

    provider_id: str
    order_id: str
    buyer_id: int
    state: str
    asset: str | None
    decimals: int | None
    outcome_units: int
    owner_units: int
    fee_units: int
    suspense_units: int
    payin_hash: str | None
    payout_hash: str | None


@dataclass(frozen=True)
class Part(Row):
    """What one payment earned at once, and what that became: so many units of so many in each conversion and payout that it is part of.

    `got_units` are its share of what the owner received, in base units of `payout_asset`: by largest remainder over the payout's accumulations by
    their converted units, ties to the older one. Hashes: what paid the exchange for it, and what came of that.
    """

    id: int
    provider_id: str
    part: int
    owner_id: int
    state: str
    asset: str
    decimals: int
    units: int
    conversion_id: int | None
    conversion_from_units: int | None
    conversion_to_units: int | None
    conversion_sent: str | None
    conversion_came: str | None
    converted_asset: str | None
    converted_decimals: int | None
    converted_units: int | None
    payout_id: int | None
    payout_state: str | None
    payout_units: int | None
    payout_sent: str | None
    payout_asset: str | None
    payout_decimals: int | None
    paid_out_units: int | None
    payout_came: str | None
    got_units: int | None


def payments(tx: Transaction, ids: Sequence[int]) -> list[Paid]:
    """These payments, the oldest first."""
    return tx.all(
        Paid,
        """
        SELECT p.provider_id, o.unique_id AS order_id, o.buyer_id, p.state, p.outcome_asset AS asset, k.decimals, p.outcome_units, p.owner_units, p.fee_units,
               p.suspense_units, p.payin_hash, p.payout_hash
          FROM processed_payments p JOIN orders o ON o.id = p.order_id LEFT JOIN currency_to_network k ON k.asset = p.outcome_asset
         WHERE p.id = ANY(CAST(:ids AS bigint[])) ORDER BY p.id
        """,
        ids=list(ids),
    )


def parts(tx: Transaction, ids: Sequence[int]) -> list[Part]:
    """What these payments earned and what that became, the oldest first."""
    found = tx.all(
        Part,
        """
        SELECT a.id, p.provider_id, a.part, a.owner_id, a.state, a.asset, e.decimals, a.units,
               a.conversion_id, c.from_units AS conversion_from_units, c.received_units AS conversion_to_units,
               ct.mined_hash AS conversion_sent, cs.payout_hash AS conversion_came,
               a.converted_asset, v.decimals AS converted_decimals, a.converted_units,
               a.payout_id, q.state AS payout_state, q.units AS payout_units, qt.mined_hash AS payout_sent,
               q.payout_asset, g.decimals AS payout_decimals, q.paid_out_units, q.tx_hash AS payout_came, CAST(NULL AS bigint) AS got_units
          FROM payout_accumulation a
          JOIN processed_payments p ON p.id = a.payment_id
          JOIN currency_to_network e ON e.asset = a.asset
          LEFT JOIN batch_conversions c ON c.id = a.conversion_id
          LEFT JOIN swap cs ON cs.conversion_id = c.id AND cs.state IN ('funded', 'hold', 'finished')
          LEFT JOIN transfer ct ON ct.swap_id = cs.id AND ct.state = 'final'
          LEFT JOIN currency_to_network v ON v.asset = a.converted_asset
          LEFT JOIN split_payout_que q ON q.id = a.payout_id
          LEFT JOIN currency_to_network g ON g.asset = q.payout_asset
          LEFT JOIN swap qs ON qs.payout_id = q.id AND qs.state IN ('funded', 'hold', 'finished')
          LEFT JOIN transfer qt ON (qt.swap_id = qs.id OR qt.payout_id = q.id) AND qt.state = 'final'
         WHERE a.payment_id = ANY(CAST(:ids AS bigint[])) ORDER BY a.id
        """,
        ids=list(ids),
    )
    got = _got(tx, found)
    return [_with_share(one, got) for one in found]


def _with_share(one: Part, got: Mapping[int, int]) -> Part:
    return Part(**{**vars(one), "got_units": got.get(one.id)})


@dataclass(frozen=True)
class Weight(Row):
    """What one accumulation put into a payout, in base units of what payouts are funded with."""

    payout_id: int
    id: int
    converted_units: int


def _got(tx: Transaction, found: Iterable[Part]) -> dict[int, int]:
    """By accumulation, its share of what the owner received; only of payouts that are settled."""
    settled = {one.payout_id: one.paid_out_units for one in found if one.payout_id is not None and one.payout_state == "settled" and one.paid_out_units}
    weights = tx.all(
        Weight,
        "SELECT payout_id, id, converted_units FROM payout_accumulation WHERE payout_id = ANY(CAST(:ids AS bigint[])) ORDER BY payout_id, id",
        ids=list(settled),
    )
    shares: dict[int, int] = {}
    for payout_id, total in settled.items():
        own = [weight for weight in weights if weight.payout_id == payout_id]
        shares |= zip([weight.id for weight in own], share_out(total, [weight.converted_units for weight in own]), strict=True)
    return shares


# --- back: from a transaction to the buyers


@dataclass(frozen=True)
class Moved(Row):
    """So much that a transaction moved, or was to move, and for what. `key`: the row that it was moved for, of the table that `whose` names."""

    what: str
    tx_hash: str | None
    asset: str
    decimals: int
    units: int
    whose: str
    key: int | None


@dataclass(frozen=True)
class Buyer(Row):
    """One buyer's money in a transaction, in base units of what it moved."""

    provider_id: str
    order_id: str
    buyer_id: int
    accumulation_id: int | None
    units: int


@dataclass(frozen=True)
class Origin:
    """What a transaction moved, and whose money that was: the buyers' units sum to it. Nobody's: it was the platform's own."""

    moved: Moved
    buyers: list[Buyer]


def origins(tx: Transaction, name: str) -> list[Origin]:
    """Where the money of a transaction (its hash, `transfer:5`, or the address that a swap is paid at) came from; several if it paid several things."""
    return [Origin(moved, _buyers(tx, moved)) for moved in [*_sent(tx, name), *_by_the_exchange(tx, name), *_by_the_vendor(tx, name)]]


def _sent(tx: Transaction, name: str) -> list[Moved]:
    """What our wallet sent by it."""
    return tx.all(
        Moved,
        """
        SELECT 'transfer ' || t.id || ' (' || t.state || ') for '
               || CASE t.purpose WHEN 'swap' THEN 'swap ' || s.id || ' of ' || coalesce('conversion ' || s.conversion_id, 'payout ' || s.payout_id)
                                 WHEN 'direct' THEN 'payout ' || t.payout_id WHEN 'refund' THEN 'the refund of a payment' ELSE 'the platform' END AS what,
               coalesce(t.mined_hash, (SELECT tx_hash FROM transfer_attempt WHERE transfer_id = t.id ORDER BY seq DESC LIMIT 1)) AS tx_hash,
               t.asset, k.decimals, t.units,
               CASE WHEN s.conversion_id IS NOT NULL THEN 'conversion' WHEN t.purpose IN ('swap', 'direct') THEN 'payout' WHEN t.purpose = 'refund' THEN 'payment'
                    ELSE 'platform' END AS whose, coalesce(s.conversion_id, s.payout_id, t.payout_id, t.payment_id) AS key
          FROM transfer t JOIN currency_to_network k ON k.asset = t.asset LEFT JOIN swap s ON s.id = t.swap_id
         WHERE t.id IN (SELECT transfer_id FROM transfer_attempt WHERE tx_hash = lower(:name))
            OR t.id = CAST(substring(:name FROM '^transfer:([0-9]{1,15})$') AS bigint) OR lower(s.payin_address) = lower(:name)
         ORDER BY t.id
        """,
        name=name,
    )


def _by_the_exchange(tx: Transaction, name: str) -> list[Moved]:
    """What the exchange paid out, or sent back, by it: what came by the books, else what it said."""
    return tx.all(
        Moved,
        """
        SELECT 'swap ' || s.id || ' paid out for ' || coalesce('conversion ' || s.conversion_id, 'payout ' || s.payout_id) AS what, s.payout_hash AS tx_hash,
               s.to_asset AS asset, k.decimals, coalesce(c.received_units, (SELECT sum(r.units) FROM arrival r WHERE r.swap_id = s.id AND r.cause = 'swap'),
                                                         q.paid_out_units, s.received_units) AS units,
               CASE WHEN s.conversion_id IS NULL THEN 'payout' ELSE 'conversion' END AS whose, coalesce(s.conversion_id, s.payout_id) AS key
          FROM swap s JOIN currency_to_network k ON k.asset = s.to_asset
          LEFT JOIN batch_conversions c ON c.id = s.conversion_id LEFT JOIN split_payout_que q ON q.id = s.payout_id AND q.tx_hash = s.payout_hash
         WHERE s.payout_hash IN (:name, lower(:name)) AND s.received_units > 0
        UNION ALL
        SELECT 'swap ' || s.id || ' sent back from ' || coalesce('conversion ' || s.conversion_id, 'payout ' || s.payout_id), s.refund_hash,
               s.from_asset, k.decimals, coalesce((SELECT sum(r.units) FROM arrival r WHERE r.swap_id = s.id AND r.cause = 'refund'), s.refund_units),
               CASE WHEN s.conversion_id IS NULL THEN 'payout' ELSE 'conversion' END, coalesce(s.conversion_id, s.payout_id)
          FROM swap s JOIN currency_to_network k ON k.asset = s.from_asset
         WHERE s.refund_hash = lower(:name)
           AND coalesce((SELECT sum(r.units) FROM arrival r WHERE r.swap_id = s.id AND r.cause = 'refund'), s.refund_units) IS NOT NULL
        """,
        name=name,
    )


def _by_the_vendor(tx: Transaction, name: str) -> list[Moved]:
    """What the buyer paid the vendor by it, what the vendor sent us by it, or what the platform put in."""
    return tx.all(
        Moved,
        """
        SELECT 'the buyer paid ' || trim_scale(coalesce(p.actually_paid, 0)) || ' ' || upper(coalesce(p.pay_currency, '?')) || ', which became' AS what,
               p.payin_hash AS tx_hash, p.outcome_asset AS asset, k.decimals, p.outcome_units AS units, 'payment' AS whose, p.id AS key
          FROM processed_payments p JOIN currency_to_network k ON k.asset = p.outcome_asset WHERE p.payin_hash IN (:name, lower(:name))
        UNION ALL
        SELECT 'NOWPayments sent us a payment''s money', p.payout_hash, p.outcome_asset, k.decimals,
               coalesce((SELECT sum(r.units) FROM arrival r WHERE r.payment_id = p.id), p.outcome_units), 'payment', p.id
          FROM processed_payments p JOIN currency_to_network k ON k.asset = p.outcome_asset WHERE p.payout_hash = lower(:name)
        UNION ALL
        SELECT 'a deposit of the platform''s own', r.tx_hash, r.asset, k.decimals, r.units, 'platform', NULL
          FROM arrival r JOIN currency_to_network k ON k.asset = r.asset WHERE r.tx_hash = lower(:name) AND r.cause = 'treasury'
        """,
        name=name,
    )


@dataclass(frozen=True)
class Stake(Row):
    """What one accumulation had in a conversion or payout: `units` before it, `became` of a conversion after it."""

    accumulation_id: int
    provider_id: str
    order_id: str
    buyer_id: int
    units: int
    became: int | None


def _buyers(tx: Transaction, moved: Moved) -> list[Buyer]:
    if moved.whose == "platform" or moved.key is None:
        return []
    if moved.whose == "payment":
        (paid,) = payments(tx, [moved.key])
        return [Buyer(paid.provider_id, paid.order_id, paid.buyer_id, None, moved.units)]
    stakes = _stakes(tx, moved)
    return [
        Buyer(stake.provider_id, stake.order_id, stake.buyer_id, stake.accumulation_id, units)
        for stake, units in zip(stakes, share_of(moved.units, stakes), strict=True)
    ]


def share_of(units: int, stakes: Sequence[Stake]) -> list[int]:
    """Whose are so many units: each stake's own where they are the same money, or what the books gave it, else by largest remainder. Pure."""
    if not stakes:
        return []
    own, became = [stake.units for stake in stakes], [stake.became for stake in stakes]
    if sum(own) == units:
        return own
    if all(one is not None for one in became) and sum(one or 0 for one in became) == units:
        return [one or 0 for one in became]
    return share_out(units, own)


def _stakes(tx: Transaction, moved: Moved) -> list[Stake]:
    """Every accumulation that has ever been part of a conversion or payout, the oldest first: also of one that came to nothing."""
    return tx.all(
        Stake,
        """
        SELECT a.id AS accumulation_id, p.provider_id, o.unique_id AS order_id, o.buyer_id,
               CASE WHEN l.payout_id IS NULL THEN a.units ELSE a.converted_units END AS units,
               CASE WHEN l.conversion_id = a.conversion_id THEN a.converted_units END AS became
          FROM accumulation_place l JOIN payout_accumulation a ON a.id = l.accumulation_id
          JOIN processed_payments p ON p.id = a.payment_id JOIN orders o ON o.id = p.order_id
         WHERE (:whose = 'payout' AND l.payout_id = :key) OR (:whose = 'conversion' AND l.conversion_id = :key) ORDER BY a.id
        """,
        whose=moved.whose,
        key=moved.key,
    )
