"""Credited payments that the vendor has not called finished."""

from __future__ import annotations

from migrations.plain_sql import run_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file(__file__, "up")


def downgrade() -> None:
    run_file(__file__, "down")
