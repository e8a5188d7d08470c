"""What NOWPayments keeps: invoices, payments, and callbacks with every attempt to deliver them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

from deploy.simulators.books import Books, Row
from deploy.simulators.chain import purse

SCHEMA = (
    purse.SCHEMA
    + """
CREATE TABLE IF NOT EXISTS rates (coin TEXT PRIMARY KEY, usd TEXT);
CREATE TABLE IF NOT EXISTS invoices (
    id INTEGER PRIMARY KEY, token_id TEXT NOT NULL, order_id TEXT, order_description TEXT,
    price_amount TEXT NOT NULL, price_currency TEXT NOT NULL, pay_currency TEXT,
    ipn_callback_url TEXT, invoice_url TEXT NOT NULL, success_url TEXT, cancel_url TEXT, partially_paid_url TEXT,
    is_fixed_rate INTEGER NOT NULL, is_fee_paid_by_user INTEGER NOT NULL, created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS payments (
    id INTEGER PRIMARY KEY, invoice_id INTEGER, parent_payment_id INTEGER, purchase_id INTEGER NOT NULL,
    payment_status TEXT NOT NULL, plan TEXT NOT NULL, next_move_at REAL, pace_s REAL NOT NULL,
    pay_address TEXT NOT NULL, price_amount TEXT NOT NULL, price_currency TEXT NOT NULL,
    pay_amount TEXT NOT NULL, will_pay TEXT NOT NULL, actually_paid TEXT NOT NULL, pay_currency TEXT NOT NULL,
    order_id TEXT, order_description TEXT, ipn_callback_url TEXT, is_fixed_rate INTEGER NOT NULL,
    outcome_amount TEXT NOT NULL, outcome_currency TEXT NOT NULL, service_fee TEXT NOT NULL,
    ipn_overrides TEXT, payin_hash TEXT, payout_state TEXT NOT NULL, payout_hash TEXT,
    created_at TEXT NOT NULL, updated_at_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS payments_invoice ON payments (invoice_id);
CREATE INDEX IF NOT EXISTS payments_parent ON payments (parent_payment_id);
CREATE INDEX IF NOT EXISTS payments_move ON payments (next_move_at) WHERE next_move_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS payments_waiting ON payments (created_at) WHERE payment_status = 'waiting';
CREATE INDEX IF NOT EXISTS payments_due ON payments (id) WHERE payout_state = 'due';
CREATE TABLE IF NOT EXISTS ipns (
    id INTEGER PRIMARY KEY, payment_id INTEGER, payment_status TEXT, url TEXT NOT NULL, body BLOB NOT NULL,
    state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, created_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS ipns_due ON ipns (next_at) WHERE state = 'due';
CREATE TABLE IF NOT EXISTS ipn_attempts (
    ipn_id INTEGER NOT NULL, at TEXT NOT NULL, took_ms INTEGER NOT NULL, answer INTEGER, trouble TEXT
);
CREATE INDEX IF NOT EXISTS attempts_of ON ipn_attempts (ipn_id);
"""
)


@dataclass(frozen=True)
class Account:
    """A merchant's account and its settings in the vendor's dashboard."""

    api_key: str
    ipn_secret: str
    email: str
    password: str
    payout_address: str
    payout_currency: str = "eth"
    token: str | None = None  # where usdterc20 lives on the local chain
    service_fee_percent: Decimal = Decimal("0.5")
    ipn_repeats: int = 3  # the vendor's example: 3 repeats, 1 minute apart
    ipn_interval_s: float = 60
    status_pace_s: float = 0
    expiry_s: float = 7 * 24 * 3600


@dataclass(frozen=True)
class Vendor:
    """The books, the merchant's account, and the bells that wake the workers."""

    books: Books
    account: Account
    ipn_bell: Event = field(default_factory=Event)
    payout_bell: Event = field(default_factory=Event)


def open_books(state_dir: Path) -> Books:
    """Open or make the vendor's books."""
    return Books(state_dir / "nowpayments.sqlite", SCHEMA)


def insert(books: Books, table: str, row: Mapping[str, Any]) -> None:
    """Add a row."""
    names = ", ".join(row)
    books.run(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + name for name in row)})", row)


def invoice(books: Books, invoice_id: str) -> Row | None:
    """Find an invoice by its id as it stands in an address or a body."""
    return books.one("SELECT * FROM invoices WHERE id = ?", (invoice_id,)) if is_id(invoice_id) else None


def payment(books: Books, payment_id: str | int) -> Row | None:
    """Find a payment by its id."""
    return books.one("SELECT * FROM payments WHERE id = ?", (payment_id,)) if is_id(str(payment_id)) else None


def children(books: Books, payment_id: int) -> list[int]:
    """Give the repeated deposits to a payment's address."""
    return [row["id"] for row in books.all("SELECT id FROM payments WHERE parent_payment_id = ? ORDER BY created_at, id", (payment_id,))]


def ipns_with_attempts(books: Books) -> list[Row]:
    """Give every callback with what came of it."""
    attempts: dict[int, list[Row]] = {}
    for row in books.all("SELECT * FROM ipn_attempts ORDER BY rowid"):
        attempts.setdefault(row.pop("ipn_id"), []).append(row)
    ipns = books.all("SELECT * FROM ipns ORDER BY id")
    return [{**row, "body": bytes(row["body"]).decode(), "answers": attempts.get(row["id"], [])} for row in ipns]


def is_id(text: str) -> bool:
    """Tell whether this could be one of the vendor's ids."""
    return text.isascii() and text.isdigit() and len(text) < 16


def new_id() -> int:
    """Make an id of ten digits, as the vendor's are."""
    return secrets.randbelow(9 * 10**9) + 10**9


def now_iso() -> str:
    """Give the time as the vendor writes it."""
    return iso(int(time.time() * 1000))


def iso(epoch_ms: int) -> str:
    """Write a time in milliseconds as ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(epoch_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{epoch_ms % 1000:03d}Z"
