"""Starts a node that lags: `python -m deploy.simulators.laggard --port P --state-dir DIR --rpc-url URL`."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy.simulators.laggard.app import build
from deploy.simulators.laggard.node import Laggard, carrier, open_books
from deploy.simulators.server import serve


def flags() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.simulators.laggard", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--rpc-url", required=True, help="the node behind this one")
    parser.add_argument("--lag", type=int, default=1, help="how many blocks it lags behind until told otherwise")
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    given = flags()
    node = Laggard(open_books(given.state_dir), given.rpc_url, lag=given.lag)
    serve(build(node), given.port, host=given.host, background=[carrier(node)])


if __name__ == "__main__":
    main()
