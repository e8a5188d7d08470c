"""The generated parts of docs/money.md and docs/errors.md: pictures of the machines, and what the code does when something fails."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from PGP_COMMON import clients, http
from PGP_COMMON.clients import prices, secrets, telegram
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Budget, Service, Step
from PGP_COMMON.money_machines import MACHINES
from PGP_COMMON.rendering import marks
from PGP_COMMON.rendering.tables import table

PAGES: Final = ("docs/money.md", "docs/errors.md")
HOUR_S: Final = 3600


def render(root: Path) -> dict[str, str]:
    """Both pages with their generated parts as the code says."""
    return {page: marks.filled((root / page).read_text(encoding="utf-8"), part) for page in PAGES}


def part(what: str) -> str:
    """One generated part by its mark's name; raises KeyError for a name that nobody knows."""
    if what.startswith("picture "):
        return picture(what.removeprefix("picture "))
    return PARTS[what]()


def picture(name: str) -> str:
    """A machine's life cycle as a mermaid diagram."""
    machine = next(machine for machine in MACHINES if machine.name == name)
    return f"```mermaid\n{machine.mermaid()}\n```"


def lost_answers() -> str:
    """What follows a lost answer of every call that changes something, and of reads."""
    for module in pkgutil.iter_modules(clients.__path__):
        importlib.import_module(f"{clients.__name__}.{module.name}")
    effects = sorted(http.EFFECTS.values(), key=lambda effect: (effect.vendor, effect.method))
    changing = [effect for effect in effects if not effect.reason.startswith("a read ")]
    rows = [(f"`{effect.vendor}.{effect.method}`", effect.on_lost.value, effect.reason) for effect in changing]
    return table(("call", "lost answer", "because"), [*rows, ("every read", http.OnLost.REPEAT.value, "a read changes nothing")])


def limits() -> str:
    """How long each vendor is waited for, and what is repeated at once."""
    pauses = " and ".join(f"{pause} s" for pause in http.READ_PAUSES_S)
    reads = f"reads that failed fast, after {pauses}"
    usual = (f"{http.CONNECT_TIMEOUT_S:g} s", f"{http.READ_TIMEOUT_S:g} s", f"{http.CONNECT_TIMEOUT_S + http.READ_TIMEOUT_S:g} s", reads)
    quick = (f"{prices.CONNECT_TIMEOUT_S:g} s", f"{prices.READ_TIMEOUT_S:g} s", f"{prices.CONNECT_TIMEOUT_S + prices.READ_TIMEOUT_S:g} s", reads)
    from PGP_COMMON.clients import ethereum  # noqa: PLC0415 - its module brings a hash library that nothing else here needs

    chain = (f"{http.CONNECT_TIMEOUT_S:g} s", f"{ethereum.READ_TIMEOUT_S:g} s", f"{http.CONNECT_TIMEOUT_S + ethereum.READ_TIMEOUT_S:g} s a node", reads)
    bot = (f"{http.CONNECT_TIMEOUT_S:g} s", f"{http.READ_TIMEOUT_S:g} s", f"{telegram.LONGEST_CALL_S:g} s", reads)
    rows = [
        ("NOWPayments, ChangeNOW, SendGrid", *usual),
        ("CoinGecko, CryptoCompare, 1inch", *quick),
        ("Ethereum", *chain),
        ("Telegram", *bot),
        (
            "Secret Manager",
            "-",
            f"{secrets.TIMEOUT_S:g} s",
            f"{secrets.TIMEOUT_S:g} s",
            "no; asked again after its time to live, the last good value meanwhile",
        ),
    ]
    return table(("vendor", "to connect", "to answer", "in all", "repeated at once"), rows)


def budgets() -> str:
    """How often each step is tried for a passing reason, for how long that is in all, and whom it leaves alone."""
    rows = ((f"`{step.name}`", service.short, *_of(step)) for service, step in _steps())
    return table(("step", "runs in", "vendor that it leaves alone", "tries", "waits between them", "in all about", "switch"), rows)


def _steps() -> Iterable[tuple[Service, Step]]:
    return ((service, step) for service in FLEET for step in service.steps)


def _of(step: Step) -> tuple[str, str, str, str, str]:
    budget = step.budget
    waits = f"{budget.first_wait_s} s, doubled up to {budget.longest_wait_s} s"
    return step.vendor or "-", str(budget.attempts), waits, _span(budget), step.switch or "-"


def _span(budget: Budget) -> str:
    """How long a budget lasts, in words."""
    seconds = sum(min(budget.first_wait_s * 2 ** min(turn, 20), budget.longest_wait_s) for turn in range(budget.attempts - 1))
    return f"{seconds / HOUR_S:.0f} h" if seconds >= HOUR_S else f"{seconds // 60} min"


PARTS: Final[dict[str, Callable[[], str]]] = {"lost answers": lost_answers, "limits": limits, "budgets": budgets}
