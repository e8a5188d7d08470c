"""Starts ChangeNOW: `python -m deploy.simulators.changenow --port P --state-dir DIR ...`."""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

from eth_hash.auto import keccak

from deploy.simulators.chain.node import Node
from deploy.simulators.chain.purse import Purse
from deploy.simulators.changenow import store
from deploy.simulators.changenow.app import create_app
from deploy.simulators.changenow.exchanges import Clerk
from deploy.simulators.changenow.store import Terms, Vendor
from deploy.simulators.server import serve


def main() -> None:
    """Read the flags and serve until SIGTERM."""
    flags = read_flags()
    terms = Terms(
        api_key=flags.api_key,
        # Another seed than the key itself, so that no pay-in key tells anything about the hot wallet's.
        seed=keccak(f"pay-in/{flags.key}".encode()).hex(),
        token=flags.token,
        spread_percent=flags.spread_percent,
        withdrawal_usd=flags.withdrawal_usd,
        least_usd=flags.least_usd,
        refund_fee_percent=flags.refund_fee_percent,
        rate_ttl_s=flags.rate_ttl_s,
        expire_after_s=flags.expire_after_s,
        confirmations=flags.confirmations,
        step_s=flags.step_s,
        poll_s=flags.poll_s,
    )
    vendor = Vendor(store.open_books(flags.state_dir), terms)
    node = Node(flags.rpc_url) if flags.rpc_url else None
    purse = Purse(vendor.books, node, flags.key) if node and flags.key else None
    serve(create_app(vendor), flags.port, host=flags.host, background=[Clerk(vendor, node, purse).run])


def read_flags() -> argparse.Namespace:
    """Declare and read the command line."""
    usual = Terms("", "")
    parser = argparse.ArgumentParser(prog="changenow", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--api-key", required=True)
    parser.add_argument("--rpc-url", help="the chain on which deposits are seen and payouts are made")
    parser.add_argument("--key", help="the vendor's hot wallet; without one every payout is invented")
    parser.add_argument("--token", help="the address of USDT on the local chain")
    parser.add_argument("--spread-percent", type=Decimal, default=usual.spread_percent)
    parser.add_argument("--withdrawal-usd", type=Decimal, default=usual.withdrawal_usd, help="the fee in every payout")
    parser.add_argument("--least-usd", type=Decimal, default=usual.least_usd, help="the smallest swap")
    parser.add_argument("--refund-fee-percent", type=Decimal, default=usual.refund_fee_percent)
    parser.add_argument("--rate-ttl-s", type=float, default=usual.rate_ttl_s, help="how long a fixed rate holds")
    parser.add_argument("--expire-after-s", type=float, default=usual.expire_after_s, help="how much longer a deposit is waited for")
    parser.add_argument("--confirmations", type=int, default=usual.confirmations)
    parser.add_argument("--step-s", type=float, default=usual.step_s, help="time between two statuses")
    parser.add_argument("--poll-s", type=float, default=usual.poll_s, help="time between two looks at the chain")
    return parser.parse_args()


if __name__ == "__main__":
    main()
