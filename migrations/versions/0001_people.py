"""Owners, channels, coins, sign-in."""

from __future__ import annotations

from migrations.plain_sql import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file(__file__, "up")


def downgrade() -> None:
    run_file(__file__, "down")
