"""Runs the SQL file that stands beside a revision, under limits on locks and statements."""

from __future__ import annotations

from pathlib import Path

from alembic import op

# A migration that waits longer than this for a lock would stop the fleet behind it.
LIMITS = ("SET LOCAL lock_timeout = '5s'", "SET LOCAL statement_timeout = '60s'")


def run_file(revision_file: str, direction: str) -> None:
    """Run `<revision>.sql` (up) or `<revision>.down.sql` (down) as one script of the current transaction."""
    path = Path(revision_file)
    script = path.with_suffix(".sql" if direction == "up" else ".down.sql")
    connection = op.get_bind()
    for limit in LIMITS:
        connection.exec_driver_sql(limit)
    # The driver's simple protocol takes many statements at once; SQLAlchemy's text() would not.
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("no database connection")
    driver.execute_simple(script.read_text(encoding="utf-8"))
