"""Every SQL statement of this folder: reads for the success page and for the vendor's payment list."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from PGP_COMMON.database import Transaction


def view_token(tx: Transaction, unique_id: str) -> str | None:
    """The view token of an order, or None."""
    return cast("str | None", tx.value("SELECT view_token FROM orders WHERE unique_id = :unique_id", unique_id=unique_id))


def list_from(tx: Transaction, job: str) -> datetime:
    """From when on the vendor's list is read: a little before the last run, and once a day as far back as a payment can wait (7 days)."""
    return cast(
        "datetime",
        tx.value(
            """
            SELECT CASE WHEN max(at) >= date_trunc('day', pgp_now()) THEN max(at) - interval '2 hours' ELSE pgp_now() - interval '8 days' END
              FROM reconciliation WHERE job = :job
            """,
            job=job,
        ),
    )
