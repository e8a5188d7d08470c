"""How things stand, for people: open letters, pauses, and the wallet beside its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class Letter:
    """Something that waits for a person."""

    source: str
    subject: str
    reason: str


@dataclass(frozen=True)
class WalletStanding:
    """The wallet in one asset, as the ledger has it (base units)."""

    address: str
    chain_id: int
    next_nonce: int
    asset: str
    ledger_units: Decimal
    unfinal_units: Decimal
    gas_unbooked: int


@dataclass(frozen=True)
class Sent:
    """A transfer that we hold to be final."""

    id: int
    tx_hash: str


@dataclass(frozen=True)
class ScheduledRun:
    """One run of a schedule: `subject` is the time that it was for; `outcome` has its counts. An end without one is a dead run."""

    step: str
    subject: str
    started_at: datetime | None
    done_at: datetime | None
    state: str
    outcome: str | None
    last_error: str | None
    correlation: str


def open_letters(tx: Transaction) -> list[Letter]:
    """Dead letters that nobody has resolved, oldest first."""
    return tx.all(Letter, "SELECT source, subject, reason FROM failed_transactions WHERE resolved_at IS NULL ORDER BY id LIMIT 100")


def pauses(tx: Transaction) -> list[Letter]:
    """What is switched off, and which vendors are left alone right now."""
    return tx.all(
        Letter,
        """
        SELECT 'switch ' || switch AS source, CAST(since AS text) AS subject, reason FROM machine_pause
        UNION ALL SELECT 'vendor ' || vendor, CAST(until AS text), reason FROM vendor_pause WHERE until > pgp_now()
        """,
    )


def scheduled_runs(tx: Transaction, steps: Sequence[str], *, limit: int) -> list[ScheduledRun]:
    """The newest runs of these steps, so many of each, the newest first. They are kept for WORK_RETENTION_S."""
    return tx.all(
        ScheduledRun,
        """
        SELECT w.step, w.subject, w.started_at, w.done_at, w.state, w.outcome, w.last_error, w.correlation
          FROM unnest(CAST(:steps AS text[])) AS s (step)
          CROSS JOIN LATERAL (SELECT step, subject, started_at, done_at, state, outcome, last_error, correlation, id FROM work
                               WHERE step = s.step ORDER BY id DESC LIMIT :limit) w
         ORDER BY w.id DESC
        """,
        steps=list(steps),
        limit=limit,
    )


def frozen_wallets(tx: Transaction) -> list[Letter]:
    """Wallets that may not sign."""
    return tx.all(Letter, "SELECT 'wallet' AS source, address AS subject, frozen_because(w) AS reason FROM wallet w WHERE frozen_because(w) IS NOT NULL")


@dataclass(frozen=True)
class Signed:
    """So many open units of work of a step carry a signature of one key."""

    step: str
    kid: str
    count: int


def signed_with(tx: Transaction) -> list[Signed]:
    """Which keys open work is signed with: a key may go when no work carries it."""
    return tx.all(
        Signed,
        """
        SELECT step, substring(signature FROM '^v1=([^:]+):') AS kid, count(*) AS count FROM work WHERE state = 'open' GROUP BY 1, 2 ORDER BY 1, 2
        """,
    )


def wallet_standing(tx: Transaction) -> list[WalletStanding]:
    """What the chain should show for our wallet: the ledger, plus what is signed and not final, less what left and is not booked."""
    return tx.all(
        WalletStanding,
        """
        SELECT w.address, w.chain_id, w.next_nonce, a.asset, a.balance AS ledger_units,
               coalesce((SELECT sum(t.units) FROM transfer t WHERE t.wallet_id = w.id AND t.asset = a.asset
                          AND t.state IN ('signed', 'broadcast', 'mined', 'stuck')), 0)
               - coalesce((SELECT sum(c.units) FROM chain_tx c WHERE c.wallet_id = w.id AND c.asset = a.asset AND c.succeeded AND c.booked_at IS NULL), 0)
               - CASE a.asset WHEN 'eth' THEN coalesce((SELECT sum(c.gas_wei) FROM chain_tx c WHERE c.wallet_id = w.id AND c.booked_at IS NULL), 0) ELSE 0 END
               AS unfinal_units,
               (SELECT count(*) FROM transfer t WHERE t.wallet_id = w.id AND t.state IN ('signed', 'broadcast', 'mined', 'stuck')) AS gas_unbooked
          FROM wallet w CROSS JOIN ledger_account a WHERE a.code = 'wallet' ORDER BY a.asset
        """,
    )


def final_transfers(tx: Transaction) -> list[Sent]:
    """The newest transfers that we hold to be final, with their hashes; the older ones have been compared with the chain before."""
    return tx.all(Sent, "SELECT id, mined_hash AS tx_hash FROM transfer WHERE state = 'final' ORDER BY id DESC LIMIT 20")
