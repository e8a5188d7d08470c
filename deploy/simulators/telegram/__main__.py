"""Starts the Telegram simulator."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy.simulators.server import serve
from deploy.simulators.telegram.app import DAY_S, build
from deploy.simulators.telegram.courier import Pace
from deploy.simulators.telegram.world import Account


def flags() -> argparse.Namespace:
    """Read the command line; the intervals default to the real server's."""
    parser = argparse.ArgumentParser(prog="python -m deploy.simulators.telegram", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--token", required=True, help="the bot's token, <id>:<secret>")
    parser.add_argument("--bot-id", type=int, required=True)
    parser.add_argument("--bot-username", required=True)
    parser.add_argument("--bot-name", default="PayGatePrime")
    parser.add_argument("--retry-first-s", type=float, default=Pace.first_s, help="the unit of the doubling waits between deliveries")
    parser.add_argument("--retry-max-s", type=float, default=Pace.max_s, help="the longest wait is a random 1 to 2 times this")
    parser.add_argument("--webhook-timeout-s", type=float, default=Pace.timeout_s)
    parser.add_argument("--update-life-s", type=float, default=DAY_S, help="an update that nobody takes is thrown away after this")
    parser.add_argument("--set-webhook-pause-s", type=float, default=1.0, help="a second setWebhook within this gets 429")
    parser.add_argument("--enforce-limits", action="store_true", help="answer 429 above Telegram's flood limits")
    return parser.parse_args()


def main() -> None:
    """Serve until told to stop."""
    given = flags()
    account = Account(token=given.token, id=given.bot_id, username=given.bot_username, first_name=given.bot_name)
    app, courier = build(
        given.state_dir,
        account,
        pace=Pace(given.retry_first_s, given.retry_max_s, given.webhook_timeout_s),
        update_life_s=given.update_life_s,
        set_webhook_pause_s=given.set_webhook_pause_s,
        enforce_limits=given.enforce_limits,
    )
    serve(app, given.port, host=given.host, background=[courier.run])


if __name__ == "__main__":
    main()
