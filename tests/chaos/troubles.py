"""What can go wrong while the fleet works, and how a storm of it is drawn. Pure."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.chaos.operations import NODES, Operation


class Kind(enum.StrEnum):
    """One kind of trouble; beside it what `target`, `value` and `times` of one are."""

    KILL = "kill -9"  # a program
    TERM = "SIGTERM"  # a service
    FREEZE = "stopped"  # a program, for so many seconds
    SESSIONS = "sessions ended"  # so many connections of the database
    FAULT = "vendor fault"  # a simulator and its operation; the mode, its value, for so many requests
    QUEUE_PAUSE = "queue paused"  # a queue, for so many seconds
    QUEUE_PURGE = "queue purged"  # a queue: all of its tasks are lost
    QUEUE_RUN = "queue run"  # a queue: its tasks are delivered at once, and again when their time comes
    REORG = "re-organisation"  # so many blocks; 0: as many as it takes to undo one of our transactions
    EVICT = "eviction"  # no block for so many seconds, then the pool is emptied
    STALL = "no blocks"  # for so many seconds
    BASE_FEE = "base fee"  # of the next block, in gwei
    LAG = "node lags"  # a node, so many blocks
    HOLD = "node holds back"  # a node, what is sent to it for so many seconds
    KEPT = "exchange keeps"  # one of its orders, `verifying` for so many seconds
    BACK = "exchange sends back"  # one of its orders is refunded


@dataclass(frozen=True)
class Trouble:
    """One trouble, so many seconds after the storm began."""

    at_s: float
    kind: Kind
    target: str = ""
    operation: str = ""
    mode: str = ""
    value: float = 0
    times: int = 1

    def __str__(self) -> str:
        words = [self.kind.value, self.target, self.operation, self.mode, f"{self.value:g}" if self.value else "", f"x{self.times}" if self.times > 1 else ""]
        return " ".join(word for word in words if word)


# Seconds between two troubles of a kind, on average. The rarer ones cost the machine, or the run, the most: PostgreSQL's recovery takes seconds,
# a service that is stopped beyond its lease works for a minute and a half under somebody else's fence, a refund is a payout anew.
EVERY_S: dict[Kind, float] = {
    Kind.KILL: 4,
    Kind.TERM: 30,
    Kind.FREEZE: 45,
    Kind.SESSIONS: 20,
    Kind.FAULT: 0.8,
    Kind.QUEUE_PAUSE: 50,
    Kind.QUEUE_PURGE: 45,
    Kind.QUEUE_RUN: 20,
    Kind.REORG: 12,
    Kind.EVICT: 30,
    Kind.STALL: 90,
    Kind.BASE_FEE: 100,
    Kind.LAG: 40,
    Kind.HOLD: 60,
    Kind.KEPT: 70,
    Kind.BACK: 240,
}
# How often each program is the one that is killed: a service 2 (15 of them), the others as they are.
OTHERS: dict[str, int] = {
    "cloudtasks": 4,
    "scheduler": 2,
    "scheduler-twin": 1,
    "valkey": 3,
    "postgres": 1,
    "anvil": 2,
    "nowpayments": 2,
    "changenow": 2,
    "telegram": 2,
    "prices": 1,
    "sendgrid": 1,
    "laggard": 1,
    "frontnode": 1,
}
# How often a simulator is the one that fails; whoever is asked the most fails the most.
SHARE: dict[str, int] = {"nowpayments": 4, "changenow": 4, "telegram": 4, "prices": 1, "sendgrid": 1}
# Those without which no short storm is worth its name: one of each comes at a random moment whatever is drawn.
ONCE = ("postgres", "anvil", "cloudtasks", "valkey")
STATUSES = (500, 503, 429, 502)
# What our clients wait for at most is 20 s (10 s for a node); most of what hangs is let go sooner, so that the storm goes on.
HANGS_S = (0.5, 2.0, 2.0, 25.0)
# A lease is 90 s: some services are stopped for longer than theirs, so that somebody takes over what they hold.
STOPPED_S = (5.0, 20.0, 100.0)
# What else stops answering for a while without being gone.
STOPS_S = (3.0, 12.0)
STOPPED = ("cloudtasks", "valkey", "nowpayments", "changenow", "telegram", "frontnode", "laggard")
# Blocks become final eight behind the head here; no node of a sound network takes a final one back.
DEEPEST = 6


def draw_troubles(dice: random.Random, *, storm_s: float, services: Sequence[str], queues: Sequence[str], vendors: Sequence[Operation]) -> tuple[Trouble, ...]:
    """Draw every trouble of a storm, in order of time."""
    draws: dict[Kind, Callable[[float], Trouble]] = {
        Kind.KILL: lambda at: Trouble(at, Kind.KILL, _victim(dice, services)),
        Kind.TERM: lambda at: Trouble(at, Kind.TERM, dice.choice(services)),
        Kind.FREEZE: lambda at: _freeze(dice, at, services),
        Kind.SESSIONS: lambda at: Trouble(at, Kind.SESSIONS, value=dice.randint(1, 6)),
        Kind.FAULT: lambda at: _fault(dice, at, _operation(dice, vendors)),
        Kind.QUEUE_PAUSE: lambda at: Trouble(at, Kind.QUEUE_PAUSE, dice.choice(queues), value=dice.choice((5, 15))),
        Kind.QUEUE_PURGE: lambda at: Trouble(at, Kind.QUEUE_PURGE, dice.choice(queues)),
        Kind.QUEUE_RUN: lambda at: Trouble(at, Kind.QUEUE_RUN, dice.choice(queues)),
        Kind.REORG: lambda at: Trouble(at, Kind.REORG, value=dice.choice((0, dice.randint(1, DEEPEST)))),
        Kind.EVICT: lambda at: Trouble(at, Kind.EVICT, value=dice.choice((2, 4, 6))),
        Kind.STALL: lambda at: Trouble(at, Kind.STALL, value=dice.choice((3, 8, 15))),
        Kind.BASE_FEE: lambda at: Trouble(at, Kind.BASE_FEE, value=dice.choice((5, 40, 120))),
        Kind.LAG: lambda at: Trouble(at, Kind.LAG, dice.choice(NODES), value=dice.randint(0, 5)),
        Kind.HOLD: lambda at: Trouble(at, Kind.HOLD, dice.choice(NODES), value=dice.choice((0, 2, 8))),
        Kind.KEPT: lambda at: Trouble(at, Kind.KEPT, value=dice.choice((5, 20))),
        Kind.BACK: lambda at: Trouble(at, Kind.BACK),
    }
    found = [draws[kind](at) for kind, every_s in EVERY_S.items() for at in _moments(dice, storm_s, every_s)]
    found += [Trouble(round(dice.uniform(0.2, 0.8) * storm_s, 1), Kind.KILL, name) for name in ONCE]
    return tuple(sorted(found, key=lambda trouble: (trouble.at_s, trouble.kind, trouble.target)))


def _moments(dice: random.Random, storm_s: float, every_s: float) -> list[float]:
    """Moments that fall independently of each other, so often on average."""
    found: list[float] = []
    at_s = dice.expovariate(1 / every_s)
    while round(at_s, 1) < storm_s:
        found.append(round(at_s, 1))
        at_s += dice.expovariate(1 / every_s)
    return found


def _freeze(dice: random.Random, at_s: float, services: Sequence[str]) -> Trouble:
    if dice.random() < 0.3:
        return Trouble(at_s, Kind.FREEZE, dice.choice(STOPPED), value=dice.choice(STOPS_S))
    return Trouble(at_s, Kind.FREEZE, dice.choice(services), value=dice.choice(STOPPED_S))


def _victim(dice: random.Random, services: Sequence[str]) -> str:
    names = [*services, *OTHERS]
    return dice.choices(names, [2] * len(services) + list(OTHERS.values()))[0]


def _operation(dice: random.Random, vendors: Sequence[Operation]) -> Operation:
    """One of a vendor's operations; the two nodes together are one vendor, or the storm would be about the chain."""
    names = sorted({operation.simulator for operation in vendors})
    chosen = dice.choices(names, [SHARE.get(name, 2) for name in names])[0]
    return dice.choice([operation for operation in vendors if operation.simulator == chosen])


def _fault(dice: random.Random, at_s: float, operation: Operation) -> Trouble:
    """One fault at one operation: a few times, seldom for a while, so that budgets are spent a little and not by the storm alone."""
    mode = dice.choice(operation.modes)
    times = dice.choice((1, 1, 2, 3, 6))
    value: float = {
        "status": dice.choice(STATUSES),
        "timeout": dice.choice(HANGS_S),
        "lost_answer": 0,
        "delay": dice.choice((0.3, 2.0)),
        "duplicate": 0,
        "reorder": 1,
    }[mode]
    return Trouble(at_s, Kind.FAULT, operation.simulator, operation.name, mode, value, times)
