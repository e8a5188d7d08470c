"""The crash matrix: the product's own code, stopped between every two things it does, in every flow; each place alone, twice in a row, and in random pairs.

`make crash` runs it. It ends with status 0 only if nothing was lost, doubled or left behind, and if every place was really passed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tests.simulation import points
from tests.simulation.runs import Result, Run, play
from tests.simulation.scenarios import SCENARIOS
from tests.support import postgres

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "crash-matrix.md"
# A pair may meet any of the first passings of its places, not only the first.
FIRST_TURNS = 4
# Where nobody looks at a terminal the table is kept in a file.
WIDTH = 140
KINDS = ("alone", "twice", "pair")


def dry_runs(names: Iterable[str], seed: int) -> list[Run]:
    """Each history once without a crash: it must come to its end, and shows which places it passes."""
    return [Run(name, seed) for name in names]


def matrix(dry: Sequence[Result], *, seed: int, pairs: int, only: str) -> list[Run]:
    """Every place in the history that passes it first, alone and twice; then random pairs of a history's places."""
    runs, known = [], set()
    for result in dry:
        for name in result.passed:
            if name not in known and only in name:
                known.add(name)
                runs.append(Run(result.run.scenario, seed, {name: frozenset({1})}, "alone"))
                runs.append(Run(result.run.scenario, seed, {name: frozenset({1, 2})}, "twice"))
    dice = random.Random(seed)
    for number in range(pairs):
        result = dice.choice(dry)
        both = dice.sample(sorted(result.passed), 2)
        plan = {name: frozenset({dice.randint(1, min(FIRST_TURNS, result.passed[name]))}) for name in both}
        runs.append(Run(result.run.scenario, seed + 1 + number, plan, "pair"))
    return runs


def faults_of(result: Result) -> list[str]:
    """Why a run is not as it must be, in sentences."""
    found = [f"{problem.kind}: {problem.sentence}" for problem in result.problems]
    if result.run.kind in {"alone", "twice"} and not result.crashes:
        found.append(f"never fired: {', '.join(result.run.plan)}")
    return found


def in_processes(runs: Sequence[Run], *, jobs: int, console: Console, title: str) -> Iterator[Result]:
    """Play runs on so many processors, with a bar."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as progress, ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        task, wrong = progress.add_task("", total=len(runs)), 0
        for future in as_completed([pool.submit(play, run) for run in runs]):
            result = future.result()
            wrong += bool(faults_of(result))
            progress.update(task, advance=1, description=f"[red]{wrong} wrong[/red]" if wrong else "")
            yield result


def rows(results: Sequence[Result]) -> list[list[str]]:
    """The matrix, a row a flow: its places, its runs, and how often something was lost, doubled, left behind or broken."""
    by_flow: dict[str, list[Result]] = {}
    for result in results:
        if result.run.kind in {"alone", "twice"}:
            by_flow.setdefault(points.flow_of(next(iter(result.run.plan))), []).append(result)
    table = [_row(flow, of_flow) for flow, of_flow in sorted(by_flow.items())]
    pairs = [result for result in results if result.run.kind == "pair"]
    if pairs:
        table.append(_row("random pairs", pairs))
    table.append(_row("all", list(results)))
    return table


def _row(name: str, results: Sequence[Result]) -> list[str]:
    places = {place for result in results for place in result.run.plan}
    wrong = [str(sum(result.count(kind) for result in results)) for kind in ("lost", "doubled", "stuck", "broken")]
    crashes = sum(len(result.crashes) for result in results)
    slowest = max((result.minutes for result in results), default=0)
    return [name, str(len(places)), str(len(results)), str(crashes), *wrong, f"{slowest:.0f}"]


HEAD = ("flow", "places", "runs", "crashes", "lost", "doubled", "stuck", "broken", "longest history, minutes")


def commit_played() -> str:
    """The code that is played: the commit, and whether files differ from it. Asked for before the first run, because an hour later it may be another."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def page(table: Sequence[Sequence[str]], *, commit: str, seed: int, seconds: float, histories: Sequence[Result]) -> str:
    """The page for people, as `docs/` keeps it."""
    lines = [
        "# The crash matrix",
        "",
        "Written by `make crash` (tests/simulation/crash.py). Do not edit.",
        "",
        f"Commit {commit}, seed {seed}, {seconds / 60:.0f} minutes.",
        "The product's own code in one process over a real PostgreSQL, with a queue, a chain and vendors in memory under one clock (the simulation tier).",
        "Each place is a failpoint between two of: proof, claim, call, answer, commit, publish, reply.",
        "A process died there once, twice in a row, and in random pairs; then time went on, and the world was examined: invariants, vendors' books, the chain.",
        "",
        "| history | what happens | places |",
        "|---|---|---|",
        *(f"| `{result.run.scenario}` | {_about(result.run.scenario)} | {len(result.passed)} |" for result in histories),
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{'---|' * len(HEAD)}",
        *(f"| {' | '.join(row)} |" for row in table),
    ]
    return "\n".join(lines) + "\n"


def _about(name: str) -> str:
    return next(scenario.about for scenario in SCENARIOS if scenario.name == name)


def _plan_of(words: Sequence[str]) -> dict[str, frozenset[int]]:
    plan = {}
    for word in words:
        name, _, turns = word.rpartition(":")
        plan[name] = frozenset(int(turn) for turn in turns.split(","))
    return plan


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.crash", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=[scenario.name for scenario in SCENARIOS], help="only this history (may be repeated)")
    parser.add_argument("--only", default="", help="only places whose name has this in it")
    parser.add_argument("--pairs", type=int, default=200, help="random pairs of crashes")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--at", action="append", help="one run with these crashes: NAME:1,2")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--json", action="store_true", help="the rows for a machine")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run the matrix; 0 if nothing is wrong."""
    given = _arguments(words)
    console = Console(stderr=given.json, width=None if sys.stdout.isatty() else WIDTH)
    # The processes share one PostgreSQL, which ends with the last of them.
    os.environ.setdefault("PYTEST_XDIST_TESTRUNUID", f"crash{os.getpid()}")
    postgres.server()
    names = given.scenario or [scenario.name for scenario in SCENARIOS]
    began, commit = time.monotonic(), commit_played()
    if given.at:
        return _one(Run(names[0], given.seed, _plan_of(given.at), "pair"), console)
    dry = sorted(
        in_processes(dry_runs(names, given.seed), jobs=given.jobs, console=console, title="histories"), key=lambda result: names.index(result.run.scenario)
    )
    results = [*dry]
    if not any(faults_of(result) for result in dry):
        runs = matrix(dry, seed=given.seed, pairs=given.pairs, only=given.only)
        results += in_processes(runs, jobs=given.jobs, console=console, title="crashes")
    return _report(given, console, dry, results, commit=commit, seconds=time.monotonic() - began)


def _one(run: Run, console: Console) -> int:
    result = play(run)
    console.print(result.log)
    for sentence in faults_of(result):
        console.print(f"[red]{sentence}[/red]")
    console.print(f"{len(result.crashes)} crashes: {', '.join(result.crashes)}; {result.minutes:.0f} minutes of the world")
    postgres.release()
    return 1 if faults_of(result) else 0


def _report(given: argparse.Namespace, console: Console, dry: Sequence[Result], results: Sequence[Result], *, commit: str, seconds: float) -> int:
    table = rows(results)
    shown = Table(*HEAD, box=None)
    for row in table:
        shown.add_row(*row)
    console.print(shown)
    wrong = [(result, faults) for result in results if (faults := faults_of(result))]
    for result, faults in wrong[:20]:
        console.print(f"[red]{result.run.command}[/red]", *faults, result.log, sep="\n", markup=True, highlight=False)
    never = [] if given.scenario or given.only else points.missing(name for result in dry for name in result.passed)
    for name in never:
        console.print(f"[red]never passed: {name}[/red]")
    places = len({name for result in dry for name in result.passed})
    doubled = sum(result.doubled_messages for result in results)
    console.print(f"{places} places, {len(results)} runs, {len(wrong)} wrong, {doubled} messages said twice, {seconds:.0f} s, seed {given.seed}")
    if given.json:
        sys.stdout.write(json.dumps([dict(zip(HEAD, row, strict=True)) for row in table], indent=1) + "\n")
    if given.write and not wrong and not never:
        PAGE.write_text(page(table, commit=commit, seed=given.seed, seconds=seconds, histories=dry), encoding="utf-8")
        console.print(f"wrote {PAGE.relative_to(ROOT)}")
    postgres.release()
    return 1 if wrong or never else 0


if __name__ == "__main__":
    sys.exit(main())
