"""This is the sweep: wakes the work that nobody answered for, and forgets what schedules left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from PGP_COMMON.database import BaseDatabaseManager, Transaction
from PGP_COMMON.outbox import Wake

# What nobody answers may be lost, or wait in a long queue, which another task for each row every minute would only make longer:
# the time between two wake-ups doubles, up to so many times the first.
LONGEST_GRACES: Final = 10


def wake_due(db: BaseDatabaseManager, publish: Callable[[list[Wake]], None], *, grace_s: int, limit: int = 500) -> int:
    """Wake whatever is due and was not answered: lost tasks, expired leases, wake-ups that were never published; gives back how many.

    What stays unanswered is woken again when it has waited twice as long, but not before `grace_s` seconds and not after ten times that.
    """
    with db.reading() as tx:
        wakes = tx.all(
            Wake,
            """
            UPDATE work SET generation = generation + 1, wake_at = pgp_now() + least(greatest(g.shortest, pgp_now() - not_before), g.shortest * :longest)
              FROM (SELECT make_interval(secs => :grace) AS shortest) g
             WHERE id IN (SELECT id FROM work WHERE state = 'open' AND wake_at <= pgp_now() ORDER BY wake_at LIMIT :limit FOR UPDATE SKIP LOCKED)
            RETURNING step, subject, generation, CAST(NULL AS timestamptz) AS not_before, signature, correlation
            """,
            grace=grace_s,
            longest=LONGEST_GRACES,
            limit=limit,
        )
    publish(wakes)
    return len(wakes)


def forget_done(tx: Transaction, steps: Sequence[str], *, older_than_s: int, limit: int = 5000) -> int:
    """Remove finished work of these steps (the schedules': nothing else is named by the minute); what a dead letter names stays."""
    return tx.run(
        """
        DELETE FROM work
         WHERE id IN (SELECT w.id FROM work w
                       WHERE w.step = ANY(:steps) AND w.state = 'done' AND w.done_at < pgp_now() - make_interval(secs => :older_than)
                         AND NOT EXISTS (SELECT 1 FROM failed_transactions f WHERE f.work_id = w.id)
                       ORDER BY w.id LIMIT :limit)
        """,
        steps=list(steps),
        older_than=older_than_s,
        limit=limit,
    )
