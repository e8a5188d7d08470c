"""This is the cron expression: five fields, and whether a minute is meant by them."""

from __future__ import annotations

from datetime import datetime

RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def values(field: str, low: int, high: int) -> frozenset[int]:
    """The numbers that one field means: `*`, `*/5`, `1-5`, `1-9/2`, `3`, and lists of these. Raises ValueError."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        start, end = (low, high) if span == "*" else (int(first), int(last or first))
        if not low <= start <= end <= high or int(step or 1) < 1:
            raise ValueError(f"not a cron field: {field!r}")
        found |= set(range(start, end + 1, int(step or 1)))
    return frozenset(found)


def matches(cron: str, at: datetime) -> bool:
    """Whether the expression means this minute. Day of month and day of week are alternatives when both are given, as in cron(8)."""
    fields = cron.split()
    if len(fields) != len(RANGES):
        raise ValueError(f"a cron expression has five fields: {cron!r}")
    minute, hour, day, month, weekday = (values(field, *span) for field, span in zip(fields, RANGES, strict=True))
    # Sunday is 0 and 7.
    on_weekday = at.isoweekday() in weekday or at.isoweekday() % 7 in weekday
    both_given = fields[2] != "*" and fields[4] != "*"
    on_day = (at.day in day or on_weekday) if both_given else (at.day in day and on_weekday)
    return at.minute in minute and at.hour in hour and at.month in month and on_day
