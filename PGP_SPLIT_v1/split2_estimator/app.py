"""The split2 service: its one step, with the exchange and the price sources."""

from __future__ import annotations

from PGP_COMMON import market
from PGP_COMMON.engine import Flow
from PGP_COMMON.runtime import Runtime
from PGP_SPLIT_v1.split2_estimator import steps

STEPS: dict[str, Flow] = {"payout.quote": {"start": steps.ask_for_estimate}}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The exchange and the price sources, as the settings say."""
    return steps.Clients(market.exchange(runtime.config), market.price_sources(runtime.config))
