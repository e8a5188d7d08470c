"""Keeps the price that each source gives for each coin."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from deploy.simulators.books import Books, Row
from deploy.simulators.prices.names import NAMES, USUAL_USD

SOURCES = ("coingecko", "cryptocompare", "oneinch")
SCHEMA = """
CREATE TABLE IF NOT EXISTS prices (
    source TEXT NOT NULL, asset TEXT NOT NULL, usd TEXT, age_s INTEGER NOT NULL, PRIMARY KEY (source, asset)
);
CREATE TABLE IF NOT EXISTS asked (
    source TEXT NOT NULL, asset TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (source, asset)
);
"""


@dataclass(frozen=True)
class Price:
    """What one source says: US dollars for one whole coin, and when it learned that (seconds since 1970)."""

    usd: Decimal
    updated_at: int


class Quotes:
    """Every source's prices; what nobody set is the market's usual price, a moment old."""

    def __init__(self, state_dir: Path) -> None:
        """Open the books in a directory."""
        self.books = Books(state_dir / "prices.sqlite", SCHEMA)

    def price(self, source: str, asset: str) -> Price | None:
        """Read a price by the coin's CoinGecko id and count the question; None when the source does not have it."""
        self.books.run(
            "INSERT INTO asked VALUES (?, ?, 1) ON CONFLICT (source, asset) DO UPDATE SET times = times + 1",
            (source, asset),
        )
        row = self.books.one("SELECT usd, age_s FROM prices WHERE source = ? AND asset = ?", (source, asset))
        usd = USUAL_USD.get(asset) if row is None else row["usd"]
        if usd is None:
            return None
        return Price(Decimal(usd), int(time.time()) - (row["age_s"] if row else 0))

    def set(self, order: dict[str, Any]) -> list[Row]:
        """Take {coin, usd, age_s?, source?}: usd null makes it absent, no source means all of them. Raises ValueError."""
        code, source = str(order.get("coin")), order.get("source")
        if code not in NAMES:
            raise ValueError(f"no such coin: {code}; there are {', '.join(NAMES)}")
        if source is not None and source not in SOURCES:
            raise ValueError(f"no such source: {source}; there are {', '.join(SOURCES)}")
        usd = None if order.get("usd") is None else decimal_text(order["usd"])
        rows = [(name, NAMES[code].coingecko, usd, int(order.get("age_s") or 0)) for name in SOURCES if source in {None, name}]
        with self.books.write() as connection:
            connection.executemany("INSERT OR REPLACE INTO prices VALUES (?, ?, ?, ?)", rows)
        return self.all()

    def all(self) -> list[Row]:
        """Read every price that was set."""
        return self.books.all("SELECT * FROM prices ORDER BY source, asset")

    def questions(self) -> list[Row]:
        """Read how often each price was asked for."""
        return self.books.all("SELECT * FROM asked ORDER BY source, asset")


def decimal_text(given: Any) -> str:
    """Write a price as exact decimal digits; raises ValueError."""
    try:
        usd = Decimal(str(given))
    except InvalidOperation:
        raise ValueError(f"no price: {given}") from None
    if not usd.is_finite():
        raise ValueError(f"no price: {given}")
    return str(usd)
