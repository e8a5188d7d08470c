"""How a run is told: a line of figures while it goes on, and one table at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

# Where nobody looks on, a line is enough every so many seconds.
QUIET_S = 15.0


@dataclass
class Result:
    """What a run came to; everything that failed is a sentence in `problems`."""

    seed: int
    payments: int = 0
    owners: int = 0
    buyers: int = 0
    shapes: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    asked_again: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    stuck: int = 0
    letters: int = 0
    storm_s: float = 0
    calm_s: float = 0
    run_s: float = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.problems or self.lost or self.doubled or self.stuck)

    def as_dict(self) -> dict[str, Any]:
        """For a machine."""
        return {**asdict(self), "ok": self.is_good}


class Telling:
    """Says what goes on."""

    def __init__(self, *, quiet: bool) -> None:
        """Begin the clock; `quiet` leaves standard output to whoever reads the result from it."""
        self.console = Console(stderr=quiet)
        self.began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def line(self, text: str) -> None:
        """Say something, whole."""
        self.console.print(f"{self.elapsed_s:7.1f} s  {text}", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def act(self, what: str) -> Iterator[Callable[[str], None]]:
        """Tell an act; what is handed out takes how far it is."""
        begun = self.elapsed_s
        if self.console.is_terminal:
            with self._live(what, begun) as tell:
                yield tell
        else:
            self.line(f"{what} ...")
            yield self._now_and_then()
        self.line(f"{what}: {self.elapsed_s - begun:.0f} s")

    def _now_and_then(self) -> Callable[[str], None]:
        said = [time.monotonic()]

        def tell(text: str) -> None:
            if time.monotonic() - said[0] >= QUIET_S:
                said[0] = time.monotonic()
                self.line(f"  {text}")

        return tell

    @contextmanager
    def _live(self, what: str, begun: float) -> Iterator[Callable[[str], None]]:
        spinner, detail = Spinner("dots"), Text(style="dim", overflow="fold")

        def now() -> Group:
            spinner.update(text=f"{self.elapsed_s:7.1f} s  {what} ({self.elapsed_s - begun:.0f} s)")
            return Group(spinner, detail)

        with Live(get_renderable=now, console=self.console, refresh_per_second=4, transient=True):
            yield lambda text: setattr(detail, "plain", " " * 12 + text)


def table(result: Result) -> Table:
    """The one table at the end."""
    found = Table(title=f"chaos, seed {result.seed}", show_header=False, title_justify="left")
    found.add_column(style="bold")
    found.add_column(overflow="fold")
    rows = {
        "payments": f"{result.payments} of {result.buyers} buyers ({listed(result.shapes)})",
        "owners": str(result.owners),
        "kills": f"{sum(result.killed.values())} ({listed(result.killed)})",
        "vendor faults met": f"{sum(result.met.values())} ({listed(result.met)})",
        "troubles": listed(result.troubles),
        "troubles without anybody to meet": listed(result.missed),
        "transfers": str(result.counts.get("transfers", 0)),
        "conversions": str(result.counts.get("conversions", 0)),
        "payouts": str(result.counts.get("payouts", 0)),
        "asked to be let in once more": str(result.asked_again),
        "letters that the plan explains": str(result.letters),
        "lost": str(result.lost),
        "doubled": str(result.doubled),
        "stuck": str(result.stuck),
        "storm": f"{result.storm_s:.0f} s",
        "everything over": f"{result.calm_s:.0f} s after the faults had ended",
        "in all": f"{result.run_s:.0f} s",
    }
    for name, value in rows.items():
        bad = name in {"lost", "doubled", "stuck"} and value != "0"
        found.add_row(name, Text(value, style="bold red" if bad else ""))
    return found


def listed(counts: Mapping[str, int]) -> str:
    """Counts, the largest first."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count) or "none"
