"""Tells Telegram where our bot's door is; run once when the fleet has come up."""

from __future__ import annotations

import sys

import httpx

from PGP_COMMON.config import environment, secret_of
from PGP_COMMON.fleet import SERVER

# What the bot acts on; chat_member is only sent when it is asked for.
UPDATES = ("message", "callback_query", "chat_join_request", "chat_member", "my_chat_member")


def main() -> int:
    """Set the webhook, or remove it where the bot fetches its updates itself; 1 if Telegram refuses."""
    environ = environment()
    door = (environ.get("BASE_URL") or environ[SERVER.url_setting]) + "/telegram-webhook"
    wanted = {
        "url": "" if environ.get("TELEGRAM_POLLING") == "true" else door,
        "secret_token": secret_of(environ, "TELEGRAM_WEBHOOK_SECRET"),
        "allowed_updates": UPDATES,
    }
    address = f"{environ['TELEGRAM_API_URL']}/bot{secret_of(environ, 'TELEGRAM_BOT_TOKEN')}/setWebhook"
    answer = httpx.post(address, json=wanted, timeout=10.0, trust_env=False)
    if answer.status_code != httpx.codes.OK:
        print(f"Telegram refused the webhook: {answer.status_code} {answer.json().get('description', '')}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
