"""An engine over a fresh database whose steps a test writes itself; time stands where the test puts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.directory import steps
from PGP_COMMON.engine import Engine, Flow
from PGP_COMMON.outbox import Outbox, Wake

STEP = "work.sweep"
VENDOR_STEP = "payment.settle"


class Settings:
    """The one setting that the engine reads."""

    def integer(self, name: str) -> int:
        """Give the sweep's grace, in seconds."""
        assert name == "WAKE_GRACE_S"
        return 60


@dataclass
class Bench:
    """A database, an engine, and every wake-up that was published."""

    url: str
    wakes: list[Wake] = field(default_factory=list)
    pool: int = 5

    def __post_init__(self) -> None:
        def outbox() -> Outbox:
            return Outbox(sender="tests", may_send=frozenset(steps()), sign=lambda step, subject: f"v1=k1:{step}/{subject}", grace_s=60)

        self.db = BaseDatabaseManager(make_engine(self.url, application="tests", pool=self.pool), outbox=outbox, publish=self.wakes.extend)

    def engine(self, flow: Flow | Callable[..., Any], *, step: str = STEP) -> Engine:
        """An engine that runs one step."""
        flows: Mapping[str, Flow] = {step: flow if isinstance(flow, Mapping) else {"start": flow}}
        return Engine(db=self.db, config=cast("BaseConfigManager", Settings()), clients=None, flows=flows, publish=self.wakes.extend)

    def send(self, subject: str = "1", *, step: str = STEP, after_s: int = 0) -> None:
        """Ask for one unit of work."""
        with self.db.transaction() as tx:
            tx.send(step, subject, after_s=after_s)

    def value(self, sql: Any, **values: Any) -> Any:
        """One value of the database."""
        with self.db.reading() as tx:
            return tx.value(sql, **values)

    def move_clock(self, seconds: int) -> None:
        """Let pgp_now() be so many seconds later (from the real time) from now on."""
        with self.db.reading() as tx:
            tx.run(
                cast("Any", f"CREATE OR REPLACE FUNCTION pgp_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now() + interval ''{seconds} seconds'''")
            )

    def close(self) -> None:
        """Let go of the database."""
        self.db.engine.dispose()
