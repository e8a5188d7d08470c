"""This is the chest: what the wallet and the vendor hold by the books, and for whom, so that both sides add up to the unit. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.rows import Row


@dataclass(frozen=True)
class Chest(Row):
    """One asset, in base units: where it is, and whose it is. `other`: accounts that nobody here knows, which is a bug."""

    asset: str
    decimals: int
    wallet: int
    in_flight: int
    np_transit: int
    pending: int
    converting: int
    available: int
    reserved: int
    suspense: int
    arrivals: int
    equity: int
    fees: int
    gas: int
    swaps: int
    losses: int
    other: int

    @property
    def held(self) -> int:
        """Everything, by where it is: in the wallet, signed away and not settled, still at the vendor."""
        return self.wallet + self.in_flight + self.np_transit

    @property
    def owners(self) -> int:
        """What owners are owed."""
        return self.pending + self.converting + self.available + self.reserved

    @property
    def own(self) -> int:
        """The platform's: its deposits and fees, less what gas, exchanges and losses have cost."""
        return self.equity + self.fees - self.gas - self.swaps - self.losses

    @property
    def whose(self) -> int:
        """Everything, by whose it is; the same as `held`, or the books are broken."""
        return self.owners + self.suspense + self.arrivals + self.own + self.other


def chests(tx: Transaction) -> list[Chest]:
    """Every asset that the books have, from one snapshot."""
    return tx.all(
        Chest,
        """
        SELECT asset, decimals, coalesce(sum(b) FILTER (WHERE code = 'wallet'), 0) AS wallet, coalesce(sum(b) FILTER (WHERE code = 'in_flight'), 0) AS in_flight,
               coalesce(sum(b) FILTER (WHERE code = 'np_transit'), 0) AS np_transit,
               coalesce(-sum(b) FILTER (WHERE purse = 'pending'), 0) AS pending, coalesce(-sum(b) FILTER (WHERE purse = 'converting'), 0) AS converting,
               coalesce(-sum(b) FILTER (WHERE purse = 'available'), 0) AS available, coalesce(-sum(b) FILTER (WHERE purse = 'reserved'), 0) AS reserved,
               coalesce(-sum(b) FILTER (WHERE code = 'suspense'), 0) AS suspense, coalesce(-sum(b) FILTER (WHERE code = 'arrivals'), 0) AS arrivals,
               coalesce(-sum(b) FILTER (WHERE code = 'equity'), 0) AS equity, coalesce(-sum(b) FILTER (WHERE code = 'income:fee'), 0) AS fees,
               coalesce(sum(b) FILTER (WHERE code = 'expense:gas'), 0) AS gas, coalesce(sum(b) FILTER (WHERE code = 'expense:swap'), 0) AS swaps,
               coalesce(sum(b) FILTER (WHERE code = 'expense:loss'), 0) AS losses,
               coalesce(-sum(b) FILTER (WHERE purse = '' AND code NOT IN ('wallet', 'in_flight', 'np_transit', 'suspense', 'arrivals', 'equity',
                        'income:fee', 'expense:gas', 'expense:swap', 'expense:loss')), 0) AS other
          FROM (SELECT a.asset, k.decimals, a.code, CASE WHEN a.owner_id IS NULL THEN '' ELSE split_part(a.code, ':', 3) END AS purse, a.balance AS b
                  FROM ledger_account a JOIN currency_to_network k ON k.asset = a.asset) accounts
         GROUP BY asset, decimals ORDER BY asset
        """,
    )


@dataclass(frozen=True)
class Waiting:
    """A payout or conversion that waits for the wallet, and what it says why."""

    what: str
    id: int
    state: str
    why: str


def waiting(tx: Transaction) -> list[Waiting]:
    """What waits for gas, for USDT or for a slot of the wallet: payouts before they are priced, and transfers before they are signed."""
    return tx.all(
        Waiting,
        """
        SELECT 'payout' AS what, id, state, reason AS why FROM split_payout_que WHERE state IN ('reserved', 'quoted', 'swap_ready', 'funding') AND reason IS NOT NULL
        UNION ALL
        SELECT 'transfer', t.id, t.purpose, coalesce(CASE WHEN t.purpose <> 'treasury' THEN t.reason END, w.last_error, 'not looked at yet')
          FROM transfer t LEFT JOIN work w ON w.step = 'transfer.sign' AND w.subject = CAST(t.id AS text) WHERE t.state = 'requested'
        ORDER BY 1, 2
        """,
    )


# --- what an announcement is held against


def known_cause(tx: Transaction, tx_hash: str) -> str | None:
    """What a transaction is known to bring that is not the platform's own, or None."""
    found = tx.value(
        """
        SELECT 'the money of payment ' || provider_id FROM processed_payments WHERE payout_hash = :hash
        UNION ALL SELECT 'what swap ' || id || ' bought' FROM swap WHERE payout_hash = :hash
        UNION ALL SELECT 'what swap ' || id || ' sent back' FROM swap WHERE refund_hash = :hash LIMIT 1
        """,
        hash=tx_hash,
    )
    return None if found is None else str(found)


def look_of(tx: Transaction, tx_hash: str) -> str:
    """How the look for a transaction stands: `open`, `done` or `dead`; `open` too when it is only asked for now."""
    return str(tx.value("SELECT state FROM work WHERE step = 'arrival.look' AND subject = :hash", hash=tx_hash) or "open")


def unbooked_looks(tx: Transaction) -> list[str]:
    """Transactions that are still looked for and have brought nothing into the books yet: each may be what makes the chain differ."""
    found = tx.value(
        """
        SELECT array_agg(w.subject ORDER BY w.id) FROM work w
         WHERE w.step = 'arrival.look' AND w.state = 'open' AND NOT EXISTS (SELECT 1 FROM arrival r WHERE r.tx_hash = w.subject)
        """
    )
    return list(found or [])


def same_withdrawal(tx: Transaction, *, asset: str, units: int, recipient: str) -> int | None:
    """A withdrawal of the same units to the same address that is not over, or None."""
    found = tx.value(
        """
        SELECT max(id) FROM transfer
         WHERE purpose = 'treasury' AND asset = :asset AND units = :units AND lower(recipient) = lower(:recipient)
           AND state IN ('requested', 'signed', 'broadcast', 'mined', 'stuck')
        """,
        asset=asset,
        units=units,
        recipient=recipient,
    )
    return None if found is None else int(found)
