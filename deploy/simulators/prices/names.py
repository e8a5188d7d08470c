"""What each price source calls our coins."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.simulators.market import COINS


@dataclass(frozen=True)
class Names:
    """One coin under the names that the price sources have for it; several of our codes may share one (USDT on any network)."""

    coingecko: str
    symbol: str
    name: str


NAMES = {
    "btc": Names("bitcoin", "BTC", "Bitcoin"),
    "eth": Names("ethereum", "ETH", "Ethereum"),
    "usdterc20": Names("tether", "USDT", "Tether"),
    "usdttrc20": Names("tether", "USDT", "Tether"),
    "usdtbsc": Names("tether", "USDT", "Tether"),
    "usdtmatic": Names("tether", "USDT", "Tether"),
    "usdcerc20": Names("usd-coin", "USDC", "USDC"),
    "trx": Names("tron", "TRX", "TRON"),
    "ltc": Names("litecoin", "LTC", "Litecoin"),
    "doge": Names("dogecoin", "DOGE", "Dogecoin"),
    "sol": Names("solana", "SOL", "Solana"),
    "bnbbsc": Names("binancecoin", "BNB", "BNB"),
    "maticmainnet": Names("polygon-ecosystem-token", "POL", "POL (ex-MATIC)"),
    "xrp": Names("ripple", "XRP", "XRP"),
    "ton": Names("the-open-network", "TON", "Toncoin"),
    "xmr": Names("monero", "XMR", "Monero"),
}

# Ethereum's contracts, as 1inch asks for them; 0xeee... stands for the native coin.
ADDRESSES = {
    "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee": "eth",
    "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2": "eth",
    "0xdac17f958d2ee523a2206206994597c13d831ec7": "usdterc20",
    "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48": "usdcerc20",
    "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599": "btc",
}

USUAL_USD = {NAMES[coin.code].coingecko: coin.usd for coin in COINS if coin.code in NAMES}
