"""The batchprocessor service: its one step, with the price sources."""

from __future__ import annotations

from PGP_BATCH_v1.batchprocessor import steps
from PGP_COMMON import market
from PGP_COMMON.engine import Flow
from PGP_COMMON.runtime import Runtime

STEPS: dict[str, Flow] = {"payout.plan": {"start": steps.plan_payouts}}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The price sources, as the settings say."""
    return steps.Clients(market.price_sources(runtime.config))
