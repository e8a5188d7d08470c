"""This is the catalogue: every setting once, with its kind, its default and what it is for."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any


class Kind(enum.Enum):
    """How a setting is written."""

    TEXT = "text"
    URL = "URL"
    URLS = "one or two URLs, comma between"
    INTEGER = "whole number"
    SECONDS = "seconds"
    DECIMAL = "decimal number"
    FLAG = "true or false"
    KEYS = "kid:hex[,kid:hex]"
    ADDRESS = "0x address"
    PRIVATE_KEY = "0x and 64 hexadecimal characters"


@dataclass(frozen=True)
class Setting:
    """One setting. Without a default it must be given."""

    name: str
    kind: Kind
    help: str
    default: str | None = None
    secret: bool = False


def _url(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?|redis://\S+|postgresql\+pg8000://\S+", text):
        raise ValueError("not a URL")
    return text.rstrip("/")


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("write true or false")
    return text == "true"


def _match(pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError("malformed")
        return text

    return check


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("not a decimal number") from error
    if not number.is_finite() or number < 0:
        raise ValueError("not a number from 0 on")
    return number


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,38}", text):
        raise ValueError("not a whole number from 0 on")
    return int(text)


PARSERS: dict[Kind, Callable[[str], Any]] = {
    Kind.TEXT: str,
    Kind.URL: _url,
    Kind.URLS: lambda text: tuple(_url(part.strip()) for part in text.split(",")),
    Kind.INTEGER: _whole,
    Kind.SECONDS: _whole,
    Kind.DECIMAL: _decimal,
    Kind.FLAG: _flag,
    Kind.KEYS: _match(r"[A-Za-z0-9_-]{1,32}:[0-9a-f]{64}(,[A-Za-z0-9_-]{1,32}:[0-9a-f]{64})?"),
    Kind.ADDRESS: _match(r"0x[0-9a-fA-F]{40}"),
    Kind.PRIVATE_KEY: _match(r"0x[0-9a-fA-F]{64}"),
}


def _s(name: str, kind: Kind, help_: str, default: str | None = None) -> Setting:
    return Setting(name, kind, help_, default)


def _secret(name: str, kind: Kind, help_: str, default: str | None = None) -> Setting:
    return Setting(name, kind, help_, default, secret=True)


_DECLARED = (
    # The database. A URL, or the Cloud SQL instance with its credentials.
    _secret("DATABASE_URL", Kind.TEXT, "postgresql+pg8000://user:password@host:port/name; empty: Cloud SQL through its connector", ""),
    _s("CLOUD_SQL_CONNECTION_NAME", Kind.TEXT, "project:region:instance of Cloud SQL, when DATABASE_URL is empty", ""),
    _secret("DATABASE_NAME_SECRET", Kind.TEXT, "the database's name on Cloud SQL", ""),
    _secret("DATABASE_USER_SECRET", Kind.TEXT, "the database's user on Cloud SQL", ""),
    _secret("DATABASE_PASSWORD_SECRET", Kind.TEXT, "the database's password on Cloud SQL", ""),
    _s("REDIS_URL", Kind.TEXT, "Redis-compatible server for what may be lost; empty: PostgreSQL stands in", ""),
    # Cloud Tasks and the tasks' authentication.
    _s("CLOUD_TASKS_PROJECT_ID", Kind.TEXT, "Google Cloud project of the queues", "pgp-local"),
    _s("CLOUD_TASKS_LOCATION", Kind.TEXT, "location of the queues", "us-central1"),
    _s("CLOUD_TASKS_ENDPOINT", Kind.TEXT, "host:port of a Cloud Tasks emulator; empty: Google's", ""),
    _s("CLOUD_TASKS_SERVICE_ACCOUNT", Kind.TEXT, "service account that signs the tasks' OIDC token; empty: none", ""),
    _s("TASK_OIDC", Kind.FLAG, "whether task and schedule doors ask for Google's OIDC token as well (in the cloud: true)", "false"),
    _secret("WEBHOOK_SIGNING_KEY", Kind.KEYS, "signs the tasks between services"),
    _secret("TPS_HOSTPAY_SIGNING_KEY", Kind.KEYS, "signs the tasks that lead to the wallet"),
    _secret("SUCCESS_URL_SIGNING_KEY", Kind.KEYS, "signs the link to which the vendor sends the buyer back"),
    _s("SECRETS_FILE", Kind.TEXT, "file of KEY=value lines; empty: Google Secret Manager", ""),
    _s("SECRETS_TTL_S", Kind.SECONDS, "how long a secret is used before it is read again", "60"),
    _s("LOG_FORMAT", Kind.TEXT, "json or terminal", "json"),
    _s("WAKE_GRACE_S", Kind.SECONDS, "after how long the sweep wakes work that nobody answered", "60"),
    _s("TRUSTED_PROXY_HOPS", Kind.INTEGER, "which entry of X-Forwarded-For, from the right, is the caller's address; 0: the socket's", "0"),
    # Addresses of the fleet.
    _s("BASE_URL", Kind.TEXT, "public address of the edge; empty: each service's own (a machine without an edge)", ""),
    _s("CORS_ORIGIN", Kind.TEXT, "exact origins that may call /api from a browser, comma between; empty: none", ""),
    # NOWPayments.
    _s("NOWPAYMENTS_URL", Kind.URL, "NOWPayments' API", "https://api.nowpayments.io/v1"),
    _secret("NOWPAYMENTS_API_KEY", Kind.TEXT, "NOWPayments' API key"),
    _secret("NOWPAYMENTS_IPN_SECRET", Kind.TEXT, "NOWPayments' IPN secret; two during rotation, comma between"),
    _secret("NOWPAYMENTS_EMAIL", Kind.TEXT, "NOWPayments' account, for the payment list; empty: only known payments are asked for again", ""),
    _secret("NOWPAYMENTS_PASSWORD", Kind.TEXT, "that account's password", ""),
    _s("ALLOWED_IPS", Kind.TEXT, "source ranges (CIDR, comma between) that may send notices; empty: all, the signature decides", ""),
    _s("TP_FLAT_FEE", Kind.DECIMAL, "the platform's fee in percent, written to each order when it is made", "3"),
    _s("PAYMENT_MIN_TOLERANCE", Kind.DECIMAL, "share of the price that the outcome must be worth before access is given", "0.50"),
    _s("ORDER_LIFETIME_S", Kind.SECONDS, "how long an order can be paid (the vendor's own limit is 7 days)", "604800"),
    _s("PAYOUT_HASH_POLL_S", Kind.SECONDS, "how often the vendor is asked for the hash of the money it sent us", "300"),
    _s("STATUS_PER_MINUTE", Kind.INTEGER, "payment-status requests a minute and address", "120"),
    # ChangeNOW.
    _s("CHANGENOW_URL", Kind.URL, "ChangeNOW's API", "https://api.changenow.io/v2"),
    _secret("CHANGENOW_API_KEY", Kind.TEXT, "ChangeNOW's API key"),
    _s("MICRO_BATCH_THRESHOLD_USD", Kind.DECIMAL, "what pending accumulations must be worth before they are converted", "5.00"),
    _s("GAS_SHARE_PERCENT", Kind.DECIMAL, "the largest part of a conversion that gas may cost", "2"),
    _s("PAYOUT_FEE_CAP_PERCENT", Kind.DECIMAL, "the most a payout's exchange may cost, spread and fees together", "2"),
    _s("INSTANT_PAYOUT_MIN_USD", Kind.DECIMAL, "the least that the instant strategy pays out", "20"),
    _s("SWAP_DEADLINE_MARGIN_S", Kind.SECONDS, "validity that a rate must have left before our coins leave", "300"),
    _s("SWAP_POLL_S", Kind.SECONDS, "how often the exchange is asked about a funded swap", "30"),
    # The chain.
    _secret("ETHEREUM_RPC_URL", Kind.URLS, "one or two Ethereum RPC addresses (they may carry a key)"),
    _s("ETHEREUM_CHAIN_ID", Kind.INTEGER, "the chain's id", "1"),
    _s("USDT_CONTRACT", Kind.ADDRESS, "the USDT contract", "0xdAC17F958D2ee523a2206206994597C13D831ec7"),
    _secret("HOST_WALLET_PRIVATE_KEY", Kind.PRIVATE_KEY, "the wallet's key; pgp-hostpay3-v1 alone may read it"),
    _s("HOST_WALLET_ETH_ADDRESS", Kind.ADDRESS, "the wallet's address"),
    _s("HOST_WALLET_USDT_ADDRESS", Kind.ADDRESS, "the wallet's address for USDT; must be the same"),
    _s("CHAIN_POLL_S", Kind.SECONDS, "how often a transfer in flight is looked at", "12"),
    _s("ARRIVAL_POLL_S", Kind.SECONDS, "how often an expected arrival is looked for", "30"),
    _s("MAX_TRANSFER_FEE_WEI", Kind.INTEGER, "the most one transfer may burn in gas", "20000000000000000"),
    _s("DAILY_TRANSFER_LIMIT", Kind.INTEGER, "the most transfers a wallet signs in 24 hours", "500"),
    # No value means "unlimited", and 0 means nothing: a limit that somebody forgot must not be the one that lets everything through.
    # One transfer carries the largest price (9 999.99 USD) with room for an over-payment; a day ten of them.
    _s("TRANSFER_LIMIT_ETH", Kind.DECIMAL, "the most ETH that one transfer may carry; 0: none is sent", "10"),
    _s("TRANSFER_LIMIT_USDT", Kind.DECIMAL, "the most USDT that one transfer may carry; 0: none is sent", "25000"),
    _s("DAILY_LIMIT_ETH", Kind.DECIMAL, "the most ETH that the wallet signs away in 24 hours; 0: none is sent", "100"),
    _s("DAILY_LIMIT_USDT", Kind.DECIMAL, "the most USDT that the wallet signs away in 24 hours; 0: none is sent", "250000"),
    _s("EXPLORER_URL", Kind.URL, "where people look at a transaction", "https://etherscan.io/tx"),
    # Prices.
    _s("COINGECKO_URL", Kind.URL, "CoinGecko's API", "https://api.coingecko.com"),
    _secret("COINGECKO_API_KEY", Kind.TEXT, "CoinGecko's demo key; empty: keyless", ""),
    _s("CRYPTOCOMPARE_URL", Kind.URL, "CryptoCompare's API", "https://min-api.cryptocompare.com"),
    _secret("CRYPTOCOMPARE_API_KEY", Kind.TEXT, "CryptoCompare's key; empty: keyless", ""),
    _s("ONEINCH_URL", Kind.URL, "1inch's API", "https://api.1inch.dev"),
    _secret("ONEINCH_API_KEY", Kind.TEXT, "1inch's key; empty: the source is left out", ""),
    _s("PRICE_MAX_AGE_S", Kind.SECONDS, "older prices are left out", "600"),
    # Telegram.
    _s("TELEGRAM_API_URL", Kind.URL, "Telegram's Bot API", "https://api.telegram.org"),
    _secret("TELEGRAM_BOT_TOKEN", Kind.TEXT, "the bot's token"),
    _s("TELEGRAM_BOT_USERNAME", Kind.TEXT, "the bot's name, without @"),
    _secret("TELEGRAM_WEBHOOK_SECRET", Kind.TEXT, "what Telegram shows at our door"),
    _s("TELEGRAM_POLLING", Kind.FLAG, "fetch updates instead of being called (one machine only)", "false"),
    _s("TELEGRAM_PER_SECOND", Kind.INTEGER, "messages a second of the bot, over all instances", "25"),
    _s("TELEGRAM_PER_CHAT_PER_SECOND", Kind.INTEGER, "messages a second to one person", "1"),
    _s("TELEGRAM_PER_GROUP_PER_MINUTE", Kind.INTEGER, "messages a minute to one group or channel", "20"),
    _s("BOT_SESSION_TTL_S", Kind.SECONDS, "how long the bot remembers an unfinished conversation", "3600"),
    _s("REMIND_BEFORE_S", Kind.SECONDS, "how long before the end a buyer is reminded", "172800"),
    _s("BROADCAST_AUTO_INTERVAL", Kind.DECIMAL, "hours between scheduled posts", "24"),
    _s("BROADCAST_MANUAL_INTERVAL", Kind.DECIMAL, "hours between manual posts", "0.0833"),
    # Mail.
    _s("SENDGRID_URL", Kind.URL, "SendGrid's API", "https://api.sendgrid.com"),
    _secret("SENDGRID_API_KEY", Kind.TEXT, "SendGrid's key"),
    _s("FROM_EMAIL", Kind.TEXT, "the sender of our mails", "noreply@paygateprime.com"),
    _s("FROM_NAME", Kind.TEXT, "the sender's name", "PayGatePrime"),
    # Owners' API.
    _secret("JWT_SECRET_KEY", Kind.TEXT, "PEM of the Ed25519 key that signs access tokens, newlines written \\n"),
    _s("JWT_PUBLIC_KEY", Kind.TEXT, "PEM of its public half, newlines written \\n"),
    _s("ADDRESS_COOLDOWN_S", Kind.SECONDS, "how long a changed payout address waits", "172800"),
    _s("API_PER_MINUTE", Kind.INTEGER, "API requests a minute and owner", "120"),
    _s("LOGINS_PER_MINUTE", Kind.INTEGER, "sign-in attempts a minute, for an address and for an account", "10"),
    _s("WORK_RETENTION_S", Kind.SECONDS, "how long finished schedule work is kept", "604800"),
)


def _fleet_urls() -> tuple[Setting, ...]:
    from PGP_COMMON.fleet import FLEET  # noqa: PLC0415 - the manifest names settings, so it may not be imported above

    return tuple(Setting(service.url_setting, Kind.URL, f"address of {service.name}") for service in FLEET)


CATALOGUE: dict[str, Setting] = {setting.name: setting for setting in (*_DECLARED, *_fleet_urls())}
