"""Which swaps and orders the comparison with the exchange asks about next."""

from __future__ import annotations

from PGP_COMMON.database import Transaction
from PGP_COMMON.money_machines import swaps
from PGP_COMMON.money_machines.swaps import SwapRow


def neglected(tx: Transaction, *, limit: int) -> list[int]:
    """Swaps that have our coins and that the exchange has not been asked about for an hour."""
    found = tx.value(
        """
        SELECT array_agg(id) FROM (SELECT id FROM swap WHERE state IN ('funded', 'hold')
               AND coalesce(vendor_looked_at, created_at) < pgp_now() - interval '1 hour' AND funded_at < pgp_now() - interval '1 hour' LIMIT :limit) s
        """,
        limit=limit,
    )
    return list(found or [])


def never_to_be_paid(tx: Transaction, *, limit: int) -> list[str]:
    """The exchange's ids of orders of the last day that nobody may fund: orphans, and swaps that were given up. The newest first."""
    found = tx.value(
        """
        SELECT array_agg(provider_id) FROM (
            SELECT provider_id, at FROM (SELECT provider_id, seen_at AS at FROM swap_orphan
                UNION ALL SELECT provider_id, ended_at FROM swap WHERE state = 'abandoned' AND provider_id IS NOT NULL) o
             WHERE at > pgp_now() - interval '24 hours' ORDER BY at DESC LIMIT :limit) newest
        """,
        limit=limit,
    )
    return list(found or [])


def live(tx: Transaction, *, turn: str, limit: int) -> list[SwapRow]:
    """Swaps that are at the exchange and not over: another handful each turn, so that everyone's comes."""
    found = tx.value(
        """
        SELECT array_agg(id) FROM (SELECT id FROM swap WHERE state IN ('created', 'funding', 'funded', 'hold')
                                    ORDER BY md5(CAST(id AS text) || :turn) LIMIT :limit) s
        """,
        turn=turn,
        limit=limit,
    )
    return [swaps.get(tx, int(swap_id)) for swap_id in found or []]
