"""This is the market: the exchange and the price sources, built from a service's settings."""

from __future__ import annotations

from PGP_COMMON.clients import prices
from PGP_COMMON.clients.changenow import ChangeNow
from PGP_COMMON.clients.prices import Prices
from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.http import Http


def exchange(config: BaseConfigManager) -> ChangeNow:
    """ChangeNOW, for a service that the manifest gives its address and key."""
    return ChangeNow(Http("changenow", config.text("CHANGENOW_URL")), api_key=lambda: config.secret("CHANGENOW_API_KEY"))


def price_sources(config: BaseConfigManager) -> Prices:
    """The price sources, for a service that the manifest gives their addresses."""

    def source(vendor: str, setting: str) -> Http:
        return Http(vendor, config.text(setting), connect_timeout_s=prices.CONNECT_TIMEOUT_S, read_timeout_s=prices.READ_TIMEOUT_S)

    return Prices(
        coingecko=source("coingecko", "COINGECKO_URL"),
        cryptocompare=source("cryptocompare", "CRYPTOCOMPARE_URL"),
        oneinch=source("1inch", "ONEINCH_URL"),
        coingecko_key=lambda: config.secret("COINGECKO_API_KEY"),
        cryptocompare_key=lambda: config.secret("CRYPTOCOMPARE_API_KEY"),
        oneinch_key=lambda: config.secret("ONEINCH_API_KEY"),
        max_age_s=config.integer("PRICE_MAX_AGE_S"),
    )
