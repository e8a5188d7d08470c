"""Settings for services that run in a test's process."""

from __future__ import annotations

import secrets
from functools import cache

from deploy.local import secrets as local_secrets
from PGP_COMMON import public_halves
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.settings import CATALOGUE

# Nobody listens on the discard port of the loopback.
NOWHERE = "http://127.0.0.1:9"


@cache
def generated() -> dict[str, str]:
    """Secrets of one test run, with their public halves."""
    values = local_secrets.generate()
    return {**values, **public_halves.of(values)}


def environ(database_url: str, **more: str) -> dict[str, str]:
    """Every setting, over a database; `more` replaces what a test wants otherwise."""
    plain = {name: setting.default or "" for name, setting in CATALOGUE.items() if setting.default is not None}
    urls = {service.url_setting: f"http://{service.name}.test" for service in FLEET}
    vendors = dict.fromkeys(
        ("NOWPAYMENTS_URL", "CHANGENOW_URL", "COINGECKO_URL", "CRYPTOCOMPARE_URL", "ONEINCH_URL", "TELEGRAM_API_URL", "SENDGRID_URL"), NOWHERE
    )
    return {
        **plain,
        **generated(),
        **urls,
        **vendors,
        "DATABASE_URL": database_url,
        "ETHEREUM_RPC_URL": NOWHERE,
        "ETHEREUM_CHAIN_ID": "31337",
        "TELEGRAM_BOT_USERNAME": "paygate_test_bot",
        "CLOUD_TASKS_ENDPOINT": "127.0.0.1:9",
        "LOG_FORMAT": "terminal",
        "SECRETS_FILE": "/dev/null",
        "API_PER_MINUTE": "100000",
        "LOGINS_PER_MINUTE": "100000",
        "STATUS_PER_MINUTE": "100000",
        **more,
    }


def token() -> str:
    """Something that looks like a token and is none."""
    return secrets.token_urlsafe(24)
