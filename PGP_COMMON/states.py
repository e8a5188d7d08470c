"""This is the life cycle: a table of moves, its guard and its picture."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=enum.StrEnum)


@dataclass(frozen=True)
class Machine(Generic[S]):
    """One thing's life: its states, where it begins, and every legal move. Refuses at import what makes no sense."""

    name: str
    states: type[S]
    start: S
    moves: Mapping[S, AbstractSet[S]]

    def __post_init__(self) -> None:
        """Refuse a state without a row, and one that cannot be reached from the start."""
        missing = set(self.states) - set(self.moves)
        if missing:
            raise ValueError(f"{self.name}: no row for {sorted(missing)}")
        reached, edge = {self.start}, [self.start]
        while edge:
            for target in self.moves[edge.pop()]:
                if target not in reached:
                    reached.add(target)
                    edge.append(target)
        lost = set(self.states) - reached
        if lost:
            raise ValueError(f"{self.name}: {sorted(lost)} cannot be reached")

    def sources(self, to: S) -> list[str]:
        """Every state from which a move to `to` is legal: the WHERE of the guarded update."""
        return sorted(state.value for state, targets in self.moves.items() if to in targets)

    def edges(self) -> list[tuple[str, str]]:
        """All legal moves, in order."""
        return [(state.value, target.value) for state in self.states for target in sorted(self.moves[state])]

    def ends(self) -> frozenset[str]:
        """The states that nothing leaves."""
        return frozenset(state.value for state, targets in self.moves.items() if not targets)

    def mermaid(self) -> str:
        """The picture, as a mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start.value}"]
        lines += [f"    {source} --> {target}" for source, target in self.edges()]
        lines += [f"    {state} --> [*]" for state in sorted(self.ends())]
        return "\n".join(lines)
