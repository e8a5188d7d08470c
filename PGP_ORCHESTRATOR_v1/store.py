"""Every SQL statement of this folder: reads for the success page and for the vendor's payment list."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from PGP_COMMON.database import Transaction

# A run of the whole list that stopped longer ago than this is not gone on with: another day's run begins anew.
A_DAY_S = 24 * 3600


def view_token(tx: Transaction, unique_id: str) -> str | None:
    """The view token of an order, or None."""
    return cast("str | None", tx.value("SELECT view_token FROM orders WHERE unique_id = :unique_id", unique_id=unique_id))


def list_from(tx: Transaction, job: str) -> datetime:
    """From when on the vendor's list is read: a little before the last run, or as far back as a payment can wait (7 days) when there was none."""
    return cast(
        "datetime",
        tx.value(
            """
            SELECT greatest(coalesce(max(at) - interval '2 hours', '-infinity'), pgp_now() - interval '8 days') FROM reconciliation WHERE job = :job
            """,
            job=job,
        ),
    )


def list_since(tx: Transaction, *, step: str, subject: str) -> datetime:
    """From when on the whole list is read: eight days before the work was asked for, however often it goes on."""
    return cast(
        "datetime",
        tx.value("SELECT created_at - interval '8 days' FROM work WHERE step = :step AND subject = :subject", step=step, subject=subject),
    )
