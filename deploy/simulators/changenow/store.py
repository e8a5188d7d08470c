"""What ChangeNOW keeps: quotes, exchanges, deposits seen on the chain, and what it paid out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Lock
from typing import Any

from deploy.simulators.books import Books, Row
from deploy.simulators.chain import purse

SCHEMA = (
    purse.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS rates (source TEXT NOT NULL, target TEXT NOT NULL, rate TEXT, PRIMARY KEY (source, target));
CREATE TABLE IF NOT EXISTS quotes (
    rate_id TEXT PRIMARY KEY, source TEXT NOT NULL, target TEXT NOT NULL,
    from_amount TEXT NOT NULL, to_amount TEXT NOT NULL, valid_until_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS exchanges (
    id TEXT PRIMARY KEY, flow TEXT NOT NULL, type TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, rate_id TEXT,
    from_amount TEXT NOT NULL, to_amount TEXT NOT NULL, amount_from TEXT, amount_to TEXT,
    payin_address TEXT NOT NULL UNIQUE COLLATE NOCASE, payin_extra_id TEXT, payout_address TEXT NOT NULL, payout_extra_id TEXT,
    refund_address TEXT, refund_extra_id TEXT, user_id TEXT, payload TEXT, contact_email TEXT,
    status TEXT NOT NULL, held INTEGER NOT NULL DEFAULT 0, next_step TEXT, next_at REAL,
    payin_hash TEXT, payout_hash TEXT, refund_hash TEXT, refund_amount TEXT,
    valid_until_ms INTEGER, deposit_received_at TEXT, created_at_ms INTEGER NOT NULL, updated_at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS exchanges_due ON exchanges (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS exchanges_waiting ON exchanges (created_at_ms) WHERE status = 'waiting';
CREATE TABLE IF NOT EXISTS deposits (
    tx_hash TEXT NOT NULL, log_index INTEGER NOT NULL, exchange_id TEXT NOT NULL, asset TEXT NOT NULL, units TEXT NOT NULL,
    sender TEXT NOT NULL, block INTEGER NOT NULL, block_time INTEGER NOT NULL, state TEXT NOT NULL, verdict TEXT, seen_at TEXT NOT NULL,
    PRIMARY KEY (tx_hash, log_index)
);
CREATE INDEX IF NOT EXISTS deposits_of ON deposits (exchange_id);
CREATE INDEX IF NOT EXISTS deposits_seen ON deposits (block) WHERE state = 'seen';
CREATE TABLE IF NOT EXISTS payouts (
    exchange_id TEXT NOT NULL, kind TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL, address TEXT NOT NULL, extra_id TEXT,
    hash TEXT NOT NULL, on_chain INTEGER NOT NULL, made_at TEXT NOT NULL, PRIMARY KEY (exchange_id, kind)
);
CREATE TABLE IF NOT EXISTS scanned (one INTEGER PRIMARY KEY CHECK (one = 1), block INTEGER NOT NULL, hash TEXT NOT NULL);
"""
)


@dataclass(frozen=True)
class Terms:
    """How the vendor does business."""

    api_key: str
    seed: str  # pay-in addresses are derived from it
    token: str | None = None  # where usdt:eth lives on the local chain
    spread_percent: Decimal = Decimal("0.4")
    withdrawal_usd: Decimal = Decimal("0.10")
    least_usd: Decimal = Decimal(2)
    refund_fee_percent: Decimal = Decimal(0)
    rate_ttl_s: float = 1200  # a fixed rate holds 20 minutes
    expire_after_s: float = 3600  # how long an exchange is waited for, after its rate has lapsed if it has one
    confirmations: int = 2
    step_s: float = 0.5
    poll_s: float = 0.5


@dataclass(frozen=True)
class Vendor:
    """The books and the terms; the lock keeps the control door and the clerk from moving one exchange at once."""

    books: Books
    terms: Terms
    moving: Lock = field(default_factory=Lock)


def open_books(state_dir: Path) -> Books:
    """Open or make the vendor's books."""
    return Books(state_dir / "changenow.sqlite", SCHEMA)


def insert(books: Books, table: str, row: Mapping[str, Any]) -> None:
    """Add a row."""
    books.run(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})", row)


def exchange(books: Books, exchange_id: str) -> Row | None:
    """Find an exchange."""
    return books.one("SELECT * FROM exchanges WHERE id = ?", (exchange_id,))


def change(books: Books, exchange_id: str, **values: Any) -> None:
    """Write new values into an exchange."""
    values["updated_at_ms"] = now_ms()
    books.run(f"UPDATE exchanges SET {', '.join(f'{name} = :{name}' for name in values)} WHERE id = :id", {**values, "id": exchange_id})


def first_deposit(books: Books, exchange_id: str) -> Row | None:
    """Find the deposit that decided about an exchange."""
    return books.one("SELECT * FROM deposits WHERE exchange_id = ? AND verdict IS NOT NULL AND verdict <> 'extra'", (exchange_id,))


def now_ms() -> int:
    """Give the time in milliseconds."""
    return int(time.time() * 1000)


def iso(epoch_ms: int | None) -> str | None:
    """Write a time as the vendor does: ISO 8601 with milliseconds and Z."""
    if epoch_ms is None:
        return None
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{epoch_ms % 1000:03d}Z"
