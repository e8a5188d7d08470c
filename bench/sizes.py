"""What the services weigh, and how long each took to be ready."""

from __future__ import annotations

from dataclasses import dataclass

from bench.fleet import Fleet
from deploy.local import report

MIB = 1024 * 1024


@dataclass(frozen=True)
class Weight:
    """One program: resident memory in MiB, whole (RSS) and with shared pages divided (PSS), and seconds from its start until it was ready."""

    name: str
    kind: str
    rss_mib: float
    pss_mib: float
    ready_s: float


def weigh(fleet: Fleet) -> list[Weight]:
    """Every program, as it is now."""
    return [_weight(entry.name, entry.kind, report.memory_of(entry), entry.ready_s) for entry in fleet.programs]


def _weight(name: str, kind: str, used: report.Memory, ready_s: float) -> Weight:
    return Weight(name, kind, round(used.rss / MIB, 1), round(used.pss / MIB, 1), ready_s)
