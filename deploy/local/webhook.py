"""Tells Telegram where our bot's door is; run once when the fleet has come up."""

from __future__ import annotations

import sys

import httpx

from PGP_COMMON.config import BaseConfigManager
from PGP_COMMON.fleet import SERVER
from PGP_COMMON.manifest import Service

# What the bot acts on; chat_member is only sent when it is asked for.
UPDATES = ("message", "callback_query", "chat_join_request", "chat_member", "my_chat_member")
IDENTITY = Service(
    name="pgp-webhook",
    app=__name__,
    purpose="Registers the bot's door.",
    routes=(),
    settings=(
        *("SECRETS_FILE", "SECRETS_TTL_S", "BASE_URL", "TELEGRAM_API_URL", "TELEGRAM_BOT_TOKEN", "TELEGRAM_WEBHOOK_SECRET", "TELEGRAM_POLLING"),
        SERVER.url_setting,
    ),
)


def main() -> int:
    """Set the webhook, or remove it where the bot fetches its updates itself; 1 if Telegram refuses."""
    config = BaseConfigManager(IDENTITY)
    wanted = {
        "url": "" if config.flag("TELEGRAM_POLLING") else config.public_url(SERVER, "/telegram-webhook"),
        "secret_token": config.secret("TELEGRAM_WEBHOOK_SECRET"),
        "allowed_updates": UPDATES,
    }
    address = f"{config.text('TELEGRAM_API_URL')}/bot{config.secret('TELEGRAM_BOT_TOKEN')}/setWebhook"
    answer = httpx.post(address, json=wanted, timeout=10.0, trust_env=False)
    if answer.status_code != httpx.codes.OK:
        print(f"Telegram refused the webhook: {answer.status_code} {answer.json().get('description', '')}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
