"""Starts NOWPayments: `python -m deploy.simulators.nowpayments --port P --state-dir DIR ...`."""

from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

from deploy.simulators.chain.node import Node
from deploy.simulators.chain.purse import Purse
from deploy.simulators.nowpayments import ipns, payments, payouts, store
from deploy.simulators.nowpayments.app import create_app
from deploy.simulators.nowpayments.store import Account, Vendor
from deploy.simulators.server import serve


def main() -> None:
    """Read the flags and serve until SIGTERM."""
    flags = read_flags()
    account = Account(
        api_key=flags.api_key,
        ipn_secret=flags.ipn_secret,
        email=flags.email,
        password=flags.password,
        payout_address=flags.payout_address,
        payout_currency=flags.payout_currency,
        token=flags.token,
        service_fee_percent=flags.service_fee_percent,
        ipn_repeats=flags.ipn_repeats,
        ipn_interval_s=flags.ipn_interval_s,
        status_pace_s=flags.status_pace_s,
        expiry_s=flags.expiry_s,
    )
    vendor = Vendor(store.open_books(flags.state_dir), account)
    app, desk = create_app(vendor)
    workers = [payments.mover(vendor), ipns.courier(vendor, desk)]
    if flags.rpc_url and flags.from_key:
        workers.append(payouts.payer(vendor, Purse(vendor.books, Node(flags.rpc_url), flags.from_key)))
    serve(app, flags.port, host=flags.host, background=workers)


def read_flags() -> argparse.Namespace:
    """Declare and read the command line."""
    usual = Account("", "", "", "", "")
    parser = argparse.ArgumentParser(prog="nowpayments", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--api-key", required=True)
    parser.add_argument("--ipn-secret", default="", help="without one no callback is sent, as with the vendor")
    parser.add_argument("--email", default="")
    parser.add_argument("--password", default="")
    parser.add_argument("--rpc-url", help="the chain on which outcomes are paid out")
    parser.add_argument("--from-key", help="the vendor's hot wallet; without one nothing is paid out")
    parser.add_argument("--payout-address", default="", help="the merchant's wallet")
    parser.add_argument("--payout-currency", default=usual.payout_currency, help="the outcome's currency")
    parser.add_argument("--token", help="the address of usdterc20 on the local chain")
    parser.add_argument("--service-fee-percent", type=Decimal, default=usual.service_fee_percent)
    parser.add_argument("--ipn-repeats", type=int, default=usual.ipn_repeats)
    parser.add_argument("--ipn-interval-s", type=float, default=usual.ipn_interval_s)
    parser.add_argument("--status-pace-s", type=float, default=usual.status_pace_s, help="time between two statuses; 0: all at once")
    parser.add_argument("--expiry-s", type=float, default=usual.expiry_s, help="how long a payment may wait")
    return parser.parse_args()


if __name__ == "__main__":
    main()
