"""HOSTPAY2: four steps behind two task doors and a schedule."""

from __future__ import annotations

from PGP_COMMON import market
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.engine import Flow
from PGP_COMMON.runtime import Runtime
from PGP_HOSTPAY_v1.hostpay2_status_checker import arriving, exchanging, reconciling, steps

STEPS: dict[str, Flow] = {
    "swap.check": {"start": steps.look_before_funding},
    "swap.follow": {"start": steps.look_after_funding},
    "arrival.look": {"start": arriving.find_arrivals, "match": arriving.name_cause},
    "wallet.reconcile": {
        "start": reconciling.read_chain,
        "fence": reconciling.look_at_fence,
        "compare": reconciling.compare_balances,
        "arrivals": reconciling.name_old_arrivals,
        "exchanges": exchanging.look_at_exchanges,
    },
}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The exchange and the chain, as the settings say."""
    config = runtime.config
    chain = Ethereum(config.texts("ETHEREUM_RPC_URL"), chain_id=config.integer("ETHEREUM_CHAIN_ID"), tokens={"usdterc20": config.text("USDT_CONTRACT")})
    return steps.Clients(chain=chain, exchange=market.exchange(config))
