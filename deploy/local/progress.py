"""What a person sees while a fleet starts, and the table afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local import book, report
from deploy.local.book import Book, Entry

MARKS = {book.WAITING: "·", book.STARTING: "…", book.READY: "✓", book.DONE: "✓", book.DOWN: "✗"}
STYLES = {book.READY: "green", book.DONE: "green", book.STARTING: "yellow", book.DOWN: "red"}
MIB = 1024 * 1024


@contextlib.contextmanager
def shown() -> Iterator[Callable[[Book], None]]:
    """Show the start as it goes: one living line per kind on a terminal, one line per finished program elsewhere."""
    console = Console()
    if not console.is_terminal:
        yield _teller(console)
        return
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield lambda now: live.update(_overview(now))


def _teller(console: Console) -> Callable[[Book], None]:
    told: set[tuple[str, str, int]] = set()

    def tell(now: Book) -> None:
        for entry in now.entries:
            key = (entry.name, entry.state, entry.pid)
            if entry.state in {book.READY, book.DONE, book.DOWN} and key not in told:
                told.add(key)
                console.print(f"{MARKS[entry.state]} {entry.name} {entry.state} ({entry.ready_s:.1f} s)", highlight=False)

    return tell


def _overview(now: Book) -> Table:
    """One line per kind: each program with its mark."""
    grid = Table.grid(padding=(0, 2))
    for kind in dict.fromkeys(entry.kind for entry in now.entries):
        names = Text()
        for entry in now.of_kind(kind):
            names.append(f"{MARKS[entry.state]} {_short(entry)}  ", style=STYLES.get(entry.state, "dim"))
        grid.add_row(Text(kind, style="bold"), names)
    return grid


def _short(entry: Entry) -> str:
    return entry.name.removeprefix("pgp-").removesuffix("-v1")


def table(now: Book) -> None:
    """Every program with its address, its memory and how long it took."""
    console = Console()
    if not console.is_terminal:
        # What reads a pipe wants whole addresses.
        console = Console(width=140)
    if not now.entries:
        console.print("the fleet does not run" + (f": {now.error}" if now.error else ""), highlight=False, markup=False)
        return
    grid = Table(box=None, header_style="bold", pad_edge=False)
    for heading, justify in (("", "left"), ("program", "left"), ("address", "left"), ("pid", "right"), ("RSS MiB", "right"), ("PSS MiB", "right")):
        grid.add_column(heading, justify=justify)  # type: ignore[arg-type]
    grid.add_column("ready after", justify="right")
    grid.add_column("restarts", justify="right")
    rss = pss = 0
    for entry in now.entries:
        used = report.memory_of(entry)
        rss, pss = rss + used.rss, pss + used.pss
        row = (entry.name, entry.url, str(entry.pid), _mib(used.rss), _mib(used.pss), f"{entry.ready_s:.1f} s", str(entry.restarts or ""))
        if entry.kind != "job":
            grid.add_row(Text(MARKS[entry.state], style=STYLES.get(entry.state, "")), *row)
    grid.add_row("", "together", "", "", _mib(rss), _mib(pss), f"{now.ready_s:.1f} s", "")
    console.print(grid)


def _mib(count: int) -> str:
    return f"{count / MIB:.0f}"
