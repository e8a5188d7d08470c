"""How a verb reaches the wallet: its address, its row, and the chain that it is on."""

from __future__ import annotations

from collections.abc import Mapping

from PGP_COMMON.cli.operator import setting
from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.database import Transaction
from PGP_COMMON.errors import Misconfigured, NotFound
from PGP_COMMON.money_machines import wallet
from PGP_COMMON.money_machines.wallet import FUNDING, WalletRow


def chain_of(known: Mapping[str, str]) -> Ethereum:
    """The chain of the settings, which it must be. Raises Misconfigured for another one."""
    chain = Ethereum(setting(known, "ETHEREUM_RPC_URL"), chain_id=setting(known, "ETHEREUM_CHAIN_ID"), tokens={FUNDING: setting(known, "USDT_CONTRACT")})
    chain.check_chain()
    return chain


def wallet_address(known: Mapping[str, str]) -> str:
    """The wallet's address. Raises Misconfigured when USDT would go to another one."""
    address = str(setting(known, "HOST_WALLET_ETH_ADDRESS"))
    if str(setting(known, "HOST_WALLET_USDT_ADDRESS")).lower() != address.lower():
        raise Misconfigured("HOST_WALLET_USDT_ADDRESS must be the wallet's own address")
    return address


def our_wallet(tx: Transaction, known: Mapping[str, str]) -> WalletRow:
    """The wallet's row. Raises NotFound while it is not open."""
    found = wallet.find(tx, wallet_address(known))
    if found is None:
        raise NotFound("no wallet is open: `pgp wallet init`")
    return found
