"""Reads a vendor's JSON object field by field: what is missing, malformed or absurd is a BadAnswer that names the field."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

from PGP_COMMON.errors import BadAnswer, BadInput
from PGP_COMMON.money import exact

T = TypeVar("T")

# Longer text from a vendor is a mistake: the longest that they really send is a description.
LONGEST_TEXT = 4096
# PostgreSQL stores neither NUL nor lone surrogates.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
DIGITS = re.compile(r"[0-9]{1,38}", re.ASCII)


class Fields:
    """One JSON object of one vendor. Each method reads one field; `_or_none` ones take absent and null as None."""

    def __init__(self, vendor: str, data: object) -> None:
        """Take the object; raises BadAnswer if it is none."""
        if not isinstance(data, dict):
            raise BadAnswer("no JSON object", vendor=vendor)
        self.vendor = vendor
        self.data: dict[str, Any] = data

    def __contains__(self, name: str) -> bool:
        return self.data.get(name) is not None

    def _bad(self, name: str) -> BadAnswer:
        return BadAnswer(f"{name} is missing or malformed", vendor=self.vendor, field=name)

    def _or_none(self, name: str, reader: Callable[[str], T]) -> T | None:
        return reader(name) if name in self else None

    def text(self, name: str) -> str:
        """Text that is not empty."""
        value = self.data.get(name)
        if not isinstance(value, str) or not value or len(value) > LONGEST_TEXT or UNSTORABLE.search(value):
            raise self._bad(name)
        return value

    def text_or_none(self, name: str) -> str | None:
        """Text; empty text is None too."""
        return None if self.data.get(name) == "" else self._or_none(name, self.text)

    def number(self, name: str) -> Decimal:
        """A number, whether written as JSON number or as text; no digit is lost."""
        value = self.data.get(name)
        if not isinstance(value, str | int | Decimal):
            raise self._bad(name)
        try:
            return exact(value)
        except BadInput as error:
            raise self._bad(name) from error

    def number_or_none(self, name: str) -> Decimal | None:
        """A number, or None."""
        return self._or_none(name, self.number)

    def digits(self, name: str) -> str:
        """An identifier of digits, whether written as JSON integer or as text (contracts: the same id comes as both)."""
        value = self.data.get(name)
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not DIGITS.fullmatch(text):
            raise self._bad(name)
        return text

    def digits_or_none(self, name: str) -> str | None:
        """An identifier of digits, or None."""
        return self._or_none(name, self.digits)

    def moment_or_none(self, name: str) -> datetime | None:
        """A time in ISO 8601 (UTC unless it says otherwise), or None."""
        return self._or_none(name, self._moment)

    def _moment(self, name: str) -> datetime:
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError as error:
            raise self._bad(name) from error
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment

    def flag(self, name: str) -> bool:
        """True or false; absent is false."""
        value = self.data.get(name, False)
        if not isinstance(value, bool):
            raise self._bad(name)
        return value

    def items(self, name: str) -> list[Any]:
        """A list."""
        value = self.data.get(name)
        if not isinstance(value, list):
            raise self._bad(name)
        return value
