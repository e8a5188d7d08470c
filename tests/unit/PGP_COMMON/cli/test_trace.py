"""A trace fits into eighty columns for a person, and is whole for a pipe."""

from __future__ import annotations

import io
from datetime import UTC, datetime

from rich.console import Console

from PGP_COMMON.cli import trace
from PGP_COMMON.money_machines.trail import Event

HASH = "0x" + "ab12" * 16
FIRST = datetime(2026, 3, 1, 23, 59, 58, 123456, tzinfo=UTC)
EVENTS = [
    Event(FIRST, "payment", "1", "observed → credited (orchestrator)"),
    Event(FIRST, "transaction", HASH, "71.101888 USDTERC20 to 0x8cbF9DacDD4893D3731ED2889Db23807999E0dbF, nonce 12"),
    Event(
        FIRST.replace(day=2), "ledger", "payout.settle 10", "owner:10:reserved 71.101888 USDTERC20; owner:10:available -47.081009 USDTERC20; income:fee 1 ETH"
    ),
    Event(FIRST.replace(day=2), "work", f"payment.settle/{'53cd5c9f' * 8}", "done"),
]


def drawn(events: list[Event], width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(trace._table(events))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_person_sees_no_line_longer_than_his_terminal_and_no_posting_in_two() -> None:
    lines = drawn(EVENTS, 80)
    assert max(map(len, lines)) <= 80
    assert any(line.endswith("owner:10:available -47.081009 USDTERC20") for line in lines)
    assert any("transaction 0xab12…ab12" in line for line in lines)


def test_days_are_told_where_there_are_several() -> None:
    assert [line.strip() for line in drawn(EVENTS, 80) if line.strip().startswith("2026")] == ["2026-03-01", "2026-03-02"]
    assert not [line for line in drawn(EVENTS[:2], 80) if "2026" in line]


def test_a_pipe_gets_a_line_an_event_with_every_hash_whole() -> None:
    lines = list(trace.lines(EVENTS))
    assert len(lines) == len(EVENTS)
    assert lines[0].startswith("2026-03-01 23:59:58.123  payment")
    assert HASH in lines[1]
    assert list(trace.lines([])) == []


def test_only_what_is_long_is_shortened() -> None:
    assert trace.shortened(f"to {HASH}, nonce 12") == "to 0xab12…ab12, nonce 12"
    assert trace.shortened("conv.finish 12; owner:9:available microbatchprocessor") == "conv.finish 12; owner:9:available microbatchprocessor"
    assert trace.shortened("T" + "x" * 33) == "Txxx…xxxx"
