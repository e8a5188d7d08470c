"""Prices in USD: the median of the sources that answer with a fresh value and agree (product.md 7.15; contracts: section 6)."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from PGP_COMMON import log
from PGP_COMMON.clients.fields import Fields
from PGP_COMMON.errors import BadAnswer, GiveUp, Lost, Throttled, TryAgain
from PGP_COMMON.http import Http, OnLost, effect, refusal

LOG = log.get(__name__)

# Three sources are asked one after the other, and two are enough: none may hold a step up for long.
CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 3.0
# How old a price may be when its source says its age; the setting PRICE_MAX_AGE_S.
MAX_AGE_S: Final = 600
# Sources differ by tenths of a percent on a calm day and by a few percent on a wild one; 5 % apart, one of them is wrong.
FAR_OFF: Final = Decimal("0.05")
# A price is used again for so long: the sources' free plans allow few calls, and no decision here turns on seconds.
CACHE_S: Final = 30.0
# The address that stands for the chain's own coin at 1inch.
ONEINCH_NATIVE: Final = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"


@dataclass(frozen=True, slots=True)
class PricedCoin:
    """A coin as the sources name it. What is None, that source is not asked; `token` is a contract on Ethereum, or ONEINCH_NATIVE."""

    coingecko_id: str | None
    symbol: str | None
    token: str | None


class Prices:
    """The price of a coin, or nothing: no coin is ever taken to be worth a dollar."""

    def __init__(
        self,
        *,
        coingecko: Http,
        cryptocompare: Http,
        oneinch: Http,
        coingecko_key: Callable[[], str] = str,
        cryptocompare_key: Callable[[], str] = str,
        oneinch_key: Callable[[], str] = str,
        max_age_s: int = MAX_AGE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take each source and its key (empty: keyless; without a key 1inch is left out). `now` is the Unix time in seconds."""
        self._coingecko, self._cryptocompare, self._oneinch = coingecko, cryptocompare, oneinch
        self._coingecko_key, self._cryptocompare_key, self._oneinch_key = coingecko_key, cryptocompare_key, oneinch_key
        self._max_age_s = max_age_s
        self._now = now
        self._cache: dict[PricedCoin, tuple[Decimal, float]] = {}
        self._lock = threading.Lock()

    def usd(self, coin: PricedCoin) -> Decimal | None:
        """USD for one whole coin; None when no source answers, or those that do cannot agree. Never raises for a source."""
        with self._lock:
            price, until = self._cache.get(coin, (None, 0.0))
        if price is not None and self._now() < until:
            return price
        found = {source.__name__: value for source in (self.from_coingecko, self.from_cryptocompare, self.from_oneinch) if (value := _try(source, coin))}
        price = agreed(found.values())
        if price is None:
            LOG.warning("no price", coin=coin.symbol or coin.coingecko_id, sources=len(found))
            return None
        with self._lock:
            self._cache[coin] = (price, self._now() + CACHE_S)
        return price

    @effect(OnLost.REPEAT, reason="a read changes nothing; the other sources are asked instead")
    def from_coingecko(self, coin: PricedCoin) -> Decimal | None:
        """Ask CoinGecko; None for a coin that it does not know, or a price that is too old."""
        if coin.coingecko_id is None:
            return None
        params = {"ids": coin.coingecko_id, "vs_currencies": "usd", "include_last_updated_at": "true", "precision": "full"}
        key = self._coingecko_key()
        answer = self._get(self._coingecko, "/api/v3/simple/price", params, {"x-cg-demo-api-key": key} if key else {})
        if answer.get(coin.coingecko_id) is None:
            # An unknown id is simply missing.
            return None
        fields = Fields("coingecko", answer[coin.coingecko_id])
        age_s = Decimal(int(self._now())) - fields.number("last_updated_at")
        return fields.number_or_none("usd") if age_s <= self._max_age_s else None

    @effect(OnLost.REPEAT, reason="a read changes nothing; the other sources are asked instead")
    def from_cryptocompare(self, coin: PricedCoin) -> Decimal | None:
        """Ask CryptoCompare, which does not say how old its price is."""
        if coin.symbol is None:
            return None
        key = self._cryptocompare_key()
        params = {"fsym": coin.symbol.upper(), "tsyms": "USD"}
        answer = self._get(self._cryptocompare, "/data/price", params, {"Authorization": f"Apikey {key}"} if key else {})
        if answer.get("Response") == "Error":
            # Errors and the rate limit come with a status that says success.
            raise Throttled(str(answer.get("Message"))[:200], vendor="cryptocompare")
        return Fields("cryptocompare", answer).number_or_none("USD")

    @effect(OnLost.REPEAT, reason="a read changes nothing; the other sources are asked instead")
    def from_oneinch(self, coin: PricedCoin) -> Decimal | None:
        """Ask 1inch, which prices tokens on Ethereum; "0" there means that it found no trades."""
        key = self._oneinch_key()
        if coin.token is None or not key:
            return None
        token = coin.token.lower()
        answer = self._get(self._oneinch, f"/price/v1.1/1/{token}", {"currency": "USD"}, {"Authorization": f"Bearer {key}"})
        return Fields("1inch", answer).number_or_none(token)

    def _get(self, http: Http, path: str, params: dict[str, str], headers: dict[str, str]) -> dict[str, Any]:
        answer = http.call("GET", path, params=params, headers=headers)
        if not answer.ok:
            raise refusal(answer)
        body = answer.json()
        if not isinstance(body, dict):
            raise BadAnswer("no prices", vendor=http.vendor)
        return body


def _try(source: Callable[[PricedCoin], Decimal | None], coin: PricedCoin) -> Decimal | None:
    """One source's price, or None for whatever keeps it from giving one that makes sense."""
    try:
        price = source(coin)
    except (TryAgain, Lost, GiveUp) as error:
        LOG.info("a price source failed", source=source.__name__, reason=error.reason)
        return None
    return price if price is not None and price > 0 else None


def agreed(prices: Iterable[Decimal]) -> Decimal | None:
    """The median of the prices that lie within 5 % of the middle one; None unless they are the majority of those that answered.

    Two that differ by more say nothing: either may be wrong.
    """
    found = sorted(prices)
    if not found:
        return None
    middle = statistics.median_low(found)
    close = [price for price in found if abs(price - middle) <= middle * FAR_OFF]
    return statistics.median(close) if 2 * len(close) > len(found) else None
