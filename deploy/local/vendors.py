"""These are the vendors' simulators as the fleet starts them: their flags, and the keys that they alone hold."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from deploy.local import files
from deploy.local.files import StateDir
from PGP_COMMON.rendering.sandbox import SECOND_NODE, VENDORS

LAG_BLOCKS = 1
NAMES = (*VENDORS, SECOND_NODE)
# What a fresh chain gives: the vendors are rich, our wallet has what an operator would put in for the first gas.
VENDOR_WEI, VENDOR_USDT_UNITS, OUR_WEI = 100_000 * 10**18, 100_000_000 * 10**6, 10**18


@dataclass(frozen=True)
class Keys:
    """Private keys of accounts that are not ours, and the address of the token that the first of them deploys."""

    token_owner: str
    nowpayments: str
    changenow: str
    token: str
    nowpayments_address: str
    changenow_address: str


def keys(state: StateDir) -> Keys:
    """The keys of this state directory, made at the first call."""
    file = state.root / "vendors.env"
    known = files.read_env(file)
    if set(known) != set(Keys.__dataclass_fields__):
        known = new_keys()
        files.write_env(file, known, heading="Keys of the simulated vendors on the local chain. They are worth nothing anywhere else.")
    return Keys(**known)


def new_keys() -> dict[str, str]:
    """New keys with their addresses."""
    from eth_account import Account  # noqa: PLC0415 - half a second, once in the life of a state directory
    from eth_utils.address import to_checksum_address  # noqa: PLC0415 - as above
    from eth_utils.crypto import keccak  # noqa: PLC0415 - as above

    owner, nowpayments, changenow = (f"0x{secrets.token_hex(32)}" for _ in range(3))
    address = Account.from_key(owner).address
    # An account's first contract stands at keccak(rlp([account, 0])).
    token = keccak(b"\xd6\x94" + bytes.fromhex(address[2:]) + b"\x80")[12:]
    return {
        "token_owner": owner,
        "nowpayments": nowpayments,
        "changenow": changenow,
        "token": to_checksum_address(token),
        "nowpayments_address": Account.from_key(nowpayments).address,
        "changenow_address": Account.from_key(changenow).address,
    }


def chain_flags(known: Keys, settings: Mapping[str, str], rpc_url: str) -> tuple[str, ...]:
    """What a fresh chain is furnished with."""
    wei = {known.nowpayments_address: VENDOR_WEI, known.changenow_address: VENDOR_WEI, settings["HOST_WALLET_ETH_ADDRESS"]: OUR_WEI}
    return (
        *("--rpc-url", rpc_url, "--token-key", known.token_owner),
        *(word for address, amount in wei.items() for word in ("--wei", f"{address}={amount}")),
        *("--usdt", f"{known.changenow_address}={VENDOR_USDT_UNITS}"),
    )


def flags(name: str, hidden: Mapping[str, str], settings: Mapping[str, str], known: Keys, *, rpc_url: str) -> tuple[str, ...]:
    """A simulator's own flags: the credentials that our side uses, so that it refuses wrong ones as the vendor would; `rpc_url` is the chain itself."""
    chain = ("--rpc-url", rpc_url, "--token", known.token)
    # Looked up one at a time: in a container there are only the credentials of one vendor.
    table: dict[str, Callable[[], tuple[str, ...]]] = {
        # Of two IPN secrets in rotation the first is the vendor's.
        "nowpayments": lambda: (
            *("--api-key", hidden["NOWPAYMENTS_API_KEY"], "--ipn-secret", hidden["NOWPAYMENTS_IPN_SECRET"].partition(",")[0]),
            *("--email", hidden["NOWPAYMENTS_EMAIL"], "--password", hidden["NOWPAYMENTS_PASSWORD"]),
            *("--payout-address", settings["HOST_WALLET_ETH_ADDRESS"], "--from-key", known.nowpayments),
            *chain,
        ),
        "changenow": lambda: ("--api-key", hidden["CHANGENOW_API_KEY"], "--key", known.changenow, *chain),
        "telegram": lambda: (
            *("--token", hidden["TELEGRAM_BOT_TOKEN"], "--bot-id", hidden["TELEGRAM_BOT_TOKEN"].partition(":")[0]),
            *("--bot-username", settings["TELEGRAM_BOT_USERNAME"]),
        ),
        "prices": lambda: (
            *("--coingecko-key", hidden["COINGECKO_API_KEY"], "--cryptocompare-key", hidden["CRYPTOCOMPARE_API_KEY"]),
            *("--oneinch-key", hidden["ONEINCH_API_KEY"], "--token", f"usdterc20={known.token}"),
        ),
        "sendgrid": lambda: ("--api-key", hidden["SENDGRID_API_KEY"]),
        SECOND_NODE: lambda: ("--rpc-url", rpc_url, "--lag", str(LAG_BLOCKS)),
    }
    return table[name]()
