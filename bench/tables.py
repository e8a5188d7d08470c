"""What was measured as tables: on a terminal, and as the page docs/performance.md, which nobody else writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.counting import Questions
from bench.fleet import Start
from bench.intake import Intake, Rate
from bench.payments import Run
from bench.sizes import Weight

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "performance.md"
# A program that uses less processor time a payment than this had nothing to do with it.
IDLE_MS: Final = 0.05


@dataclass(frozen=True)
class Machine:
    """Where and when it was measured."""

    day: str
    cores: int
    kind: str
    python: str
    postgres: str


@dataclass(frozen=True)
class Measured:
    """One run of the benchmark."""

    machine: Machine
    start: Start
    orders_per_second: float
    intake: Intake
    at_once: Run
    steady: Run
    questions: Questions
    weights: list[Weight]


@dataclass(frozen=True)
class Sheet:
    """A table with what has to be known to read it; the first column is text, the others are numbers."""

    title: str
    note: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def sheets(found: Measured) -> Iterator[Sheet]:
    """Every table, in order."""
    yield _intake(found.intake)
    yield _payments(found)
    yield _costs(found)
    if found.questions.vendors:
        yield _vendors(found.questions)
    yield _weights(found.weights)
    if found.start.first_s is not None:
        yield _start(found.start)


def _intake(found: Intake) -> Sheet:
    note = (
        f"{found.notices} notices a burst over {found.connections} keep-alive connections of one program, {len(found.bare)} bursts to each view by turns, "
        "the median of them; every notice differs and is signed. The bare view is Flask with one INSERT through the services' own engine, under the same "
        "gunicorn settings. The queue that settles notices is paused meanwhile, except in the last line. CPU: the view's own process, a notice."
    )
    rows = [
        ("bare view", *_rates(found.bare), ""),
        ("pgp-np-ipn-v1", *_rates(found.service), f"{found.ratio:.2f} of the bare view"),
        ("pgp-np-ipn-v1 while its notices are settled", *_rates([found.busy]), ""),
    ]
    return Sheet("Signed notices taken in", note, ("", "a second", "median ms", "99 % ms", "CPU ms", ""), rows)


def _rates(rates: Sequence[Rate]) -> tuple[str, ...]:
    middle = sorted(rates, key=lambda rate: rate.per_second)[len(rates) // 2]
    refused = sum(rate.refused for rate in rates)
    per_second = f"{middle.per_second:.0f}" + (f" ({refused} refused)" if refused else "")
    return per_second, f"{middle.median_ms:.1f}", f"{middle.p99_ms:.1f}", f"{middle.cpu_ms:.2f}"


def _payments(found: Measured) -> Sheet:
    note = (
        "From the notice that a payment is finished (kept by pgp-np-ipn-v1) until it is credited with the owner's part written down, the invite is sent "
        "and the owner is told; the vendors' simulators, the queue and the database share the cores with the services. Telegram's pacing is lifted. "
        "The look for the vendor's transfer comes later and is not in it."
    )
    rows = []
    for label, run in (("all at once", found.at_once), ("steadily", found.steady)):
        rows += [
            (f"{run.payments} payments {label}: everything done", f"{run.per_second:.1f}", f"{run.all_done.median_s:.2f}", f"{run.all_done.p99_s:.2f}"),
            ("· credited", "", f"{run.credited.median_s:.2f}", f"{run.credited.p99_s:.2f}"),
            ("· invite sent", "", f"{run.invited.median_s:.2f}", f"{run.invited.p99_s:.2f}"),
            ("· owner told", "", f"{run.told.median_s:.2f}", f"{run.told.p99_s:.2f}"),
        ]
    rows.append(("orders made in the bot, with payment link", f"{found.orders_per_second:.1f}", "", ""))
    return Sheet("Payments carried through", note, ("", "a second", "median s", "99 % s"), rows)


def _costs(found: Measured) -> Sheet:
    asked = found.questions
    note = (
        f"CPU: of the payments all at once. SQL and tasks: {asked.payments} more payments, counted by the database and the queue themselves; each statement "
        "is one round trip, BEGIN and COMMIT (in brackets) among them."
    )
    if not asked.statements:
        note += " The database is not the fleet's own: its statements were not counted."
    names = [name for name, ms in found.at_once.cpu_ms.items() if ms >= IDLE_MS or name in asked.statements]
    rows = []
    for name in names:
        sql = f"{asked.statements[name]:.1f} ({asked.ends.get(name, 0):.1f})" if name in asked.statements else ""
        rows.append((name, f"{found.at_once.cpu_ms[name]:.2f}", sql, f"{asked.tasks[name]:.1f}" if name in asked.tasks else ""))
    total = (
        f"{sum(found.at_once.cpu_ms.values()):.1f}",
        f"{sum(asked.statements.values()):.1f} ({sum(asked.ends.values()):.1f})",
        f"{sum(asked.tasks.values()):.1f}",
    )
    return Sheet("What one payment costs, program by program", note, ("", "CPU ms", "SQL statements", "tasks delivered"), [*rows, ("together", *total)])


def _vendors(asked: Questions) -> Sheet:
    rows = [(name, f"{number:.2f}") for name, number in asked.vendors.items()]
    return Sheet("What vendors are asked for one payment", "Counted by the simulators, in the same run.", ("", "calls"), rows)


def _weights(found: Sequence[Weight]) -> Sheet:
    note = "Resident memory after all of the above: whole (RSS), and with shared pages divided among those who share them (PSS)."
    rows = [(one.name, f"{one.rss_mib:.0f}", f"{one.pss_mib:.0f}", f"{one.ready_s:.1f}") for one in found]
    services = [one for one in found if one.kind == "service"]
    for label, some in ((f"the {len(services)} services", services), ("together", found)):
        rows.append((label, f"{sum(one.rss_mib for one in some):.0f}", f"{sum(one.pss_mib for one in some):.0f}", ""))
    return Sheet("What the programs weigh", note, ("", "RSS MiB", "PSS MiB", "ready after s"), rows)


def _start(found: Start) -> Sheet:
    rows = [("in an empty directory", f"{found.first_s}"), ("again in the same one", f"{found.again_s}")]
    return Sheet("From `pgp up` until everything is ready", "The database is made, the schema and the chain's token with it, the first time.", ("", "s"), rows)


def show(found: Measured) -> None:
    """Print every table."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    for sheet in sheets(found):
        table = Table(title=sheet.title, title_justify="left", title_style="bold", caption=sheet.note, caption_justify="left", box=None, pad_edge=False)
        for place, head in enumerate(sheet.head):
            table.add_column(head, justify="right" if place else "left")
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table, "")


def page(found: Measured) -> str:
    """Write docs/performance.md."""
    here = found.machine
    cores = {1: "one core", 2: "two cores", 4: "four cores"}.get(here.cores, f"{here.cores} cores")
    lines = [
        "# Performance",
        "",
        "<!-- Written by `python -m bench --write`; not by hand. -->",
        f"Measured on {here.day} with `python -m bench --write` (`make bench` shows the same tables), in one run on a warm fleet:",
        f"{cores} ({here.kind}) for everything together, Python {here.python}, PostgreSQL {here.postgres}.",
        "Numbers of one run on one machine: they say where time goes and what changed, not what another machine does.",
    ]
    for sheet in sheets(found):
        lines += ["", f"## {sheet.title}", "", sheet.note, "", f"| {' | '.join(sheet.head)} |", "|---|" + "---:|" * (len(sheet.head) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in sheet.rows]
    return "\n".join(lines) + "\n"


def write(found: Measured) -> None:
    """Replace the page."""
    PAGE.write_text(page(found), encoding="utf-8")
