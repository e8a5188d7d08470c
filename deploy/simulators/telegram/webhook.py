"""The methods that say where updates go: setWebhook, deleteWebhook, getWebhookInfo, getUpdates."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

from deploy.simulators.telegram.errors import bad_request, too_many
from deploy.simulators.telegram.params import Params
from deploy.simulators.telegram.telegram import Method, Result, Telegram

SECRET = re.compile(r"[A-Za-z0-9_-]*")
SECRET_LIMIT = 256
DEFAULT_CONNECTIONS = 40
MOST_CONNECTIONS = 100


def set_webhook(telegram: Telegram, params: Params) -> Result:
    """Send updates to an address from now on; an empty one is the same as deleteWebhook.

    The address is not tried out, and plain HTTP on any port is taken, as by a Bot API server that runs with --local.
    """
    url = params.text("url")
    if not url:
        return delete_webhook(telegram, params)
    wait_for_turn(telegram)
    check(url, params.text("secret_token"))
    wanted = {
        "url": url,
        "secret_token": params.text("secret_token"),
        "max_connections": params.integer("max_connections", DEFAULT_CONNECTIONS, 1, MOST_CONNECTIONS),
        "ip_address": params.text("ip_address"),
        "has_custom_certificate": bool(params.text("certificate")),
    }
    telegram.updates.allow(params)
    if params.flag("drop_pending_updates"):
        drop_pending(telegram)
    known = telegram.world.setting("webhook") or {}
    if {name: known.get(name) for name in wanted} == wanted:
        return Result(value=True, description="Webhook is already set")
    telegram.world.set_setting("webhook", wanted)
    telegram.after_commit(lambda: telegram.updates.end_polls("terminated by setWebhook request"))
    telegram.after_commit(telegram.webhook_changed)
    return Result(value=True, description="Webhook was set")


def wait_for_turn(telegram: Telegram) -> None:
    """Refuse a second setWebhook within the same second, as the server does."""
    now = time.monotonic()
    if now < telegram.next_set_webhook:
        raise too_many(1)
    telegram.next_set_webhook = now + telegram.set_webhook_pause_s


def check(url: str, secret: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise bad_request("invalid webhook URL specified")
    if len(secret) > SECRET_LIMIT:
        raise bad_request("secret token is too long")
    if not SECRET.fullmatch(secret):
        raise bad_request("secret token contains unallowed characters")


def delete_webhook(telegram: Telegram, params: Params) -> Result:
    """Send updates nowhere; they wait for getUpdates."""
    if params.flag("drop_pending_updates"):
        drop_pending(telegram)
    if not telegram.world.setting("webhook"):
        return Result(value=True, description="Webhook is already deleted")
    telegram.world.set_setting("webhook", None)
    telegram.world.set_setting("webhook_error", None)
    telegram.after_commit(telegram.webhook_changed)
    return Result(value=True, description="Webhook was deleted")


def drop_pending(telegram: Telegram) -> None:
    telegram.world.books.run("UPDATE updates SET ended = 'dropped' WHERE ended IS NULL")


def webhook_info(telegram: Telegram, params: Params) -> dict[str, Any]:
    """Say where updates go and what went wrong lately."""
    del params
    world = telegram.world
    webhook = world.setting("webhook")
    info: dict[str, Any] = {
        "url": webhook["url"] if webhook else "",
        "has_custom_certificate": bool(webhook and webhook["has_custom_certificate"]),
        "pending_update_count": telegram.updates.pending(),
    }
    if webhook:
        info["max_connections"] = webhook["max_connections"]
        info |= {"ip_address": webhook["ip_address"]} if webhook["ip_address"] else {}
        info |= world.setting("webhook_error", {})
    allowed = world.setting("allowed_updates")
    return info | ({"allowed_updates": allowed} if allowed else {})


METHODS: dict[str, Method] = {"setWebhook": set_webhook, "deleteWebhook": delete_webhook, "getWebhookInfo": webhook_info}
