"""Every SQL statement on where an owner is paid, and what he sees of his payouts and balances."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from PGP_COMMON.database import Transaction


@dataclass(frozen=True)
class DetailsRow:
    """Where an owner is paid: now (`usable`), or soon."""

    id: int
    asset: str
    address: str
    extra_id: str | None
    usable_from: datetime
    usable: bool


@dataclass(frozen=True)
class PayoutRow:
    """One payout as its owner sees it."""

    id: int
    state: str
    asset: str
    units: Decimal
    payout_asset: str
    paid_out_units: Decimal | None
    tx_hash: str | None
    reason: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class BalanceRow:
    """What an owner is owed in one asset, in one of its purses."""

    purse: str
    asset: str
    units: Decimal


@dataclass(frozen=True)
class CoinRow:
    """A coin that an owner can be paid in."""

    asset: str
    name: str
    network: str
    decimals: int
    address_family: str


@dataclass(frozen=True)
class DecimalsRow:
    """An asset's decimals."""

    asset: str
    decimals: int


def details(tx: Transaction, owner_id: int) -> list[DetailsRow]:
    """The next address, if one waits, and the address in use."""
    return tx.all(
        DetailsRow,
        """
        (SELECT id, asset, address, extra_id, usable_from, false AS usable
           FROM payout_details WHERE owner_id = :id AND usable_from > pgp_now() ORDER BY usable_from DESC, id DESC LIMIT 1)
        UNION ALL
        (SELECT id, asset, address, extra_id, usable_from, true
           FROM payout_details WHERE owner_id = :id AND usable_from <= pgp_now() ORDER BY usable_from DESC, id DESC LIMIT 1)
        """,
        id=owner_id,
    )


def add_details(tx: Transaction, *, owner_id: int, asset: str, address: str, wait_s: int) -> int:
    """Where the owner is paid from `wait_s` seconds on."""
    return int(
        tx.value(
            """
            INSERT INTO payout_details (owner_id, asset, address, usable_from)
            VALUES (:owner_id, :asset, :address, pgp_now() + make_interval(secs => :wait)) RETURNING id
            """,
            owner_id=owner_id,
            asset=asset,
            address=address,
            wait=wait_s,
        )
    )


def drop_waiting_details(tx: Transaction, owner_id: int) -> int:
    """Take back an address that was never used; how many there were. The audit log keeps it."""
    return tx.run("DELETE FROM payout_details WHERE owner_id = :id AND usable_from > pgp_now()", id=owner_id)


def is_ours(tx: Transaction, address: str) -> bool:
    """Whether an address is our wallet's, an exchange's pay-in address, or a token's contract: money sent there goes in a circle, or nowhere."""
    return bool(
        tx.value(
            """
            SELECT EXISTS (SELECT 1 FROM wallet WHERE lower(address) = lower(:address))
                OR EXISTS (SELECT 1 FROM swap WHERE lower(payin_address) = lower(:address))
                OR EXISTS (SELECT 1 FROM currency_to_network WHERE lower(token_contract) = lower(:address))
            """,
            address=address,
        )
    )


def payouts(tx: Transaction, owner_id: int, *, before: int, limit: int) -> list[PayoutRow]:
    """An owner's payouts, newest first, those with an id under `before`."""
    return tx.all(
        PayoutRow,
        """
        SELECT id, state, asset, units, payout_asset, paid_out_units, tx_hash, reason, created_at, finished_at
          FROM split_payout_que WHERE owner_id = :owner_id AND id < :before ORDER BY id DESC LIMIT :limit
        """,
        owner_id=owner_id,
        before=before,
        limit=limit,
    )


def balances(tx: Transaction, owner_id: int) -> list[BalanceRow]:
    """What an owner is owed, by purse and asset."""
    return tx.all(
        BalanceRow,
        "SELECT split_part(code, ':', 3) AS purse, asset, -balance AS units FROM ledger_account WHERE owner_id = :id AND balance <> 0 ORDER BY 1, 2",
        id=owner_id,
    )


def coins(tx: Transaction) -> list[CoinRow]:
    """The coins that owners can be paid in."""
    return tx.all(CoinRow, "SELECT asset, name, network, decimals, address_family FROM currency_to_network WHERE can_pay_out ORDER BY asset")


def decimals(tx: Transaction) -> dict[str, int]:
    """How many decimals each asset has."""
    return {row.asset: row.decimals for row in tx.all(DecimalsRow, "SELECT asset, decimals FROM currency_to_network")}
