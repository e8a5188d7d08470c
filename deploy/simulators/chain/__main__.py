"""Furnishes a fresh local chain: `python -m deploy.simulators.chain --rpc-url URL --token-key KEY ...`; harmless when it is furnished."""

from __future__ import annotations

import argparse

from eth_account import Account

from deploy.simulators.chain.deploy import deploy_token, fund, mint, token_address
from deploy.simulators.chain.node import Node


def pair(text: str) -> tuple[str, int]:
    """Read ADDRESS=UNITS."""
    address, _, units = text.partition("=")
    return address, int(units)


def flags() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.simulators.chain", description=__doc__)
    parser.add_argument("--rpc-url", required=True)
    parser.add_argument("--token-key", required=True, help="private key of the account that deploys and mints the token")
    parser.add_argument("--wei", action="append", type=pair, default=[], metavar="ADDRESS=WEI", help="given once, before the token is deployed")
    parser.add_argument("--usdt", action="append", type=pair, default=[], metavar="ADDRESS=UNITS", help="brought up to so many 10^-6 USDT")
    return parser.parse_args()


def main() -> None:
    """Give out the wei if the token is not there yet, deploy it, mint what is missing."""
    given = flags()
    owner = Account.from_key(given.token_key).address
    # Afterwards balances are history: to set one again would make money that no book knows of.
    if Node(given.rpc_url).code(token_address(owner)) == "0x":
        for address, wei in given.wei:
            fund(given.rpc_url, address, wei)
    token = deploy_token(given.rpc_url, given.token_key)
    for address, units in given.usdt:
        mint(given.rpc_url, given.token_key, token, address, units)


if __name__ == "__main__":
    main()
