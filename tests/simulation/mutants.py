"""Plants one mistake at a time into a copy of the product, runs the tests that should notice it, and tells which of them did.

`python -m tests.simulation.mutants`: first those tests must pass on the copy as it is, then each mistake must make one of them fail.
A mistake whose text is not found exactly once, or that nobody notices, fails the run. `--only WORD` takes those whose name has the word in it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.simulation.mutants_earning import EARNING
from tests.simulation.mutants_kinds import Mutant
from tests.simulation.mutants_paying import PAYING
from tests.simulation.mutants_sending import SENDING
from tests.simulation.mutants_working import WORKING
from tests.support import postgres

ROOT = Path(__file__).parents[2]
PLANTED: tuple[Mutant, ...] = (*SENDING, *WORKING, *EARNING, *PAYING)
# Nobody installs anything into a copy: it uses what the checkout uses.
SHARED = (".venv", "node_modules")
LONGEST_S, BASELINE_S = 240, 1_800
# The same database server for every run, but for those whose mistake is in the migrations.
RUN = "PYTEST_XDIST_TESTRUNUID"
NOTICED = re.compile(r"^FAILED \S+?::(\S+)", re.MULTILINE)
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Verdict:
    """What the tests made of one copy: `caught` names the test that noticed, `trouble` is why nothing can be said."""

    name: str
    path: str
    seconds: float
    caught: str = ""
    trouble: str = ""

    @property
    def survived(self) -> bool:
        """Whether nobody noticed."""
        return not self.caught and not self.trouble


class Copy:
    """A copy of the product's files that mistakes are planted in, one after the other."""

    # A file that is written twice within a second would be taken for its compiled self: each writing gets a time of its own.
    _moments = itertools.count(int(time.time()) - 10_000_000)

    def __init__(self, folder: Path) -> None:
        """Copy what git knows and what it would take, as it stands in the working tree."""
        self.folder = folder
        listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for name in SHARED:
            if (ROOT / name).exists():
                (folder / name).symlink_to((ROOT / name).resolve())

    def _write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.write_text(text, encoding="utf-8")
        moment = next(self._moments)
        os.utime(file, (moment, moment))

    @contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Make the mistake, and take it back."""
        before = {edit.path: (self.folder / edit.path).read_text(encoding="utf-8") for edit in mutant.edits}
        try:
            for edit in mutant.edits:
                self._write(edit.path, (self.folder / edit.path).read_text(encoding="utf-8").replace(edit.old, edit.new))
            yield
        finally:
            for path, text in before.items():
                self._write(path, text)

    def run(self, tests: Sequence[str], *, own_server: bool = False, longest_s: int = LONGEST_S) -> tuple[int, str]:
        """Run tests in the copy until one fails; gives back pytest's code and what it printed. Those that never end have failed."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "--no-header",
            "--tb=no",
            "-p",
            "no:cacheprovider",
            "-p",
            "randomly",
            "--randomly-seed=1",
            *tests,
        ]
        environ = {**os.environ, **({RUN: f"{os.environ[RUN]}-{self.folder.name}-{next(self._moments)}"} if own_server else {})}
        with subprocess.Popen(
            command, cwd=self.folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        ) as process:
            try:
                printed, _ = process.communicate(timeout=longest_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return FAILED, f"FAILED hung::longer_than_{longest_s}_s"
            return process.returncode, printed


def stale(mutants: Sequence[Mutant]) -> list[str]:
    """Mistakes whose text does not stand exactly once where it should, or that would not be valid Python, each in a sentence."""
    found = []
    for mutant in mutants:
        for edit in mutant.edits:
            text = (ROOT / edit.path).read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                found.append(f"{mutant.name}: its text stands {text.count(edit.old)} times in {edit.path}")
            elif edit.path.endswith(".py"):
                try:
                    compile(text.replace(edit.old, edit.new), edit.path, "exec")
                except SyntaxError as error:
                    found.append(f"{mutant.name}: {edit.path} would be no Python: {error}")
    return found


def judge(name: str, path: str, code: int, printed: str, seconds: float) -> Verdict:
    """What a run of the tests says of a mistake. A test that could not even begin has noticed nothing."""
    noticed = NOTICED.search(printed)
    if code == FAILED and noticed:
        return Verdict(name, path, seconds, caught=noticed[1])
    if code == PASSED:
        return Verdict(name, path, seconds)
    return Verdict(name, path, seconds, trouble=(printed.strip().splitlines() or ["no output"])[-1][:200])


def play(mutant: Mutant, copies: SimpleQueue[Copy]) -> Verdict:
    """Plant a mistake in a free copy, and run its tests."""
    copy = copies.get()
    began = time.monotonic()
    try:
        with copy.planted(mutant):
            code, printed = copy.run(mutant.tests, own_server=mutant.changes_schema)
        return judge(mutant.name, mutant.path, code, printed, time.monotonic() - began)
    finally:
        copies.put(copy)


def baseline(mutants: Sequence[Mutant], copies: SimpleQueue[Copy], jobs: int) -> list[str]:
    """Run every named test on the product as it is; gives back what does not pass, because it could catch nothing."""
    tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))

    def part(number: int) -> str:
        copy = copies.get()
        try:
            code, printed = copy.run(tests[number::jobs], longest_s=BASELINE_S) if tests[number::jobs] else (PASSED, "")
            return "" if code == PASSED else printed[-1500:]
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(jobs) as pool:
        return [said for said in pool.map(part, range(jobs)) if said]


def table_of(verdicts: Sequence[Verdict]) -> Table:
    """Every mistake and who noticed it."""
    table = Table("mutant", "file", "caught by", "seconds", title=f"{len(verdicts)} mutants", box=None)
    for verdict in verdicts:
        caught = escape(verdict.caught) or f"[red]{escape(verdict.trouble) or 'survived'}[/red]"
        table.add_row(verdict.name, verdict.path.replace("PGP_COMMON/money_machines/", ".../"), caught, f"{verdict.seconds:.0f}")
    return table


def play_all(mutants: Sequence[Mutant], copies: SimpleQueue[Copy], *, jobs: int, console: Console) -> list[Verdict]:
    """Play every mistake, so many at once; in the order in which they are listed."""
    done: dict[str, Verdict] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ThreadPoolExecutor(jobs) as pool, Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("mutants", total=len(mutants))
        work = {pool.submit(play, mutant, copies): mutant for mutant in mutants}
        for ended in as_completed(work):
            verdict = ended.result()
            done[verdict.name] = verdict
            if not verdict.caught:
                progress.console.print(f"{verdict.name}: {verdict.trouble or 'survived'}", style="red")
            progress.advance(bar)
    return [done[mutant.name] for mutant in mutants]


def main(argv: list[str] | None = None) -> int:
    """Play and print; 1 when a mistake survived, 2 when nothing can be said of one."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--only", action="append", help="those with this word in their name or file; may be given several times")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-baseline", action="store_true", help="believe that the tests pass as they are")
    parser.add_argument("--list", action="store_true", help="only say which there are")
    wanted = parser.parse_args(argv)
    # A table in a file is as wide as it needs to be.
    console, began = Console(width=None if sys.stdout.isatty() else 170), time.monotonic()
    mutants = [mutant for mutant in PLANTED if any(word in mutant.name or word in mutant.path for word in wanted.only or [""])]
    if wanted.list:
        for mutant in mutants:
            console.print(mutant.name)
        return 0
    if lines := stale(mutants):
        console.print("\n".join(lines), style="red")
        return 2
    os.environ[RUN] = f"mutants{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="pgp-mutants-") as folder:
        # Held open here, so that the server outlives each run that uses it.
        postgres.server()
        try:
            copies: SimpleQueue[Copy] = SimpleQueue()
            for number in range(wanted.jobs):
                copies.put(Copy(Path(folder) / f"copy{number}"))
            if not wanted.no_baseline and (said := baseline(mutants, copies, wanted.jobs)):
                console.print("\n".join(["these tests do not pass on the product as it is:", *said]), style="red", markup=False)
                return 2
            verdicts = play_all(mutants, copies, jobs=wanted.jobs, console=console)
        finally:
            postgres.release()
    console.print(table_of(verdicts))
    survivors, unclear = sum(verdict.survived for verdict in verdicts), sum(bool(verdict.trouble) for verdict in verdicts)
    console.print(f"{len(verdicts) - survivors - unclear} caught, {survivors} survived, {unclear} unclear, {time.monotonic() - began:.0f} s")
    return 2 if unclear else int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
