"""The coins that the simulators know and what each is worth, so that the vendors agree until told otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Coin:
    """One asset under the names that the vendors have for it (contracts: section 2.7)."""

    code: str  # NOWPayments' one word, ChangeNOW's legacyTicker
    ticker: str
    network: str
    name: str
    decimals: int
    usd: Decimal
    extra_id: bool = False  # needs a memo or tag beside the address

    @property
    def key(self) -> str:
        """ChangeNOW's pair of names as one word."""
        return f"{self.ticker}:{self.network}"


# Round prices in the region of 2026; tests that care set their own through the control doors.
COINS = (
    Coin("btc", "btc", "btc", "Bitcoin", 8, Decimal(100_000)),
    Coin("eth", "eth", "eth", "Ethereum", 18, Decimal(3_500)),
    Coin("usdterc20", "usdt", "eth", "Tether (ERC20)", 6, Decimal(1)),
    Coin("usdttrc20", "usdt", "trx", "Tether (TRC20)", 6, Decimal(1)),
    Coin("usdtbsc", "usdt", "bsc", "Tether (BSC)", 18, Decimal(1)),
    Coin("usdtmatic", "usdt", "matic", "Tether (Polygon)", 6, Decimal(1)),
    Coin("usdcerc20", "usdc", "eth", "USD Coin (ERC20)", 6, Decimal(1)),
    Coin("trx", "trx", "trx", "Tron", 6, Decimal("0.25")),
    Coin("ltc", "ltc", "ltc", "Litecoin", 8, Decimal(100)),
    Coin("doge", "doge", "doge", "Dogecoin", 8, Decimal("0.20")),
    Coin("sol", "sol", "sol", "Solana", 9, Decimal(160)),
    Coin("bnbbsc", "bnb", "bsc", "Binance Coin (BSC)", 18, Decimal(700)),
    Coin("maticmainnet", "matic", "matic", "Polygon", 18, Decimal("0.40")),
    Coin("xrp", "xrp", "xrp", "Ripple", 6, Decimal(2), extra_id=True),
    Coin("ton", "ton", "ton", "Toncoin", 9, Decimal(3), extra_id=True),
    Coin("xmr", "xmr", "xmr", "Monero", 12, Decimal(300)),
)

# What one unit of a fiat currency is worth in USD.
FIAT = {"usd": Decimal(1), "eur": Decimal("1.10")}

BY_CODE = {coin.code: coin for coin in COINS}
BY_KEY = {coin.key: coin for coin in COINS}
EVM_NETWORKS = frozenset({"eth", "bsc", "matic"})
