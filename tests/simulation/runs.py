"""One run of one history with crashes planned in it, and what came of it."""

from __future__ import annotations

import contextlib
import io
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.conftest import migrate
from tests.simulation.checks import Problem, problems
from tests.simulation.fleet import Crash, SimFleet, a_fleet
from tests.simulation.people import Town
from tests.simulation.scenarios import SCENARIOS, Scenario
from tests.support import postgres

# A crash plan: at which of its passings a failpoint kills the process.
Plan = Mapping[str, frozenset[int]]
KEPT_LINES = 30


@dataclass(frozen=True)
class Run:
    """What is to be run. `kind`: dry, alone, twice or pair."""

    scenario: str
    seed: int
    plan: Plan = field(default_factory=dict)
    kind: str = "dry"

    @property
    def command(self) -> str:
        """How to do this one run again."""
        at = " ".join(f'--at "{name}:{",".join(map(str, sorted(turns)))}"' for name, turns in self.plan.items())
        return f"python -m tests.simulation.crash --scenario {self.scenario} --seed {self.seed} {at}".rstrip()


@dataclass
class Result:
    """What came of a run: which failpoints it passed how often, where it died, what is wrong, and the last lines of its log."""

    run: Run
    passed: Counter[str]
    crashes: list[str]
    problems: list[Problem]
    minutes: float
    doubled_messages: int
    log: str = ""

    def count(self, kind: str) -> int:
        """How many problems of a kind there are."""
        return sum(problem.kind == kind for problem in self.problems)


class Killer:
    """Counts every failpoint that is passed, and dies where the plan says so."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.passed, self.asleep = plan, Counter[str](), False

    def __call__(self, name: str) -> None:
        """Pass a failpoint."""
        if self.asleep:
            return
        self.passed[name] += 1
        if self.passed[name] in self.plan.get(name, ()):
            raise Crash(name)


def scenario_named(name: str) -> Scenario:
    """A history by its name; raises KeyError."""
    return {scenario.name: scenario for scenario in SCENARIOS}[name]


def play(run: Run) -> Result:
    """Play one history over a fresh database, and examine the world that it leaves."""
    scenario, killer, said = scenario_named(run.scenario), Killer(run.plan), io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        postgres.fresh_database(migrate) as url,
        a_fleet(url, run.seed, hook=killer, usdt=scenario.usdt, settings=dict(scenario.settings)) as fleet,
    ):
        fleet.every, began = dict(scenario.every), fleet.clock.now
        found: list[Problem] = []
        try:
            scenario.play(Town(fleet))
        except Exception:  # noqa: BLE001 - whatever it is, it is what came of this run
            found.append(Problem("stuck", traceback.format_exc(limit=-3)))
        killer.asleep = True
        found += problems(fleet, letters=scenario.letters)
        minutes = (fleet.clock.now - began).total_seconds() / 60
        result = Result(run, killer.passed, list(fleet.crashes), found, minutes, said_twice(fleet))
    result.log = "\n".join(said.getvalue().splitlines()[-KEPT_LINES:]) if found else ""
    return result


def said_twice(fleet: SimFleet) -> int:
    """How many messages somebody got more than once: allowed, and counted (money.md 2). The way in is said again on purpose."""
    texts = Counter((message["chat"]["id"], message["text"]) for message in fleet.telegram.messages)
    return sum(count - 1 for (_, text), count in texts.items() if "🔑" not in text)
