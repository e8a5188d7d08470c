"""The coins: what each is called by whom, how many decimals it has, and which of them our wallet can be paid in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from PGP_COMMON.clients.prices import ONEINCH_NATIVE, PricedCoin
from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import NotFound

# What NOWPayments may pay out to our wallet: it lives on Ethereum, and owners' money is converted from there (money.md 5).
WALLET_ASSETS: Final = frozenset({"eth", "usdterc20"})
# The catalogue is refreshed once a day; a process sees that within ten minutes.
CACHE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Coin:
    """One coin of the catalogue. `asset` is NOWPayments' code, `ticker` and `network` are ChangeNOW's names."""

    asset: str
    name: str
    ticker: str
    network: str
    decimals: int
    address_family: str | None
    token_contract: str | None
    coingecko_id: str | None
    can_pay: bool
    can_pay_out: bool

    @property
    def priced(self) -> PricedCoin:
        """The coin as the price sources name it."""
        token = (self.token_contract or ONEINCH_NATIVE) if self.network == "eth" else None
        return PricedCoin(coingecko_id=self.coingecko_id, symbol=self.ticker.upper(), token=token)


_known: dict[str, tuple[Coin, float]] = {}


def find(tx: Transaction, asset: str) -> Coin | None:
    """A coin of the catalogue, or None; asks the database once in ten minutes and process."""
    coin, until = _known.get(asset, (None, 0.0))
    if coin is None or time.monotonic() > until:
        coin = tx.one(
            Coin,
            """
            SELECT asset, name, ticker, network, decimals, address_family, token_contract, coingecko_id, can_pay, can_pay_out
              FROM currency_to_network WHERE asset = :asset
            """,
            asset=asset,
        )
        if coin is not None:
            _known[asset] = (coin, time.monotonic() + CACHE_S)
    return coin


def coin(tx: Transaction, asset: str) -> Coin:
    """A coin of the catalogue; raises NotFound."""
    found = find(tx, asset)
    if found is None:
        raise NotFound(f"the catalogue has no coin {asset}", asset=asset)
    return found


def at_exchange(tx: Transaction, *, ticker: str, network: str) -> Coin | None:
    """The coin that the exchange calls so, or None."""
    asset = tx.value("SELECT asset FROM currency_to_network WHERE ticker = :ticker AND network = :network", ticker=ticker.lower(), network=network.lower())
    return None if asset is None else find(tx, str(asset))
