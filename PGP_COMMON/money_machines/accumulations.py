"""What each payment earned its owner: states and SQL of payout_accumulation."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import BrokenRule
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine


class Accumulation(enum.StrEnum):
    """Who acts next stands beside each state."""

    PENDING = "pending"  # earned, not converted: MICROBATCH acts
    CONVERTING = "converting"  # part of a conversion: MICROBATCH acts
    CONVERTED = "converted"  # is USDT now: BATCH acts
    ATTACHED = "attached"  # part of a payout: HOSTPAY1 acts
    PAID = "paid"  # the owner has it: the end
    FROZEN = "frozen"  # its payment was taken back: an operator acts
    REVERSED = "reversed"  # given back: the end


ACCUMULATION_LIFE = Machine(
    "accumulation",
    Accumulation,
    Accumulation.PENDING,
    {
        Accumulation.PENDING: {Accumulation.CONVERTING, Accumulation.FROZEN},
        Accumulation.CONVERTING: {Accumulation.PENDING, Accumulation.CONVERTED},
        Accumulation.CONVERTED: {Accumulation.ATTACHED},
        Accumulation.ATTACHED: {Accumulation.CONVERTED, Accumulation.PAID},
        Accumulation.PAID: set(),
        Accumulation.FROZEN: {Accumulation.PENDING, Accumulation.REVERSED},
        Accumulation.REVERSED: set(),
    },
)


@dataclass(frozen=True)
class AccumulationRow(Row):
    """What one payment earned, in base units of `asset`; `converted_units` once it is something else."""

    id: int
    payment_id: int
    owner_id: int
    asset: str
    units: int
    converted_units: int | None


# --- a payment's credit


def insert(tx: Transaction, *, payment_id: int, part: int, owner_id: int, channel_id: int, asset: str, units: int) -> None:
    """What a payment earned its owner, in base units of `asset`; part 2 and on are later, larger outcomes' differences."""
    tx.run(
        """
        INSERT INTO payout_accumulation (payment_id, part, owner_id, channel_id, asset, units)
        VALUES (:payment_id, :part, :owner_id, :channel_id, :asset, :units)
        """,
        payment_id=payment_id,
        part=part,
        owner_id=owner_id,
        channel_id=channel_id,
        asset=asset,
        units=units,
    )


def freeze(tx: Transaction, payment_id: int) -> int:
    """`pending` → `frozen` for every part of a payment that was taken back; gives back how many. What is being converted stays."""
    return tx.run("UPDATE payout_accumulation SET state = 'frozen' WHERE payment_id = :payment_id AND state = 'pending'", payment_id=payment_id)


def lock_of_payment(tx: Transaction, payment_id: int) -> int:
    """Lock what a payment earned, so that nobody begins to convert it meanwhile; gives back how many rows. The payment is locked before."""
    return int(tx.value("SELECT count(*) FROM (SELECT id FROM payout_accumulation WHERE payment_id = :id ORDER BY id FOR UPDATE) locked", id=payment_id))


def frozen_units(tx: Transaction, payment_id: int) -> int:
    """How many base units of a payment's are frozen."""
    return int(tx.value("SELECT coalesce(sum(units), 0) FROM payout_accumulation WHERE payment_id = :id AND state = 'frozen'", id=payment_id))


def thaw(tx: Transaction, payment_id: int) -> int:
    """`frozen` → `pending` for every part of a payment that stays credited after all; gives back how many."""
    return tx.run("UPDATE payout_accumulation SET state = 'pending' WHERE payment_id = :payment_id AND state = 'frozen'", payment_id=payment_id)


def reverse(tx: Transaction, payment_id: int) -> int:
    """`frozen` → `reversed` for every part of a payment that was taken back for good; gives back how many."""
    return tx.run("UPDATE payout_accumulation SET state = 'reversed' WHERE payment_id = :payment_id AND state = 'frozen'", payment_id=payment_id)


def per_owner(rows: Sequence[AccumulationRow]) -> dict[int, int]:
    """What rows are worth to each owner, in base units of their asset; in the order of the owners."""
    sums: dict[int, int] = {}
    for row in sorted(rows, key=lambda row: row.owner_id):
        sums[row.owner_id] = sums.get(row.owner_id, 0) + row.units
    return sums


# --- conversion


def pending_assets(tx: Transaction) -> list[str]:
    """The assets in which anything waits to be converted."""
    return list(tx.value("SELECT coalesce(array_agg(DISTINCT asset ORDER BY asset), '{}') FROM payout_accumulation WHERE state = 'pending'"))


def collect_pending(tx: Transaction, asset: str, *, limit: int) -> list[AccumulationRow]:
    """Lock what waits to be converted and has arrived in the wallet, oldest first; rows that somebody else holds are left to him."""
    return tx.all(
        AccumulationRow,
        """
        SELECT a.id, a.payment_id, a.owner_id, a.asset, a.units, a.converted_units
          FROM payout_accumulation a
         WHERE a.state = 'pending' AND a.asset = :asset
           AND EXISTS (SELECT 1 FROM arrival r WHERE r.payment_id = a.payment_id AND r.cause = 'payment' AND r.asset = a.asset)
         ORDER BY a.id LIMIT :limit
           FOR UPDATE OF a SKIP LOCKED
        """,
        asset=asset,
        limit=limit,
    )


def begin_conversion(tx: Transaction, rows: Sequence[AccumulationRow], *, conversion_id: int) -> None:
    """Move pending → converting, all of the locked rows or none."""
    moved = tx.run(
        """
        UPDATE payout_accumulation SET state = 'converting', conversion_id = :conversion_id
         WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'pending'
        """,
        conversion_id=conversion_id,
        ids=[row.id for row in rows],
    )
    _all_of(moved, rows, "pending")


def convert_as_is(tx: Transaction, rows: Sequence[AccumulationRow]) -> None:
    """Move pending → converting → converted in the same units: what is USDT already needs no exchange."""
    ids = [row.id for row in rows]
    moved = tx.run(
        """
        UPDATE payout_accumulation SET state = 'converting', converted_asset = asset, converted_units = units
         WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'pending'
        """,
        ids=ids,
    )
    _all_of(moved, rows, "pending")
    tx.run("UPDATE payout_accumulation SET state = 'converted' WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'converting'", ids=ids)


def lock_of_conversion(tx: Transaction, conversion_id: int) -> list[AccumulationRow]:
    """Lock what a conversion carries, in the order of the payments, which breaks ties when its result is shared out."""
    tx.value("SELECT count(*) FROM (SELECT id FROM payout_accumulation WHERE conversion_id = :id ORDER BY id FOR UPDATE) locked", id=conversion_id)
    return tx.all(
        AccumulationRow,
        """
        SELECT id, payment_id, owner_id, asset, units, converted_units FROM payout_accumulation
         WHERE conversion_id = :id AND state = 'converting' ORDER BY payment_id, id
        """,
        id=conversion_id,
    )


def finish_conversion(tx: Transaction, conversion_id: int, *, asset: str, units: Mapping[int, int]) -> None:
    """Move converting → converted; `units` says what each accumulation (by id) has become, in base units of `asset`."""
    moved = tx.run(
        """
        UPDATE payout_accumulation a SET state = 'converted', converted_asset = :asset, converted_units = u.units
          FROM unnest(CAST(:ids AS bigint[]), CAST(:units AS numeric[])) AS u (id, units)
         WHERE a.id = u.id AND a.conversion_id = :conversion_id AND a.state = 'converting'
        """,
        conversion_id=conversion_id,
        asset=asset,
        ids=list(units),
        units=[str(value) for value in units.values()],
    )
    _all_of(moved, units, "converting")


def undo_conversion(tx: Transaction, conversion_id: int) -> int:
    """Move converting → pending: the conversion came to nothing; gives back how many rows."""
    return tx.run(
        "UPDATE payout_accumulation SET state = 'pending', conversion_id = NULL WHERE conversion_id = :id AND state = 'converting'",
        id=conversion_id,
    )


# --- payout


def collect_converted(tx: Transaction, owner_id: int, *, asset: str, limit: int) -> list[AccumulationRow]:
    """Lock an owner's converted money, oldest first; the owner's row is locked before."""
    return tx.all(
        AccumulationRow,
        """
        SELECT id, payment_id, owner_id, asset, units, converted_units FROM payout_accumulation
         WHERE state = 'converted' AND owner_id = :owner_id AND converted_asset = :asset
         ORDER BY id LIMIT :limit
           FOR UPDATE SKIP LOCKED
        """,
        owner_id=owner_id,
        asset=asset,
        limit=limit,
    )


def attach(tx: Transaction, rows: Sequence[AccumulationRow], *, payout_id: int) -> None:
    """Move converted → attached, all of the locked rows or none."""
    moved = tx.run(
        "UPDATE payout_accumulation SET state = 'attached', payout_id = :payout_id WHERE id = ANY(CAST(:ids AS bigint[])) AND state = 'converted'",
        payout_id=payout_id,
        ids=[row.id for row in rows],
    )
    _all_of(moved, rows, "converted")


def lock_of_payout(tx: Transaction, payout_id: int) -> int:
    """Lock what a payout carries, before the payout itself; gives back how many rows."""
    return int(tx.value("SELECT count(*) FROM (SELECT id FROM payout_accumulation WHERE payout_id = :id ORDER BY id FOR UPDATE) locked", id=payout_id))


def release(tx: Transaction, payout_id: int) -> int:
    """Move attached → converted: the payout came to nothing; gives back how many rows."""
    return tx.run("UPDATE payout_accumulation SET state = 'converted', payout_id = NULL WHERE payout_id = :id AND state = 'attached'", id=payout_id)


def pay(tx: Transaction, payout_id: int) -> int:
    """Move attached → paid: the owner has it; gives back how many rows."""
    return tx.run("UPDATE payout_accumulation SET state = 'paid' WHERE payout_id = :id AND state = 'attached'", id=payout_id)


def _all_of(moved: int, rows: Sequence[AccumulationRow] | Mapping[int, int], state: str) -> None:
    """Refuse to go on when rows that were locked are not what they were: part of the money would be left behind."""
    if moved != len(rows):
        raise BrokenRule(f"{moved} of {len(rows)} accumulations were {state}")
