"""Starts the price sources' simulator."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy.simulators.prices.app import Keys, build
from deploy.simulators.prices.names import NAMES
from deploy.simulators.server import serve


def flags() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.simulators.prices", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--coingecko-key", help="refuse another key than this one; no key at all still gets an answer")
    parser.add_argument("--cryptocompare-key", help="as --coingecko-key")
    parser.add_argument("--oneinch-key", help="the only bearer that 1inch takes; without it any will do")
    parser.add_argument("--token", action="append", default=[], metavar="CODE=0xADDRESS", help="a contract of the local chain, for 1inch")
    return parser.parse_args()


def read_tokens(given: list[str]) -> dict[str, str]:
    """Turn CODE=0xADDRESS into {address: code}; raises SystemExit for a code that is not known."""
    tokens = {}
    for pair in given:
        code, _, address = pair.partition("=")
        if code not in NAMES or not address.startswith("0x"):
            raise SystemExit(f"--token {pair}: expected CODE=0xADDRESS with a code out of {', '.join(NAMES)}")
        tokens[address] = code
    return tokens


def main() -> None:
    """Serve until told to stop."""
    given = flags()
    keys = Keys(given.coingecko_key, given.cryptocompare_key, given.oneinch_key)
    serve(build(given.state_dir, keys=keys, tokens=read_tokens(given.token)), given.port, host=given.host)


if __name__ == "__main__":
    main()
