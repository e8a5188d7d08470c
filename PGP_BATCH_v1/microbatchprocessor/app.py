"""The microbatchprocessor service: which steps it runs, with which vendors."""

from __future__ import annotations

from PGP_BATCH_v1.microbatchprocessor import endings, steps
from PGP_COMMON import market
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.engine import Flow
from PGP_COMMON.runtime import Runtime

STEPS: dict[str, Flow] = {
    "conversion.plan": {"start": steps.keep_usdt, "convert": steps.plan_conversion},
    "conversion.quote": {"start": steps.ask_for_price},
    "conversion.swap": {"start": steps.order, "confirm": steps.confirm_order},
    "conversion.finish": {"start": endings.finish, "cost": endings.book_cost},
}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The exchange, the price sources and the chain, as the settings say."""
    config = runtime.config
    chain = Ethereum(config.texts("ETHEREUM_RPC_URL"), chain_id=config.integer("ETHEREUM_CHAIN_ID"), tokens={})
    return steps.Clients(market.exchange(config), market.price_sources(config), chain)
