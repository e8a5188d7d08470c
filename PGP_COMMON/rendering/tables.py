"""Markdown tables, and the line that says where a file comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def notice(source: str, *, comment: str = "<!-- {} -->") -> str:
    """The first line of a rendered file."""
    return comment.format(f"Written by `pgp fleet render` from {source}. Do not edit.")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
