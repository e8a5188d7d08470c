"""Time in a simulated world: it stands still until somebody moves it, in the database and in this process alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from PGP_COMMON.database import BaseDatabaseManager

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """The world's time."""

    def __init__(self, db: BaseDatabaseManager) -> None:
        """Let pgp_now() be the time of this clock from now on."""
        self.now = START
        self._db = db
        with db.reading() as tx:
            tx.run("CREATE TABLE sim_clock AS SELECT CAST(:now AS timestamptz) AS at", now=START)
            tx.run("CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM sim_clock'")

    def move_to(self, at: datetime) -> None:
        """Let it be later."""
        assert at >= self.now
        self.now = at
        with self._db.reading() as tx:
            tx.run("UPDATE sim_clock SET at = :at", at=at)

    def after(self, seconds: float) -> datetime:
        """The time in so many seconds."""
        return self.now + timedelta(seconds=seconds)
