"""The generated parts of a page that people write: what stands between two marks is written from the code, the rest is theirs."""

from __future__ import annotations

import re
from collections.abc import Callable

_PART = re.compile(r"(<!-- generated: (?P<what>[a-z_ ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str, part: Callable[[str], str]) -> str:
    """A page's text with what stands between its marks as `part` says for each mark's name."""
    return _PART.sub(lambda found: f"{found[1]}{part(found['what'])}\n{found[3]}", text)


def marks(text: str) -> list[str]:
    """The names of a page's marks, in order."""
    return [found["what"] for found in _PART.finditer(text)]
