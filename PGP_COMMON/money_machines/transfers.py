"""What our wallet sends: states and SQL of transfer, transfer_attempt and nonce_fill."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString

from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import NotFound
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.states import Machine


class Transfer(enum.StrEnum):
    """Who acts next stands beside each state."""

    REQUESTED = "requested"  # wanted, no nonce yet: HOSTPAY3 acts
    SIGNED = "signed"  # its nonce and bytes are kept for ever: HOSTPAY3 acts
    BROADCAST = "broadcast"  # in a pool: the chain acts
    MINED = "mined"  # in a block: the chain acts
    FINAL = "final"  # in a finalized block: the end
    FAILED_ONCHAIN = "failed_onchain"  # mined, but it failed: the end
    CANCELLED = "cancelled"  # given up before it was signed: the end
    STUCK = "stuck"  # its nonce was used by something else: an operator acts
    SUPERSEDED = "superseded"  # its nonce is, or was, another transaction's: the end, unless the chain says otherwise


TRANSFER_LIFE = Machine(
    "transfer",
    Transfer,
    Transfer.REQUESTED,
    {
        Transfer.REQUESTED: {Transfer.SIGNED, Transfer.CANCELLED},
        Transfer.SIGNED: {Transfer.BROADCAST, Transfer.STUCK},
        Transfer.BROADCAST: {Transfer.MINED, Transfer.STUCK},
        Transfer.MINED: {Transfer.FINAL, Transfer.FAILED_ONCHAIN, Transfer.BROADCAST},
        Transfer.FINAL: set(),
        Transfer.FAILED_ONCHAIN: set(),
        Transfer.CANCELLED: set(),
        Transfer.STUCK: {Transfer.BROADCAST, Transfer.SUPERSEDED},
        Transfer.SUPERSEDED: {Transfer.BROADCAST},
    },
)

Purpose = Literal["swap", "direct", "treasury", "refund", "fill"]


@dataclass(frozen=True)
class TransferRow(Row):
    """One transfer. Its asset, recipient and units never change, nor its nonce once it has one. `sender` is the wallet's address."""

    id: int
    wallet_id: int
    sender: str
    purpose: str
    swap_id: int | None
    payout_id: int | None
    payment_id: int | None
    asset: str
    recipient: str
    units: int
    deadline: datetime | None
    state: str
    nonce: int | None
    calldata_hash: bytes | None
    max_total_fee_wei: int | None
    mined_hash: str | None
    mined_block: int | None
    mined_block_hash: str | None
    missing: int
    gas_wei: int | None
    reason: str | None
    now: datetime


@dataclass(frozen=True)
class AttemptRow(Row):
    """One signed form of a transfer, kept for ever. Fees are wei per gas."""

    seq: int
    raw: bytes
    tx_hash: str
    gas_limit: int
    max_fee_wei: int
    max_priority_wei: int
    created_at: datetime


@dataclass(frozen=True)
class FillRow(Row):
    """A self-transfer that an operator signed to take the nonce of a stuck transfer; without bytes what took it by itself."""

    raw: bytes
    tx_hash: str


def get(tx: Transaction, transfer_id: int) -> TransferRow:
    """A transfer as it is, with the database's time; raises NotFound."""
    found = tx.one(
        TransferRow,
        """
        SELECT t.id, t.wallet_id, w.address AS sender, t.purpose, t.swap_id, t.payout_id, t.payment_id, t.asset, t.recipient, t.units, t.deadline, t.state,
               t.nonce, t.calldata_hash, t.max_total_fee_wei, t.mined_hash, t.mined_block, t.mined_block_hash, t.missing, t.gas_wei, t.reason,
               pgp_now() AS now
          FROM transfer t JOIN wallet w ON w.id = t.wallet_id WHERE t.id = :id
        """,
        id=transfer_id,
    )
    if found is None:
        raise NotFound("there is no such transfer", transfer=transfer_id)
    return found


def lock(tx: Transaction, transfer_id: int) -> TransferRow:
    """A transfer as it is, locked until the transaction ends; raises NotFound. Payout and swap are locked before it, the wallet after it."""
    tx.value("SELECT id FROM transfer WHERE id = :id FOR UPDATE", id=transfer_id)
    return get(tx, transfer_id)


def attempts(tx: Transaction, transfer_id: int) -> list[AttemptRow]:
    """Every attempt of a transfer, the newest last."""
    return tx.all(
        AttemptRow,
        "SELECT seq, raw, tx_hash, gas_limit, max_fee_wei, max_priority_wei, created_at FROM transfer_attempt WHERE transfer_id = :id ORDER BY seq",
        id=transfer_id,
    )


def fills(tx: Transaction, *, wallet_id: int, nonce: int) -> list[FillRow]:
    """What is to take a nonce from a transfer that was given up, or took it, the newest last."""
    return tx.all(
        FillRow,
        "SELECT raw, tx_hash FROM nonce_fill WHERE wallet_id = :wallet_id AND nonce = :nonce ORDER BY created_at, tx_hash",
        wallet_id=wallet_id,
        nonce=nonce,
    )


def request(
    tx: Transaction,
    *,
    wallet_id: int,
    purpose: Purpose,
    asset: str,
    recipient: str,
    units: int,
    deadline: datetime | None = None,
    swap_id: int | None = None,
    payout_id: int | None = None,
    payment_id: int | None = None,
    reason: str | None = None,
) -> int | None:
    """Ask for a transfer of so many base units; gives back its id, or None when the swap or the payout has one that is not given up.

    For purpose `treasury`, `reason` names the ledger account that it takes from (`equity` or `income:fee`).
    """
    made = tx.value(
        """
        INSERT INTO transfer (wallet_id, purpose, swap_id, payout_id, payment_id, asset, recipient, units, deadline, reason)
        VALUES (:wallet_id, :purpose, CAST(:swap_id AS bigint), CAST(:payout_id AS bigint), CAST(:payment_id AS bigint), :asset, :recipient, :units,
                CAST(:deadline AS timestamptz), CAST(:reason AS text))
        ON CONFLICT DO NOTHING
        RETURNING id
        """,
        wallet_id=wallet_id,
        purpose=purpose,
        asset=asset,
        recipient=recipient,
        units=units,
        deadline=deadline,
        swap_id=swap_id,
        payout_id=payout_id,
        payment_id=payment_id,
        reason=reason,
    )
    return None if made is None else int(made)


# --- before it is signed


def why_not(tx: Transaction, transfer_id: int, *, margin_s: int) -> str | None:
    """Why a requested transfer may not be signed any more, or None: its deadline, or that it differs from what it is for."""
    found = tx.value(
        """
        SELECT CASE
               WHEN t.purpose = 'swap' AND (s.state <> 'funding' OR lower(s.payin_address) <> lower(t.recipient) OR s.from_units <> t.units
                    OR s.from_asset <> t.asset) THEN 'differs from its swap'
               WHEN t.purpose = 'direct' AND (p.state <> 'funding' OR lower(p.address) <> lower(t.recipient) OR p.units <> t.units OR p.asset <> t.asset
                    OR p.payout_asset <> p.asset) THEN 'differs from its payout'
               WHEN t.purpose = 'refund' AND (y.outcome_asset <> t.asset OR y.suspense_units < t.units) THEN 'differs from its payment'
               WHEN (lower(w.address) = lower(t.recipient)) <> (t.purpose = 'fill') THEN 'goes to the wallet itself'
               WHEN least(t.deadline, s.deadline) < pgp_now() + make_interval(secs => :margin) THEN 'deadline too near'
               ELSE '' END
          FROM transfer t JOIN wallet w ON w.id = t.wallet_id LEFT JOIN swap s ON s.id = t.swap_id LEFT JOIN split_payout_que p ON p.id = t.payout_id
               LEFT JOIN processed_payments y ON y.id = t.payment_id
         WHERE t.id = :id
        """,
        id=transfer_id,
        margin=margin_s,
    )
    return str(found) if found else None


def ahead(tx: Transaction, transfer_id: int) -> int:
    """How many transfers of the same wallet were asked for earlier and still wait to be signed."""
    return int(
        tx.value(
            "SELECT count(*) FROM transfer t JOIN transfer o ON o.wallet_id = t.wallet_id AND o.state = 'requested' AND o.id < t.id WHERE t.id = :id",
            id=transfer_id,
        )
    )


def cancel(tx: Transaction, transfer_id: int, *, reason: str) -> bool:
    """Move requested → cancelled: it was never signed and never will be."""
    return tx.run("UPDATE transfer SET state = 'cancelled', reason = :reason WHERE id = :id AND state = 'requested'", id=transfer_id, reason=reason) == 1


def note(tx: Transaction, transfer_id: int, *, reason: str) -> None:
    """Keep why a transfer waits to be signed; moves nothing. A treasury transfer's reason is its account and stays."""
    tx.run("UPDATE transfer SET reason = :reason WHERE id = :id AND state = 'requested' AND purpose <> 'treasury'", id=transfer_id, reason=reason)


def sign(tx: Transaction, transfer_id: int, *, nonce: int, calldata_hash: bytes, max_total_fee_wei: int) -> bool:
    """Move requested → signed: this nonce is the transfer's for ever."""
    return (
        tx.run(
            """
            UPDATE transfer SET state = 'signed', nonce = :nonce, calldata_hash = :hash, max_total_fee_wei = :cap, signed_at = pgp_now(),
                   reason = CASE WHEN purpose = 'treasury' THEN reason END
             WHERE id = :id AND state = 'requested'
            """,
            id=transfer_id,
            nonce=nonce,
            hash=calldata_hash,
            cap=max_total_fee_wei,
        )
        == 1
    )


def keep_attempt(tx: Transaction, transfer_id: int, *, raw: bytes, tx_hash: str, gas_limit: int, max_fee_wei: int, max_priority_wei: int) -> int:
    """Keep signed bytes as the transfer's next attempt, before anybody is given them; gives back its number, from 1 on."""
    return int(
        tx.value(
            """
            INSERT INTO transfer_attempt (transfer_id, seq, wallet_id, nonce, asset, recipient, units, calldata_hash, raw, tx_hash, gas_limit, max_fee_wei,
                                          max_priority_wei)
            SELECT t.id, 1 + (SELECT count(*) FROM transfer_attempt WHERE transfer_id = t.id), t.wallet_id, t.nonce, t.asset, t.recipient, t.units,
                   t.calldata_hash, :raw, :tx_hash, :gas_limit, :max_fee_wei, :max_priority_wei
              FROM transfer t WHERE t.id = :id
            RETURNING seq
            """,
            id=transfer_id,
            raw=raw,
            tx_hash=tx_hash,
            gas_limit=gas_limit,
            max_fee_wei=max_fee_wei,
            max_priority_wei=max_priority_wei,
        )
    )


# --- after it is signed


def newest_before(tx: Transaction, transfer_id: int) -> list[AttemptRow]:
    """The newest attempt of every transfer of the same wallet that comes before this one and is not in a block, in the order of their nonces."""
    return tx.all(
        AttemptRow,
        """
        SELECT a.seq, a.raw, a.tx_hash, a.gas_limit, a.max_fee_wei, a.max_priority_wei, a.created_at
          FROM transfer t JOIN transfer b ON b.wallet_id = t.wallet_id AND b.nonce < t.nonce AND b.state IN ('signed', 'broadcast')
               JOIN transfer_attempt a ON a.transfer_id = b.id AND a.seq = (SELECT max(seq) FROM transfer_attempt WHERE transfer_id = b.id)
         WHERE t.id = :id ORDER BY b.nonce
        """,
        id=transfer_id,
    )


def broadcast(tx: Transaction, transfer_id: int) -> bool:
    """Move signed → broadcast, or stay: it is in a pool, and whatever was counted is forgotten."""
    return tx.run("UPDATE transfer SET state = 'broadcast', missing = 0 WHERE id = :id AND state IN ('signed', 'broadcast')", id=transfer_id) == 1


def mine(tx: Transaction, transfer_id: int, *, tx_hash: str, block: int, block_hash: str) -> bool:
    """Move broadcast → mined, or keep that another block has it now."""
    return (
        tx.run(
            """
            UPDATE transfer SET state = 'mined', mined_hash = :hash, mined_block = :block, mined_block_hash = :block_hash, missing = 0
             WHERE id = :id AND state IN ('broadcast', 'mined')
            """,
            id=transfer_id,
            hash=tx_hash,
            block=block,
            block_hash=block_hash,
        )
        == 1
    )


def take_back(tx: Transaction, transfer_id: int) -> bool:
    """Move mined → broadcast: a re-organisation took its block away."""
    return (
        tx.run(
            """
            UPDATE transfer SET state = 'broadcast', mined_hash = NULL, mined_block = NULL, mined_block_hash = NULL, missing = 0
             WHERE id = :id AND state = 'mined'
            """,
            id=transfer_id,
        )
        == 1
    )


def count_missing(tx: Transaction, transfer_id: int, *, looks: int) -> None:
    """Keep how many looks in a row did not find what they should; moves nothing."""
    tx.run("UPDATE transfer SET missing = :looks WHERE id = :id", id=transfer_id, looks=looks)


def finish(tx: Transaction, transfer_id: int, *, gas_wei: int) -> bool:
    """Move mined → final: nothing takes it back."""
    return _end(tx, transfer_id, "final", gas_wei=gas_wei)


def fail(tx: Transaction, transfer_id: int, *, gas_wei: int) -> bool:
    """Move mined → failed_onchain: its gas is gone, its units never left."""
    return _end(tx, transfer_id, "failed_onchain", gas_wei=gas_wei)


def _end(tx: Transaction, transfer_id: int, state: Literal["final", "failed_onchain"], *, gas_wei: int) -> bool:
    statement: LiteralString = "UPDATE transfer SET state = :state, gas_wei = :gas, final_at = pgp_now() WHERE id = :id AND state = 'mined'"
    return tx.run(statement, id=transfer_id, state=state, gas=gas_wei) == 1


def stick(tx: Transaction, transfer_id: int, *, reason: str) -> bool:
    """Move signed or broadcast → stuck: somebody else used its nonce; an operator acts. A treasury transfer's reason is its account and stays."""
    return (
        tx.run(
            """
            UPDATE transfer SET state = 'stuck', reason = CASE WHEN purpose = 'treasury' THEN reason ELSE :reason END
             WHERE id = :id AND state IN ('signed', 'broadcast')
            """,
            id=transfer_id,
            reason=reason,
        )
        == 1
    )


def resume(tx: Transaction, transfer_id: int) -> bool:
    """Move stuck or superseded → broadcast: an operator found that its nonce is its own after all."""
    return tx.run("UPDATE transfer SET state = 'broadcast', missing = 0 WHERE id = :id AND state IN ('stuck', 'superseded')", id=transfer_id) == 1


def supersede(tx: Transaction, transfer_id: int, *, raw: bytes, tx_hash: str, reason: str) -> bool:
    """Move stuck → superseded, with the operator's signed self-transfer that takes its nonce."""
    moved = tx.run(
        """
        UPDATE transfer SET state = 'superseded', reason = CASE WHEN purpose = 'treasury' THEN reason ELSE :reason END
         WHERE id = :id AND state = 'stuck'
        """,
        id=transfer_id,
        reason=reason,
    )
    if moved:
        tx.run(
            """
            INSERT INTO nonce_fill (wallet_id, nonce, tx_hash, raw, reason)
            SELECT wallet_id, nonce, :tx_hash, :raw, :reason FROM transfer WHERE id = :id
            """,
            id=transfer_id,
            tx_hash=tx_hash,
            raw=raw,
            reason=reason,
        )
    return moved == 1


# --- what reconciliation asks


def is_ours(tx: Transaction, tx_hash: str) -> bool:
    """Whether a transaction is one of our attempts or an operator's fill."""
    return bool(
        tx.value(
            "SELECT EXISTS (SELECT 1 FROM transfer_attempt WHERE tx_hash = :hash) OR EXISTS (SELECT 1 FROM nonce_fill WHERE tx_hash = :hash)",
            hash=tx_hash,
        )
    )
