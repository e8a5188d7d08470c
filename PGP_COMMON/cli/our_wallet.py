"""How an operator's verb reaches the wallet: its address and its chain by the settings, its row by the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from PGP_COMMON.clients.ethereum import Ethereum
from PGP_COMMON.errors import BadInput, Misconfigured, NotFound
from PGP_COMMON.money_machines.wallet import FUNDING, WalletRow
from PGP_COMMON.settings import CATALOGUE, PARSERS

ReasonOption = Annotated[str, typer.Option("--reason", help="why, for the audit log")]


def setting(known: Mapping[str, str], name: str) -> Any:
    """A setting as it is, read as its kind says; raises Misconfigured when it is nowhere."""
    text = known.get(name) or CATALOGUE[name].default
    if not text:
        raise Misconfigured(f"there is no {name}: start a fleet with `pgp up`, or set it")
    return PARSERS[CATALOGUE[name].kind](text)


def chain_of(known: Mapping[str, str]) -> Ethereum:
    """The chain that the settings name, made sure that it is that one."""
    chain = Ethereum(setting(known, "ETHEREUM_RPC_URL"), chain_id=setting(known, "ETHEREUM_CHAIN_ID"), tokens={FUNDING: setting(known, "USDT_CONTRACT")})
    chain.check_chain()
    return chain


def address_of(known: Mapping[str, str]) -> str:
    """The wallet's address by the settings; raises Misconfigured when they name two."""
    address = str(setting(known, "HOST_WALLET_ETH_ADDRESS"))
    if str(setting(known, "HOST_WALLET_USDT_ADDRESS")).lower() != address.lower():
        raise Misconfigured("HOST_WALLET_USDT_ADDRESS must be the wallet's own address")
    return address


def given(reason: str) -> str:
    """A reason that says something; raises BadInput for one that does not."""
    if not reason.strip():
        raise BadInput("say why, with --reason")
    return reason.strip()


def ours_of(found: WalletRow | None) -> WalletRow:
    """The wallet's row; raises NotFound while none is open."""
    if found is None:
        raise NotFound("no wallet is open: `pgp wallet init`")
    return found
