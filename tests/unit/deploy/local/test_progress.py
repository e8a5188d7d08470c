"""The table of a fleet shows every address whole, however narrow the terminal is."""

from __future__ import annotations

import pytest
from rich.console import Console

from deploy.local import book, progress
from deploy.local.book import Book, Entry
from PGP_COMMON.fleet import FLEET

ENTRIES = (
    Entry("postgres", "infrastructure", "postgresql://127.0.0.1:20664", state=book.READY, ready_s=3.4),
    *(Entry(service.name, "service", f"http://127.0.0.1:{21000 + place}", state=book.STARTING) for place, service in enumerate(FLEET)),
    Entry("migrate-up", "job", state=book.DONE),
)


@pytest.mark.parametrize("width", [80, 140])
def test_every_address_is_whole_and_no_line_is_too_long(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(progress, "Console", lambda **_: Console(width=width, force_terminal=True, color_system=None))
    progress.table(Book(phase="ready", entries=ENTRIES))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= width
    for entry in ENTRIES[:-1]:
        assert any(entry.name in line and entry.url in line for line in lines)
    assert not any("migrate-up" in line for line in lines)
    assert ("restarts" in lines[0]) == (width > 110)


def test_a_start_is_told_a_line_a_kind_on_a_terminal_and_a_line_a_program_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    now = Book(entries=ENTRIES)
    Console(width=400).print(progress._overview(now))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()] == ["infrastructure", "service", "job"]
    with progress.shown() as show:
        show(now)
        show(now)
    assert capsys.readouterr().out.splitlines() == ["✓ postgres ready (3.4 s)", "✓ migrate-up done (0.0 s)"]
