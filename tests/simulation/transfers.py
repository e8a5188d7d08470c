"""Plays the transfer machine's decisions in thousands of seeded worlds, and tells what went wrong there and what came of it.

`python -m tests.simulation.transfers --seeds 20000 --crash 0.05`: the product's own decisions (`PGP_HOSTPAY_v1/watching.py`) over a chain in memory.
A world is its seed: one that goes wrong is played again with `--first SEED --seeds 1`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from tests.support.chain_model import TEMPEST, Trouble
from tests.support.executor_model import Mutant, play

# Seeds of one piece of work: small enough for a moving bar, large enough that handing it out costs nothing.
PIECE = 50
# How often a process dies at each of its points while a mistake is looked for, and in how many worlds.
MISTAKE_CRASH, MISTAKE_SEEDS = 0.1, 2_000
HARMS = ("paid twice", "unpaid", "frozen for nothing", "unfinished")
FAULTS = ("crashes", "lost answers", "evictions", "re-organisations", "fee spikes", "silent nodes", "lagging nodes")
MISTAKES = {
    "new nonce on retry": Mutant(new_nonce_on_too_low=True),
    "send before commit": Mutant(send_before_commit=True),
    "newest hash only": Mutant(newest_hash_only=True),
    "one confirmation is final": Mutant(one_confirmation=True),
    "mined is not looked at again": Mutant(mined_is_enough=True),
    "no second look under the lock": Mutant(no_second_look=True),
}


@dataclass(frozen=True)
class Pass:
    """So many worlds of one kind."""

    name: str
    first: int
    seeds: int
    crash: float
    trouble: Trouble
    mutant: Mutant | None = None


@dataclass
class Tally:
    """What happened in the worlds of a pass; `bad` are the seeds in which something was lost, doubled or left over, with what it was."""

    seeds: int = 0
    transfers: int = 0
    most_attempts: int = 0
    deepest: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    bad: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Count another piece."""
        self.seeds += other.seeds
        self.transfers += other.transfers
        self.most_attempts = max(self.most_attempts, other.most_attempts)
        self.deepest = max(self.deepest, other.deepest)
        self.faults.update(other.faults)
        self.bad.update(other.bad)

    def harms(self) -> Counter[str]:
        """How many worlds ended badly, by how."""
        return Counter(self.bad.values())


def piece(wanted: Pass, first: int, last: int) -> Tally:
    """Play the seeds from `first` to before `last`."""
    tally = Tally()
    for seed in range(first, last):
        tally.seeds += 1
        try:
            result = play(seed, wanted.trouble, crash=wanted.crash, mutant=wanted.mutant)
        except AssertionError as refusal:
            # The unique index on (wallet, nonce) stops what a mistake would do.
            tally.bad[seed] = str(refusal)
            continue
        tally.transfers += len(result.paid)
        tally.most_attempts = max(tally.most_attempts, result.attempts)
        tally.deepest = max(tally.deepest, result.faults.pop("deepest", 0))
        tally.faults.update(result.faults)
        if result.harm or result.nonces != list(range(len(result.nonces))):
            tally.bad[seed] = result.harm or "a gap in the nonces"
    return tally


def pieces(wanted: Pass) -> Iterator[tuple[int, int]]:
    """The seeds of a pass, a piece at a time."""
    last = wanted.first + wanted.seeds
    for first in range(wanted.first, last, PIECE):
        yield first, min(first + PIECE, last)


def run(passes: list[Pass], *, jobs: int, console: Console) -> dict[str, Tally]:
    """Play every pass on all cores; gives back what happened, by the pass's name."""
    tallies = {wanted.name: Tally() for wanted in passes}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ProcessPoolExecutor(jobs) as pool, Progress(*columns, console=console, transient=True) as progress:
        bars = {wanted.name: progress.add_task(wanted.name, total=wanted.seeds) for wanted in passes}
        work = {pool.submit(piece, wanted, first, last): wanted for wanted in passes for first, last in pieces(wanted)}
        for done in as_completed(work):
            name, tally = work[done].name, done.result()
            tallies[name].add(tally)
            progress.advance(bars[name], tally.seeds)
    return tallies


def table_of(tallies: dict[str, Tally]) -> Table:
    """What happened, a column a pass."""
    table = Table("", *tallies, title="the transfer machine on a simulated chain")
    found = tallies.values()
    rows = {
        "seeds": [tally.seeds for tally in found],
        "transfers": [tally.transfers for tally in found],
        **{fault: [tally.faults[fault] for tally in found] for fault in FAULTS},
        "deepest re-organisation": [tally.deepest for tally in found],
        "most attempts of one transfer": [tally.most_attempts for tally in found],
        **{harm: [tally.harms()[harm] for tally in found] for harm in HARMS},
        "anything else": [sum(count for harm, count in tally.harms().items() if harm not in HARMS) for tally in found],
    }
    for name, numbers in rows.items():
        table.add_row(name, *(f"{number:,}" for number in numbers), style="bold" if name in HARMS else None)
    return table


def mistakes_of(tallies: dict[str, Tally]) -> Table:
    """How many worlds show each known mistake."""
    table = Table("mistake", "worlds", "caught in", *HARMS, "stopped by the database", title="the same worlds with one mistake in the program")
    for name, tally in tallies.items():
        harms = tally.harms()
        stopped = sum(count for harm, count in harms.items() if harm not in HARMS)
        table.add_row(name, *(f"{number:,}" for number in (tally.seeds, len(tally.bad), *(harms[harm] for harm in HARMS), stopped)))
    return table


def main(argv: list[str] | None = None) -> int:
    """Play, print the tables; 1 when a transfer was lost, doubled or left over, or when a mistake was not noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.transfers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20_000, help="worlds of the first pass")
    parser.add_argument("--crash", type=float, default=0.05, help="how often the process dies at each of its points")
    parser.add_argument("--heavy-seeds", type=int, default=2_000, help="worlds of the second pass, in worse weather")
    parser.add_argument("--heavy-crash", type=float, default=0.30)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--mistakes", action="store_true", help="also plant each known mistake, and count the worlds that show it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    wanted = parser.parse_args(argv)
    # A table in a file is as wide as it needs to be.
    console, began = Console(width=None if sys.stdout.isatty() else 150), time.monotonic()
    passes = [Pass(f"crashes {wanted.crash:.0%}", wanted.first, wanted.seeds, wanted.crash, Trouble())]
    if wanted.heavy_seeds:
        passes.append(Pass(f"crashes {wanted.heavy_crash:.0%}, worse weather", wanted.first, wanted.heavy_seeds, wanted.heavy_crash, TEMPEST))
    planted = [Pass(name, 0, MISTAKE_SEEDS, MISTAKE_CRASH, TEMPEST, mutant) for name, mutant in MISTAKES.items()] if wanted.mistakes else []
    tallies = run([*passes, *planted], jobs=wanted.jobs, console=console)
    honest = {known.name: tallies[known.name] for known in passes}
    console.print(table_of(honest))
    if planted:
        console.print(mistakes_of({known.name: tallies[known.name] for known in planted}))
    bad = [f"seed {seed} ({name}): {harm}" for name, tally in honest.items() for seed, harm in sorted(tally.bad.items())]
    unseen = [known.name for known in planted if not tallies[known.name].bad]
    for line in [*bad[:20], *(f"not noticed: {name}" for name in unseen)]:
        console.print(line, style="red")
    console.print(f"{time.monotonic() - began:.0f} s on {wanted.jobs} cores")
    return 1 if bad or unseen else 0


if __name__ == "__main__":
    sys.exit(main())
