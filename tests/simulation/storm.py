"""Storms over the whole fleet, by seed: processes that die anywhere, vendors that fail or lose their answers, a queue that doubles and loses tasks,
a chain that evicts, lags, spikes and re-organises; then fair weather, in which everything must come to its end by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.conftest import migrate
from tests.simulation import chain, edge
from tests.simulation.checks import Problem, is_at_rest, problems
from tests.simulation.fleet import DOLLAR, Crash, SimFleet, a_fleet
from tests.simulation.people import Buyer, Owner, Town
from tests.simulation.runs import said_twice
from tests.support import postgres

# How long the weather is foul, and how long everything may take to come to rest afterwards, in minutes of the world.
FOUL_MINUTES, CALM_MINUTES = 45, 900
CRASH = 0.004
# Where nobody looks at a terminal the table is kept in a file.
WIDTH = 140
COINS = ("btc", "eth", "usdterc20")
EVERY = {"execute": 0, "remind": 10, "expire-subscriptions": 10, "members-reconcile": 20}


@dataclass
class Storm:
    """What came of one seed."""

    seed: int
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    minutes: float = 0.0
    log: str = ""


class Lightning:
    """Kills the process at any failpoint, with a small chance."""

    def __init__(self, seed: int, chance: float) -> None:
        self.dice, self.chance, self.passed = random.Random(seed), chance, 0

    def __call__(self, name: str) -> None:
        """Pass a failpoint."""
        self.passed += 1
        if self.dice.random() < self.chance:
            raise Crash(name)


def weather(fleet: SimFleet, lightning: Lightning, *, foul: bool, crash: float) -> None:
    """Let it be foul, or fair."""
    fleet.edge.weather = edge.FOUL if foul else edge.FAIR
    fleet.chain.trouble = chain.STORM if foul else chain.CALM
    fleet.queue.doubles, fleet.queue.loses = (0.1, 0.01) if foul else (0.0, 0.0)
    lightning.chance = crash if foul else 0.0
    if not foul:
        fleet.chain.spike_left = 0
        for node in fleet.chain.nodes:
            node.down, node.lag = False, 0


def live(town: Town, dice: random.Random) -> list[tuple[Buyer, Owner]]:
    """Owners open shops, buyers pay in many ways; gives back who should be let in where."""
    fleet = town.fleet
    owners = [
        town.owner(dice.choice(COINS), price=dice.choice((15, 30, 60)), mode=dice.choice(("join_request", "single_use"))) for _ in range(dice.randint(2, 3))
    ]
    expected = []
    for _ in range(dice.randint(4, 7)):
        buyer, owner = town.buyer(), dice.choice(owners)
        kind = dice.choice(("whole", "whole", "whole", "half", "much", "gift"))
        buyer.orders(owner, donation="25" if kind == "gift" else "")
        try:
            buyer.pays(share={"half": "0.4", "much": "1.4"}.get(kind, "1"))
            if kind == "half":
                buyer.pays(nth=1)
        except AssertionError:
            # The storm kept his link away: nobody paid, nothing is owed.
            continue
        if kind != "gift":
            expected.append((buyer, owner))
    fleet.until(lambda: False, minutes=FOUL_MINUTES // 3)
    fleet.changenow.fates = [dice.choice(("finish", "finish", "refund", "verify", "odd")) for _ in range(4)]
    return expected


def play(seed: int, *, crash: float = CRASH) -> Storm:
    """One world: a storm, then fair weather until it rests."""
    storm, said, dice = Storm(seed), io.StringIO(), random.Random(seed)
    lightning = Lightning(seed, 0.0)
    with contextlib.redirect_stdout(said), postgres.fresh_database(migrate) as url, a_fleet(url, seed, hook=lightning, usdt=50 * DOLLAR) as fleet:
        fleet.every, town, began = dict(EVERY), Town(fleet), fleet.clock.now
        try:
            weather(fleet, lightning, foul=True, crash=crash)
            expected = live(town, dice)
            fleet.until(lambda: False, minutes=FOUL_MINUTES)
            weather(fleet, lightning, foul=False, crash=crash)
            for buyer, owner in expected:
                buyer.joins(owner)
            fleet.until(lambda: is_at_rest(fleet) and not waiting(fleet), minutes=CALM_MINUTES)
        except Exception:  # noqa: BLE001 - whatever it is, it is what came of this seed
            storm.problems.append(Problem("stuck", traceback.format_exc(limit=-4)))
        examine(fleet, storm, lightning)
        storm.minutes = (fleet.clock.now - began).total_seconds() / 60
    storm.log = "\n".join(said.getvalue().splitlines()[-40:]) if storm.problems else ""
    return storm


def waiting(fleet: SimFleet) -> bool:
    """Whether some owner's converted money is enough to be paid and is not on its way."""
    return bool(
        fleet.value(
            """
            SELECT EXISTS (SELECT 1 FROM payout_accumulation a JOIN client_table o ON o.id = a.owner_id
                            WHERE a.state = 'converted' AND o.payouts_stopped_reason IS NULL
                            GROUP BY o.id HAVING sum(a.converted_units) / 1e6 >= o.payout_threshold_usd)
            """
        )
    )


def examine(fleet: SimFleet, storm: Storm, lightning: Lightning) -> None:
    """Hold the world's end against everything that must hold, and count what it went through."""
    rows = fleet.rows("SELECT reason, count(*) FROM failed_transactions WHERE resolved_at IS NULL GROUP BY reason")
    storm.letters.update({str(reason): int(count) for reason, count in rows})
    # A letter that only tells is no problem: what it is about went on. Work that stopped is one, and a claim that did not hold, be it for a moment.
    storm.problems += problems(fleet, letters=frozenset(storm.letters) - {"broken"})
    if waiting(fleet):
        storm.problems.append(Problem("stuck", "an owner's money waits above his threshold"))
    storm.counts.update(
        {
            "failpoints": lightning.passed,
            "crashes": len(fleet.crashes),
            "payments": len(fleet.nowpayments.payments),
            "transfers": int(fleet.value("SELECT count(*) FROM transfer WHERE state = 'final'")),
            "payouts": int(fleet.value("SELECT count(*) FROM split_payout_que WHERE state = 'settled'")),
            "refunds": int(fleet.value("SELECT count(*) FROM swap WHERE state = 'refunded'")),
            "tasks lost": fleet.queue.lost,
            "tasks doubled": fleet.queue.doubled,
            "vendor troubles": sum(fleet.edge.trouble.values()),
            "messages said twice": said_twice(fleet),
            **fleet.chain.counts,
        }
    )


def main(words: Sequence[str] | None = None) -> int:
    """Play many seeds; 0 if nothing was lost, doubled, left behind or broken in any of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.storm", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many worlds")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--crash", type=float, default=CRASH, help="chance that a process dies at a failpoint")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(words)
    console, began = Console(width=None if sys.stdout.isatty() else WIDTH), time.monotonic()
    os.environ.setdefault("PYTEST_XDIST_TESTRUNUID", f"storm{os.getpid()}")
    postgres.server()
    storms: list[Storm] = []
    columns = (TextColumn("storms"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress, ProcessPoolExecutor(given.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        task = progress.add_task("", total=given.seeds)
        for future in as_completed([pool.submit(play, seed, crash=given.crash) for seed in range(given.first, given.first + given.seeds)]):
            storms.append(future.result())
            wrong = sum(bool(storm.problems) for storm in storms)
            progress.update(task, advance=1, description=f"[red]{wrong} wrong[/red]" if wrong else "")
    report(console, storms, given, seconds=time.monotonic() - began)
    postgres.release()
    return 1 if any(storm.problems for storm in storms) else 0


def report(console: Console, storms: Sequence[Storm], given: argparse.Namespace, *, seconds: float) -> None:
    """The table, and every world that did not end well."""
    totals, letters = Counter[str](), Counter[str]()
    for storm in storms:
        totals.update(storm.counts)
        letters.update(storm.letters)
    table = Table("over all worlds", "count", box=None)
    for name, count in totals.items():
        table.add_row(name, str(count))
    for kind in ("lost", "doubled", "stuck", "broken"):
        table.add_row(kind, str(sum(problem.kind == kind for storm in storms for problem in storm.problems)))
    console.print(table)
    console.print(f"letters that only tell: {dict(letters)}")
    for storm in [storm for storm in storms if storm.problems][:10]:
        console.print(f"[red]seed {storm.seed}[/red]: python -m tests.simulation.storm --seeds 1 --first {storm.seed} --crash {given.crash}")
        console.print(*(f"  {problem.kind}: {problem.sentence}" for problem in storm.problems[:8]), storm.log, sep="\n", markup=False, highlight=False)
    console.print(f"{len(storms)} seeds from {given.first}, {given.crash:.1%} of failpoints deadly, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
