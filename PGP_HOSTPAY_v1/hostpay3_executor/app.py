"""HOSTPAY3: two steps behind one task door, one at a time."""

from __future__ import annotations

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.engine import Flow
from PGP_COMMON.runtime import Runtime
from PGP_HOSTPAY_v1.hostpay3_executor import steps, watch

STEPS: dict[str, Flow] = {"transfer.sign": {"start": steps.sign_once}, "transfer.watch": {"start": watch.look}}


def make_clients(runtime: Runtime) -> steps.Clients:
    """The chain, as the settings say. The wallet's key is no part of them: a step reads it when it is about to sign."""
    config = runtime.config
    chain = Ethereum(config.texts("ETHEREUM_RPC_URL"), chain_id=config.integer("ETHEREUM_CHAIN_ID"), tokens={"usdterc20": config.text("USDT_CONTRACT")})
    return steps.Clients(chain=chain)
