"""Starts the SendGrid simulator."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy.simulators.sendgrid.app import build
from deploy.simulators.server import serve


def flags() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.simulators.sendgrid", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--api-key", required=True, help="the only key that is taken")
    parser.add_argument("--verified-sender", action="append", default=[], help="refuse mail from any other address; may be repeated")
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    given = flags()
    serve(build(given.state_dir, api_key=given.api_key, verified_senders=given.verified_sender), given.port, host=given.host)


if __name__ == "__main__":
    main()
