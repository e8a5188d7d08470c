"""What planning payouts reads: who has earned enough, where he is paid, and what came of it before. It writes no table."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines.payouts import Release
from PGP_COMMON.money_machines.rows import Row

# Releases after which the same money would only be refused again.
UNCHANGED = tuple(reason.value for reason in Release if reason not in {Release.REFUNDED, Release.OPERATOR})


@dataclass(frozen=True)
class Candidate(Row):
    """An owner with converted money and no payout on its way; `units` are base units."""

    owner_id: int
    units: int
    payout_strategy: str
    payout_threshold_usd: Decimal


@dataclass(frozen=True)
class Owner(Row):
    """How an owner wants to be paid, and why he is not, if he is not."""

    id: int
    payout_strategy: str
    payout_threshold_usd: Decimal
    fee_cap_percent: Decimal | None
    payouts_stopped_reason: str | None


@dataclass(frozen=True)
class Details(Row):
    """Where an owner is paid."""

    id: int
    asset: str
    address: str
    extra_id: str | None


def candidates(tx: Transaction, *, asset: str) -> list[Candidate]:
    """Owners with converted money of an asset and no open payout; whoever has waited longest comes first."""
    return tx.all(
        Candidate,
        """
        SELECT o.id AS owner_id, sum(a.converted_units) AS units, o.payout_strategy, o.payout_threshold_usd
          FROM payout_accumulation a JOIN client_table o ON o.id = a.owner_id
         WHERE a.state = 'converted' AND a.converted_asset = :asset
           AND NOT EXISTS (SELECT 1 FROM split_payout_que p WHERE p.owner_id = a.owner_id AND p.state NOT IN ('settled', 'released'))
         GROUP BY o.id ORDER BY min(a.id)
        """,
        asset=asset,
    )


def lock_owner(tx: Transaction, owner_id: int) -> Owner | None:
    """An owner, locked against another plan for him; what he earns meanwhile is not held up."""
    return tx.one(
        Owner,
        """
        SELECT id, payout_strategy, payout_threshold_usd, fee_cap_percent, payouts_stopped_reason
          FROM client_table WHERE id = :owner_id FOR NO KEY UPDATE
        """,
        owner_id=owner_id,
    )


def usable_details(tx: Transaction, owner_id: int) -> Details | None:
    """Where an owner is paid today: the newest details whose waiting time is over."""
    return tx.one(
        Details,
        """
        SELECT id, asset, address, extra_id FROM payout_details
         WHERE owner_id = :owner_id AND usable_from <= pgp_now() ORDER BY usable_from DESC, id DESC LIMIT 1
        """,
        owner_id=owner_id,
    )


def refusals(tx: Transaction, owner_id: int, details: Details, *, source: str, subject: str) -> int:
    """How often in a row the exchange sent an owner's payouts to one address and coin back.

    Counted since the last that arrived, and since a person last resolved the dead letter about it.
    """
    return int(
        tx.value(
            """
            SELECT count(*) FROM split_payout_que p
             WHERE p.owner_id = :owner_id AND p.payout_asset = :asset AND p.address = :address AND p.state = 'released'
               AND EXISTS (SELECT 1 FROM swap s WHERE s.payout_id = p.id AND s.state = 'refunded')
               AND p.finished_at > coalesce((SELECT max(finished_at) FROM split_payout_que
                                              WHERE owner_id = :owner_id AND payout_asset = :asset AND address = :address AND state = 'settled'),
                                            '-infinity')
               AND p.finished_at > coalesce((SELECT max(resolved_at) FROM failed_transactions WHERE source = :source AND subject = :subject), '-infinity')
            """,
            owner_id=owner_id,
            asset=details.asset,
            address=details.address,
            source=source,
            subject=subject,
        )
    )


def has_letter(tx: Transaction, *, source: str, subject: str) -> bool:
    """Whether a dead letter about something waits for a person."""
    return bool(
        tx.value(
            "SELECT EXISTS (SELECT 1 FROM failed_transactions WHERE source = :source AND subject = :subject AND resolved_at IS NULL)",
            source=source,
            subject=subject,
        )
    )


def refused_units(tx: Transaction, owner_id: int, details: Details) -> int | None:
    """How much an owner's last payout held, if it was released within a day because of its amount or its price; else None."""
    found = tx.value(
        """
        SELECT CASE WHEN state = 'released' AND reason = ANY(CAST(:reasons AS text[])) AND details_id = :details_id
                         AND finished_at > pgp_now() - interval '1 day' THEN units END
          FROM split_payout_que WHERE owner_id = :owner_id ORDER BY id DESC LIMIT 1
        """,
        owner_id=owner_id,
        details_id=details.id,
        reasons=list(UNCHANGED),
    )
    return None if found is None else int(found)
