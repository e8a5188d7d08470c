"""How the play is told while it goes on: a line an act, with a spinner and a stopwatch where somebody looks on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

# Under the words of the act.
INDENT = " " * 12


class Telling:
    """Tells the acts of one play."""

    def __init__(self, console: Console | None = None) -> None:
        """Begin the clock."""
        self.console = console or Console()
        self.began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def line(self, text: str) -> None:
        """Say something, whole: a hash must not be broken in two."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def act(self, what: str) -> Iterator[Callable[[str], None]]:
        """Tell one act: that it has begun, how far it is (what is handed out takes that), and how long it took."""
        begun = self.elapsed_s
        if self.console.is_terminal:
            with self._live(what, begun) as tell:
                yield tell
        else:
            self.console.print(f"{begun:6.1f} s  {what} ... ", end="", highlight=False, markup=False, soft_wrap=True)
            try:
                yield lambda _detail: None
            except BaseException:
                self.line(f"not done after {self.elapsed_s - begun:.1f} s")
                raise
            self.line(f"{self.elapsed_s - begun:.1f} s")

    @contextmanager
    def _live(self, what: str, begun: float) -> Iterator[Callable[[str], None]]:
        """A spinner with a stopwatch, and under it how far the act is."""
        spinner, detail = Spinner("dots"), Text(style="dim", no_wrap=True, overflow="ellipsis")

        def now() -> Group:
            spinner.update(text=f"{self.elapsed_s - begun:6.1f} s  {what}")
            return Group(spinner, detail)

        mark = "[red]✗[/]"
        try:
            with Live(get_renderable=now, console=self.console, refresh_per_second=8, transient=True):
                yield lambda text: setattr(detail, "plain", f"{INDENT}{text}")
            mark = "[green]✓[/]"
        finally:
            self.console.print(f"{mark} {self.elapsed_s - begun:6.1f} s  {what}", highlight=False)
