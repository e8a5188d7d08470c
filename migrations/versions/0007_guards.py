"""The wallet's home, what its chain did that no row explains, and what comparisons have looked at."""

from __future__ import annotations

from migrations.plain_sql import run_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file(__file__, "up")


def downgrade() -> None:
    run_file(__file__, "down")
