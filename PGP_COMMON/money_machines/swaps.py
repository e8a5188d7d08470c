"""Exchanges at ChangeNOW: states and SQL of swap and swap_orphan."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from datetime import datetime

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import NotFound
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine


class Swap(enum.StrEnum):
    """Who acts next stands beside each state."""

    PLANNED = "planned"  # wanted, nothing asked: we act
    CREATED = "created"  # the exchange has it, nobody paid: we act
    FUNDING = "funding"  # one transfer may be signed for it: we act
    FUNDED = "funded"  # our coins are with the exchange: the exchange acts
    HOLD = "hold"  # the exchange keeps it, says not why: an operator acts
    FINISHED = "finished"  # paid out: the end
    REFUNDED = "refunded"  # came back: the end
    LOST = "lost"  # given up by an operator: the end
    ABANDONED = "abandoned"  # never funded: the end


SWAP_LIFE = Machine(
    "swap",
    Swap,
    Swap.PLANNED,
    {
        Swap.PLANNED: {Swap.CREATED, Swap.ABANDONED},
        Swap.CREATED: {Swap.FUNDING, Swap.ABANDONED},
        Swap.FUNDING: {Swap.FUNDED, Swap.HOLD, Swap.ABANDONED},
        Swap.FUNDED: {Swap.FINISHED, Swap.REFUNDED, Swap.HOLD},
        Swap.HOLD: {Swap.FUNDED, Swap.FINISHED, Swap.REFUNDED, Swap.LOST},
        Swap.FINISHED: set(),
        Swap.REFUNDED: set(),
        Swap.LOST: set(),
        Swap.ABANDONED: set(),
    },
)

# money.md 9: more exchanges than this for one quote look like abuse, and do not help.
MAX_CREATES = 3


@dataclass(frozen=True)
class SwapRow(Row):
    """One exchange: what was agreed, where our coins go, and what the vendor said last. Amounts are base units."""

    id: int
    reference: uuid.UUID
    quote_id: int
    conversion_id: int | None
    payout_id: int | None
    state: str
    from_asset: str
    from_units: int
    to_asset: str
    to_units: int
    payout_address: str
    payout_extra_id: str | None
    refund_address: str
    deadline: datetime
    creates: int
    provider_id: str | None
    payin_address: str | None
    vendor_status: str | None
    vendor_looked_at: datetime | None
    received_units: int | None
    payout_hash: str | None
    refund_units: int | None
    refund_hash: str | None
    reason: str | None


def get(tx: Transaction, swap_id: int) -> SwapRow:
    """A swap as it is; raises NotFound."""
    found = tx.one(
        SwapRow,
        """
        SELECT id, reference, quote_id, conversion_id, payout_id, state, from_asset, from_units, to_asset, to_units, payout_address, payout_extra_id,
               refund_address, deadline, creates, provider_id, payin_address, vendor_status, vendor_looked_at, received_units, payout_hash, refund_units,
               refund_hash, reason
          FROM swap WHERE id = :id
        """,
        id=swap_id,
    )
    if found is None:
        raise NotFound("there is no such swap", swap=swap_id)
    return found


def lock(tx: Transaction, swap_id: int) -> SwapRow:
    """A swap as it is, locked until the transaction ends; raises NotFound. Accumulations, conversion and payout are locked before it."""
    tx.value("SELECT id FROM swap WHERE id = :id FOR NO KEY UPDATE", id=swap_id)
    return get(tx, swap_id)


def lock_of_payout(tx: Transaction, payout_id: int) -> list[SwapRow]:
    """Every swap that a payout has had, the oldest first, locked; the payout is locked before."""
    found = tx.value("SELECT array_agg(id) FROM (SELECT id FROM swap WHERE payout_id = :id ORDER BY id FOR NO KEY UPDATE) locked", id=payout_id)
    return [get(tx, swap_id) for swap_id in found or ()]


def of_quote(tx: Transaction, quote_id: int) -> SwapRow | None:
    """The swap that a quote led to, or None while there is none."""
    found = tx.value("SELECT id FROM swap WHERE quote_id = :quote_id", quote_id=quote_id)
    return None if found is None else get(tx, int(found))


def newest_of_conversion(tx: Transaction, conversion_id: int) -> int | None:
    """The id of the last swap that was planned for a conversion."""
    found = tx.value("SELECT max(id) FROM swap WHERE conversion_id = :id", id=conversion_id)
    return None if found is None else int(found)


def plan(tx: Transaction, quote_id: int, *, payout_address: str, payout_extra_id: str | None, refund_address: str) -> int:
    """Write down the swap that a priced quote asks for; gives back its id, the same one on a second call.

    Amounts, assets and deadline are the quote's.
    """
    made = tx.value(
        """
        INSERT INTO swap (reference, quote_id, conversion_id, payout_id, from_asset, from_units, to_asset, to_units, payout_address, payout_extra_id,
                          refund_address, deadline)
        SELECT CAST(:reference AS uuid), id, conversion_id, payout_id, from_asset, from_units, to_asset, to_units, :payout_address,
               CAST(:payout_extra_id AS text), :refund_address, valid_until
          FROM quote WHERE id = :quote_id AND priced_at IS NOT NULL
        ON CONFLICT (quote_id) DO NOTHING
        RETURNING id
        """,
        reference=str(uuid.uuid4()),
        quote_id=quote_id,
        payout_address=payout_address,
        payout_extra_id=payout_extra_id,
        refund_address=refund_address,
    )
    if made is None:
        made = tx.value("SELECT id FROM swap WHERE quote_id = :quote_id", quote_id=quote_id)
    if made is None:
        raise NotFound("there is no such quote with a price", quote=quote_id)
    return int(made)


# --- creating it at the exchange


def lapses(tx: Transaction, swap_id: int, *, margin_s: int) -> bool:
    """Whether less than so many seconds of the agreed rate are left."""
    return bool(tx.value("SELECT deadline < pgp_now() + make_interval(secs => :margin) FROM swap WHERE id = :id", id=swap_id, margin=margin_s))


def count_create(tx: Transaction, swap_id: int) -> bool:
    """Count one call that creates an exchange, before it is made; False when no more may be made."""
    return (
        tx.run(
            "UPDATE swap SET creates = creates + 1 WHERE id = :id AND state = 'planned' AND provider_id IS NULL AND creates < :most",
            id=swap_id,
            most=MAX_CREATES,
        )
        == 1
    )


def uncount_create(tx: Transaction, swap_id: int) -> None:
    """Take a counted call back: it is certain that it did nothing."""
    tx.run("UPDATE swap SET creates = creates - 1 WHERE id = :id AND state = 'planned' AND creates > 0", id=swap_id)


def remember(tx: Transaction, swap_id: int, *, provider_id: str, payin_address: str) -> bool:
    """Keep the exchange that answered first; a later one is an orphan that nobody funds, and the answer is False."""
    kept = tx.run(
        "UPDATE swap SET provider_id = :provider_id, payin_address = :payin_address WHERE id = :id AND state = 'planned' AND provider_id IS NULL",
        id=swap_id,
        provider_id=provider_id,
        payin_address=payin_address,
    )
    if kept == 0 and get(tx, swap_id).provider_id != provider_id:
        disown(tx, swap_id, provider_id=provider_id, payin_address=payin_address)
    return kept == 1


def disown(tx: Transaction, swap_id: int, *, provider_id: str, payin_address: str) -> None:
    """Keep the id of an exchange that was made for a swap and is not to be funded."""
    tx.run(
        "INSERT INTO swap_orphan (provider_id, swap_id, payin_address) VALUES (:provider_id, :id, :payin_address) ON CONFLICT (provider_id) DO NOTHING",
        provider_id=provider_id,
        id=swap_id,
        payin_address=payin_address,
    )


def is_known_address(tx: Transaction, swap_id: int, address: str) -> bool:
    """Whether an address is ours, an owner's, a coin's contract or an earlier exchange's: none of these may be paid for a new swap."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (SELECT 1 FROM wallet WHERE lower(address) = lower(:address))
                OR EXISTS (SELECT 1 FROM currency_to_network WHERE lower(token_contract) = lower(:address))
                OR EXISTS (SELECT 1 FROM payout_details WHERE lower(address) = lower(:address))
                OR EXISTS (SELECT 1 FROM swap_orphan WHERE lower(payin_address) = lower(:address))
                OR EXISTS (SELECT 1 FROM swap WHERE id <> :id AND (lower(payin_address) = lower(:address) OR lower(payout_address) = lower(:address)))
            """,
            id=swap_id,
            address=address,
        )
    )


# --- moves: each is one guarded statement; False means that somebody was first, or that the swap is not in the state the move starts from


def mark_created(tx: Transaction, swap_id: int, *, deadline: datetime) -> bool:
    """Move planned → created: the exchange has it and its second look agrees. From here its terms never change."""
    return (
        tx.run(
            """
            UPDATE swap SET state = 'created', deadline = least(deadline, CAST(:deadline AS timestamptz))
             WHERE id = :id AND state = 'planned' AND provider_id IS NOT NULL
            """,
            id=swap_id,
            deadline=deadline,
        )
        == 1
    )


def fund(tx: Transaction, swap_id: int) -> bool:
    """Move created → funding: one transfer may be signed for it."""
    return tx.run("UPDATE swap SET state = 'funding' WHERE id = :id AND state = 'created'", id=swap_id) == 1


def mark_funded(tx: Transaction, swap_id: int) -> bool:
    """Move funding → funded: our transfer is final."""
    return tx.run("UPDATE swap SET state = 'funded', funded_at = pgp_now() WHERE id = :id AND state = 'funding'", id=swap_id) == 1


def observe(tx: Transaction, swap_id: int, *, vendor_status: str) -> None:
    """Keep what the vendor said last, and when; moves nothing."""
    tx.run("UPDATE swap SET vendor_status = :status, vendor_looked_at = pgp_now() WHERE id = :id", id=swap_id, status=vendor_status)


def finish(tx: Transaction, swap_id: int, *, received_units: int, payout_hash: str) -> bool:
    """Move funded or hold → finished: the exchange paid out so many units of `to_asset`, with this transaction."""
    return (
        tx.run(
            """
            UPDATE swap SET state = 'finished', received_units = :units, payout_hash = :hash, ended_at = pgp_now()
             WHERE id = :id AND state IN ('funded', 'hold')
            """,
            id=swap_id,
            units=received_units,
            hash=payout_hash,
        )
        == 1
    )


def refund(tx: Transaction, swap_id: int, *, refund_units: int | None, refund_hash: str | None) -> bool:
    """Move funded or hold → refunded: the exchange sends our coins back; what really comes is an arrival."""
    return (
        tx.run(
            """
            UPDATE swap SET state = 'refunded', refund_units = CAST(:units AS numeric), refund_hash = CAST(:hash AS text), ended_at = pgp_now()
             WHERE id = :id AND state IN ('funded', 'hold')
            """,
            id=swap_id,
            units=refund_units,
            hash=refund_hash,
        )
        == 1
    )


def remember_refund(tx: Transaction, swap_id: int, *, refund_units: int | None, refund_hash: str) -> None:
    """Keep what the vendor says of a refund once it says so; what is known already stays."""
    tx.run(
        """
        UPDATE swap SET refund_hash = coalesce(refund_hash, :hash), refund_units = coalesce(refund_units, CAST(:units AS numeric))
         WHERE id = :id AND state = 'refunded'
        """,
        id=swap_id,
        units=refund_units,
        hash=refund_hash,
    )


def hold(tx: Transaction, swap_id: int, *, reason: str) -> bool:
    """Move funding or funded → hold: the exchange keeps it, or it failed; a person looks."""
    return tx.run("UPDATE swap SET state = 'hold', reason = :reason WHERE id = :id AND state IN ('funding', 'funded')", id=swap_id, reason=reason) == 1


def resume(tx: Transaction, swap_id: int) -> bool:
    """Move hold → funded: the exchange works on it again."""
    return tx.run("UPDATE swap SET state = 'funded', reason = NULL WHERE id = :id AND state = 'hold'", id=swap_id) == 1


def lose(tx: Transaction, swap_id: int, *, reason: str) -> bool:
    """Move hold → lost: an operator gives it up."""
    return (
        tx.run(
            "UPDATE swap SET state = 'lost', reason = :reason, ended_at = pgp_now() WHERE id = :id AND state = 'hold'",
            id=swap_id,
            reason=reason,
        )
        == 1
    )


def abandon(tx: Transaction, swap_id: int, *, source: Swap, reason: str) -> bool:
    """Move planned, created or funding (`source`) → abandoned: it was never funded and never will be."""
    return (
        tx.run(
            """
            UPDATE swap SET state = 'abandoned', reason = :reason, ended_at = pgp_now()
             WHERE id = :id AND state = :source AND state IN ('planned', 'created', 'funding')
            """,
            id=swap_id,
            source=source.value,
            reason=reason,
        )
        == 1
    )


def hand_order_on(tx: Transaction, swap_id: int) -> bool:
    """Let an order that was given up go to another swap: after a restore it turns out that its coins had left. False when it was not given up."""
    return tx.run("UPDATE swap SET provider_id = NULL, payin_address = NULL WHERE id = :id AND state = 'abandoned'", id=swap_id) == 1


# --- what is asked about it


def is_paid_for(tx: Transaction, swap_id: int) -> bool:
    """Whether the transfer that funded a swap is final."""
    return bool(tx.value("SELECT EXISTS (SELECT 1 FROM transfer WHERE swap_id = :id AND state = 'final')", id=swap_id))


def holds(tx: Transaction, swap_id: int) -> int:
    """How often a swap has been put on hold: each time is a matter of its own for a person."""
    return int(tx.value("SELECT count(*) FROM state_history WHERE machine = 'swap' AND subject = :id AND target = 'hold'", id=swap_id))


def review_subject(tx: Transaction, swap_id: int) -> str:
    """What `swap.ended` is about when a swap did not end and a person must look: this hold of the swap, so that the next one is new work."""
    return f"{swap_id}:review:{holds(tx, swap_id)}"


# --- what HOSTPAY asks


def was_looked_at(tx: Transaction, swap_id: int, *, within_s: int) -> bool:
    """Whether the exchange has been asked about a swap within so many seconds."""
    return bool(
        tx.value("SELECT coalesce(vendor_looked_at > pgp_now() - make_interval(secs => :within), false) FROM swap WHERE id = :id", id=swap_id, within=within_s)
    )


def waited_s(tx: Transaction, swap_id: int) -> int:
    """For how many seconds we have waited for the exchange: since our coins were with it, or since it said that they come back."""
    return int(tx.value("SELECT coalesce(floor(extract(epoch FROM pgp_now() - coalesce(ended_at, funded_at))), 0) FROM swap WHERE id = :id", id=swap_id))
