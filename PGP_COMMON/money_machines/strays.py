"""What left our wallet without a row of ours: SQL of chain_tx, and what the fence and a restore ask about nonces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from PGP_COMMON.clients.ethereum_answers import ChainTransaction, Mined, read_transfer_call
from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import ledger
from PGP_COMMON.money_machines.rows import Row
from PGP_COMMON.money_machines.wallet import FUNDING, GAS

Explanation = Literal["transfer", "fill", "loss"]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a transaction takes out of the wallet: base units of an asset and to whom; no asset when it moves nothing that we keep books of."""

    asset: str | None
    units: int
    recipient: str | None


def moved(transaction: ChainTransaction, *, token: str) -> Moved:
    """Read what a transaction of ours moves: ETH that it carries, or a plain transfer of the token at this contract."""
    call = read_transfer_call(transaction.data)
    if call is not None and not transaction.value_wei and (transaction.recipient or "").lower() == token.lower():
        return Moved(FUNDING, call[1], call[0]) if call[1] else Moved(None, 0, call[0])
    return Moved(GAS if transaction.value_wei else None, transaction.value_wei, transaction.recipient)


@dataclass(frozen=True)
class Stray(Row):
    """One final transaction of the wallet that no row of ours made. Units are base units of `asset`."""

    tx_hash: str
    wallet_id: int
    nonce: int
    block: int
    asset: str | None
    units: int
    recipient: str | None
    succeeded: bool
    gas_wei: int
    is_booked: bool
    explained_as: str | None


def keep(tx: Transaction, wallet_id: int, mined: Mined, *, token: str) -> bool:
    """Write down a final transaction that is not ours; False when it was known. The caller has seen its block finalized."""
    receipt, what = mined.receipt, moved(mined.transaction, token=token)
    return (
        tx.run(
            """
            INSERT INTO chain_tx (tx_hash, wallet_id, nonce, block, asset, units, recipient, succeeded, gas_wei)
            VALUES (:tx_hash, :wallet_id, :nonce, :block, CAST(:asset AS text), :units, CAST(:recipient AS text), :succeeded, :gas_wei)
            ON CONFLICT (tx_hash) DO NOTHING
            """,
            tx_hash=receipt.tx_hash,
            wallet_id=wallet_id,
            nonce=mined.transaction.nonce,
            block=receipt.block_number,
            asset=what.asset,
            units=what.units,
            recipient=what.recipient,
            succeeded=receipt.succeeded,
            gas_wei=receipt.gas_used * receipt.gas_price_wei,
        )
        == 1
    )


def unexplained(tx: Transaction, wallet_id: int) -> list[Stray]:
    """What nobody has explained yet, in the order of the nonces."""
    return tx.all(
        Stray,
        """
        SELECT tx_hash, wallet_id, nonce, block, asset, units, recipient, succeeded, gas_wei, booked_at IS NOT NULL AS is_booked, explained_as
          FROM chain_tx WHERE wallet_id = :id AND explained_at IS NULL ORDER BY nonce
        """,
        id=wallet_id,
    )


def find(tx: Transaction, tx_hash: str) -> Stray | None:
    """One of them, explained or not; None if there is none of this hash."""
    return tx.one(
        Stray,
        """
        SELECT tx_hash, wallet_id, nonce, block, asset, units, recipient, succeeded, gas_wei, booked_at IS NOT NULL AS is_booked, explained_as
          FROM chain_tx WHERE tx_hash = lower(:tx_hash)
        """,
        tx_hash=tx_hash,
    )


def hint(tx: Transaction, stray: Stray) -> str:
    """What our rows know about where it went, for the person who explains it; nothing when they know nothing."""
    found = tx.value(
        """
        SELECT string_agg(told, '; ') FROM (
            SELECT 'pay-in address of swap ' || s.id || ' (' || s.state || '), order ' || s.provider_id || coalesce(', of payout ' || s.payout_id, '')
                   || coalesce(', of conversion ' || s.conversion_id, '') AS told
              FROM swap s WHERE lower(s.payin_address) = lower(CAST(:recipient AS text))
            UNION ALL
            SELECT 'where owner ' || d.owner_id || ' is paid' FROM payout_details d WHERE lower(d.address) = lower(CAST(:recipient AS text)) GROUP BY d.owner_id
            UNION ALL
            SELECT 'nonce of transfer ' || t.id || ' (' || t.state || '), which says something else' FROM transfer t
             WHERE t.wallet_id = :wallet AND t.nonce = :nonce AND t.state <> 'superseded') rows
        """,
        recipient=stray.recipient,
        wallet=stray.wallet_id,
        nonce=stray.nonce,
    )
    return str(found or "")


def explain(tx: Transaction, tx_hash: str, *, as_: Explanation, transfer_id: int | None = None) -> bool:
    """Write down what it was; False when somebody was first. What a transfer or a fill books is not booked here again."""
    return (
        tx.run(
            """
            UPDATE chain_tx SET explained_at = pgp_now(), explained_as = :as, transfer_id = CAST(:transfer_id AS bigint),
                   booked_at = coalesce(booked_at, pgp_now())
             WHERE tx_hash = :tx_hash AND explained_at IS NULL
            """,
            **{"as": as_},
            tx_hash=tx_hash,
            transfer_id=transfer_id,
        )
        == 1
    )


def book_gas(tx: Transaction, stray: Stray) -> None:
    """Post what it burned, once."""
    if stray.gas_wei:
        lines = [ledger.debit(ledger.gas_expense(GAS), stray.gas_wei), ledger.credit(ledger.wallet(GAS), stray.gas_wei)]
        ledger.post(tx, "transfer.gas", stray.tx_hash, lines)


def book(tx: Transaction, stray: Stray) -> bool:
    """Post that its units have left, toward nothing known yet; False when they were posted before. In a transaction of its own, after `book_gas`."""
    is_first = tx.run("UPDATE chain_tx SET booked_at = pgp_now() WHERE tx_hash = :tx_hash AND booked_at IS NULL", tx_hash=stray.tx_hash) == 1
    if is_first and stray.succeeded and stray.asset is not None and stray.units:
        lines = [ledger.debit(ledger.in_flight(stray.asset), stray.units), ledger.credit(ledger.wallet(stray.asset), stray.units)]
        ledger.post(tx, "transfer.found", stray.tx_hash, lines)
    return is_first


def lose(tx: Transaction, stray: Stray) -> bool:
    """Explain it as a loss of the platform's and post that; False when somebody was first. It has been booked before."""
    if not explain(tx, stray.tx_hash, as_="loss"):
        return False
    if stray.succeeded and stray.asset is not None and stray.units:
        lines = [ledger.debit(ledger.loss_expense(stray.asset), stray.units), ledger.credit(ledger.in_flight(stray.asset), stray.units)]
        ledger.post(tx, "transfer.loss", stray.tx_hash, lines)
    return True


# --- nonces


@dataclass(frozen=True)
class Used(Row):
    """A transfer under way whose nonce is used up, with every hash that may rightly have it."""

    transfer_id: int
    nonce: int
    hashes: list[str]


def used_below(tx: Transaction, wallet_id: int, *, nonce: int) -> list[Used]:
    """Transfers that are not over although something with their nonce is final."""
    return tx.all(
        Used,
        """
        SELECT t.id AS transfer_id, t.nonce,
               ARRAY(SELECT a.tx_hash FROM transfer_attempt a WHERE a.transfer_id = t.id
                     UNION SELECT f.tx_hash FROM nonce_fill f WHERE f.wallet_id = t.wallet_id AND f.nonce = t.nonce
                     UNION SELECT c.tx_hash FROM chain_tx c WHERE c.wallet_id = t.wallet_id AND c.nonce = t.nonce) AS hashes
          FROM transfer t
         WHERE t.wallet_id = :id AND t.state IN ('signed', 'broadcast', 'mined', 'stuck') AND t.nonce < :nonce ORDER BY t.nonce
        """,
        id=wallet_id,
        nonce=nonce,
    )


def missing(tx: Transaction, wallet_id: int, *, upto: int) -> list[int]:
    """The nonces before `upto` that no transfer, no fill and no stray of ours has, the first hundred of them."""
    found = tx.value(
        """
        SELECT array_agg(n) FROM (
            SELECT n FROM wallet w, generate_series(w.first_nonce, CAST(:upto AS bigint) - 1) n
             WHERE w.id = :id
               AND NOT EXISTS (SELECT 1 FROM transfer t WHERE t.wallet_id = w.id AND t.nonce = n AND t.state <> 'superseded')
               AND NOT EXISTS (SELECT 1 FROM nonce_fill f WHERE f.wallet_id = w.id AND f.nonce = n)
               AND NOT EXISTS (SELECT 1 FROM chain_tx c WHERE c.wallet_id = w.id AND c.nonce = n)
             ORDER BY n LIMIT 100) gaps
        """,
        id=wallet_id,
        upto=upto,
    )
    return [int(nonce) for nonce in found or []]


def is_filling(tx: Transaction, wallet_id: int) -> bool:
    """Whether nonces from before a restore are still being taken: until then nothing else is signed."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (SELECT 1 FROM transfer WHERE wallet_id = :id AND purpose = 'fill'
                              AND state NOT IN ('final', 'failed_onchain', 'cancelled', 'superseded'))
            """,
            id=wallet_id,
        )
    )
