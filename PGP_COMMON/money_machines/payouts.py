"""One owner's converted money on its way to him: states and SQL of split_payout_que."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import NotFound
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine


class Payout(enum.StrEnum):
    """Who acts next stands beside each state."""

    RESERVED = "reserved"  # the owner's USDT is set aside: SPLIT1 acts
    QUOTED = "quoted"  # a price is agreed: SPLIT1 acts
    SWAP_READY = "swap_ready"  # the exchange waits for our USDT: HOSTPAY1 acts
    FUNDING = "funding"  # one transfer may be signed for it: HOSTPAY3 acts
    FUNDED = "funded"  # our USDT is with the exchange: the exchange acts
    SETTLED = "settled"  # the owner has his coin: the end
    REFUNDING = "refunding"  # the exchange sends it back: the exchange acts
    RELEASED = "released"  # back on the owner's balance: the end
    REVIEW = "review"  # something does not fit: an operator acts


PAYOUT_LIFE = Machine(
    "payout",
    Payout,
    Payout.RESERVED,
    {
        Payout.RESERVED: {Payout.QUOTED, Payout.RELEASED},
        Payout.QUOTED: {Payout.RESERVED, Payout.SWAP_READY, Payout.FUNDING, Payout.RELEASED},
        Payout.SWAP_READY: {Payout.RESERVED, Payout.FUNDING},
        Payout.FUNDING: {Payout.FUNDED, Payout.SETTLED, Payout.RESERVED, Payout.REVIEW},
        Payout.FUNDED: {Payout.SETTLED, Payout.REFUNDING, Payout.REVIEW},
        Payout.SETTLED: set(),
        Payout.REFUNDING: {Payout.RELEASED, Payout.REVIEW},
        Payout.RELEASED: set(),
        Payout.REVIEW: {Payout.RESERVED, Payout.FUNDED, Payout.SETTLED, Payout.RELEASED},
    },
)


class Release(enum.StrEnum):
    """Why a payout was released: its `reason`, in words that the owner reads."""

    ABOVE_FEE_CAP = "the exchange would cost more than your limit"
    BELOW_MINIMUM = "the exchange does not take so little"
    ABOVE_MAXIMUM = "the exchange does not take so much at once"
    PAIR_REFUSED = "the exchange does not trade this pair at the moment"
    REFUNDED = "the exchange sent it back"
    OPERATOR = "we took it back to look after it, and it will be sent again"


@dataclass(frozen=True)
class PayoutRow(Row):
    """One payout, with what was written down when its money was reserved. `units` are base units of `asset`."""

    id: int
    owner_id: int
    details_id: int
    asset: str
    units: int
    payout_asset: str
    address: str
    extra_id: str | None
    fee_cap_percent: Decimal
    state: str
    quotes_failed: int
    reason: str | None
    paid_out_units: int | None
    tx_hash: str | None
    correlation: str
    created_at: datetime


def get(tx: Transaction, payout_id: int) -> PayoutRow:
    """A payout as it is; raises NotFound."""
    found = tx.one(
        PayoutRow,
        """
        SELECT id, owner_id, details_id, asset, units, payout_asset, address, extra_id, fee_cap_percent, state, quotes_failed, reason, paid_out_units,
               tx_hash, correlation, created_at
          FROM split_payout_que WHERE id = :id
        """,
        id=payout_id,
    )
    if found is None:
        raise NotFound("there is no such payout", payout=payout_id)
    return found


def lock(tx: Transaction, payout_id: int) -> PayoutRow:
    """A payout as it is, locked until the transaction ends; raises NotFound. Owner and accumulations are locked before it, its swap after it."""
    tx.value("SELECT id FROM split_payout_que WHERE id = :id FOR NO KEY UPDATE", id=payout_id)
    return get(tx, payout_id)


def reserve(
    tx: Transaction,
    *,
    owner_id: int,
    details_id: int,
    asset: str,
    units: int,
    fee_cap_percent: Decimal,
    correlation: str,
) -> int:
    """A new payout, `reserved`; coin, address and memo are copied from the owner's details and not read again. Gives back its id."""
    return int(
        tx.value(
            """
            INSERT INTO split_payout_que (owner_id, details_id, asset, units, payout_asset, address, extra_id, fee_cap_percent, correlation)
            SELECT d.owner_id, d.id, :asset, :units, d.asset, d.address, d.extra_id, :fee_cap_percent, :correlation
              FROM payout_details d WHERE d.id = :details_id AND d.owner_id = :owner_id
            RETURNING id
            """,
            owner_id=owner_id,
            details_id=details_id,
            asset=asset,
            units=units,
            fee_cap_percent=fee_cap_percent,
            correlation=correlation,
        )
    )


def has_open(tx: Transaction, owner_id: int) -> bool:
    """Whether an owner has a payout on its way; he can have one at a time."""
    return bool(
        tx.value(
            "SELECT EXISTS (SELECT 1 FROM split_payout_que WHERE owner_id = :owner_id AND state NOT IN ('settled', 'released'))",
            owner_id=owner_id,
        )
    )


# --- moves: each is one guarded statement; False means that somebody was first, or that the payout is not in the state the move starts from


def agree(tx: Transaction, payout_id: int) -> bool:
    """Move reserved → quoted: a price is agreed."""
    return tx.run("UPDATE split_payout_que SET state = 'quoted', reason = NULL WHERE id = :id AND state = 'reserved'", id=payout_id) == 1


def await_funding(tx: Transaction, payout_id: int) -> bool:
    """Move quoted → swap_ready: the exchange waits for our coins."""
    return tx.run("UPDATE split_payout_que SET state = 'swap_ready' WHERE id = :id AND state = 'quoted'", id=payout_id) == 1


def reserve_again(tx: Transaction, payout_id: int, *, source: Payout, reason: str, counts: bool = True) -> bool:
    """Move quoted, swap_ready or funding (an operator: review as well; `source`) → reserved: a new quote is needed.

    `counts=False` when the quote only lapsed while we waited for gas or for a slot of the wallet (money.md 7).
    """
    return (
        tx.run(
            """
            UPDATE split_payout_que SET state = 'reserved', reason = :reason, quotes_failed = quotes_failed + :failed
             WHERE id = :id AND state = :source AND state IN ('quoted', 'swap_ready', 'funding', 'review')
            """,
            id=payout_id,
            source=source.value,
            reason=reason,
            failed=int(counts),
        )
        == 1
    )


def forget_failed_quotes(tx: Transaction, payout_id: int) -> None:
    """Begin the count of failed quotes anew: a person has been told, and his retry deserves a full count."""
    tx.run("UPDATE split_payout_que SET quotes_failed = 0 WHERE id = :id", id=payout_id)


def fund(tx: Transaction, payout_id: int, *, source: Payout) -> bool:
    """swap_ready, or quoted when direct (`source`) → funding: one transfer may be signed for it."""
    return (
        tx.run(
            "UPDATE split_payout_que SET state = 'funding', reason = NULL WHERE id = :id AND state = :source AND state IN ('quoted', 'swap_ready')",
            id=payout_id,
            source=source.value,
        )
        == 1
    )


def mark_funded(tx: Transaction, payout_id: int) -> bool:
    """Move funding → funded: our coins are with the exchange."""
    return tx.run("UPDATE split_payout_que SET state = 'funded' WHERE id = :id AND state = 'funding'", id=payout_id) == 1


def resume(tx: Transaction, payout_id: int) -> bool:
    """Move review → funded: the exchange works on it again, and an operator lets it end by itself."""
    return tx.run("UPDATE split_payout_que SET state = 'funded', reason = NULL WHERE id = :id AND state = 'review'", id=payout_id) == 1


def settle(tx: Transaction, payout_id: int, *, source: Payout, paid_out_units: int, tx_hash: str) -> bool:
    """Move funded, or funding when direct (`source`) → settled: the owner has so many units of his coin, by this transaction."""
    return (
        tx.run(
            """
            UPDATE split_payout_que SET state = 'settled', reason = NULL, paid_out_units = :units, tx_hash = :hash, finished_at = pgp_now()
             WHERE id = :id AND state = :source AND state IN ('funding', 'funded', 'review')
            """,
            id=payout_id,
            source=source.value,
            units=paid_out_units,
            hash=tx_hash,
        )
        == 1
    )


def expect_refund(tx: Transaction, payout_id: int) -> bool:
    """Move funded → refunding: the exchange sends our coins back."""
    return tx.run("UPDATE split_payout_que SET state = 'refunding' WHERE id = :id AND state = 'funded'", id=payout_id) == 1


def release(tx: Transaction, payout_id: int, *, source: Payout, reason: str) -> bool:
    """Move reserved or refunding (an operator: quoted or review as well; `source`) → released: the money is on the owner's balance again."""
    return (
        tx.run(
            """
            UPDATE split_payout_que SET state = 'released', reason = :reason, finished_at = pgp_now()
             WHERE id = :id AND state = :source AND state IN ('reserved', 'quoted', 'refunding', 'review')
            """,
            id=payout_id,
            source=source.value,
            reason=reason,
        )
        == 1
    )


def review(tx: Transaction, payout_id: int, *, source: Payout, reason: str) -> bool:
    """Move funding, funded or refunding (`source`) → review: something does not fit; an operator decides."""
    return (
        tx.run(
            """
            UPDATE split_payout_que SET state = 'review', reason = :reason
             WHERE id = :id AND state = :source AND state IN ('funding', 'funded', 'refunding')
            """,
            id=payout_id,
            source=source.value,
            reason=reason,
        )
        == 1
    )


def note(tx: Transaction, payout_id: int, *, reason: str) -> None:
    """Keep why a payout waits; moves nothing."""
    tx.run("UPDATE split_payout_que SET reason = :reason WHERE id = :id AND state NOT IN ('settled', 'released')", id=payout_id, reason=reason)
