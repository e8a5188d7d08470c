"""What `make chaos` reads of our books can be read, and says what is left."""

from __future__ import annotations

from PGP_COMMON.database import BaseDatabaseManager
from tests.chaos import letters, run, terminal
from tests.chaos.snapshot import Ours


def test_of_an_empty_database_nothing_is_left_and_nothing_is_known(db: BaseDatabaseManager) -> None:
    with db.reading() as tx:
        assert terminal.look(tx) == []
        assert set(terminal.counts(tx).values()) == {0}
        assert letters.open_letters(tx) == []
        ours = Ours(tx)
        assert tx.all(run.Outside, run.OUTSIDE) == []
    assert (ours.payments, ours.swaps, ours.transfers, ours.arrivals, ours.owners, ours.access) == ([], [], [], {}, [], [])


def test_work_that_is_open_is_left_unless_a_schedule_sends_it_for_ever(db: BaseDatabaseManager) -> None:
    with db.reading() as tx:
        for step, state in (("bot.say", "open"), ("bot.say", "done"), ("work.sweep", "open")):
            tx.run(
                "INSERT INTO work (step, subject, state, wake_at, signature, correlation, sender) VALUES (:step, :subject, :state, now(), 's', 'c', 'tests')",
                step=step,
                subject=f"{step} {state}",
                state=state,
            )
        (left,) = terminal.look(tx)
    assert left.startswith("work bot.say/bot.say open is open")
