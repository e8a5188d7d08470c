"""These are the settings of a fleet on one machine: the same names as in the cloud, with local addresses and short intervals."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.local import anvil, files
from deploy.local.files import StateDir
from PGP_COMMON.config import needed_urls
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service
from PGP_COMMON.settings import CATALOGUE

# A block takes a second here instead of twelve, and nobody at the other end minds being asked: what is polled is polled every second or two.
QUICK = {
    "SECRETS_TTL_S": "5",
    "WAKE_GRACE_S": "15",
    "PAYOUT_HASH_POLL_S": "2",
    "SWAP_POLL_S": "2",
    "CHAIN_POLL_S": "1",
    "ARRIVAL_POLL_S": "2",
    # Everybody here has one address, and the demonstration signs four owners in at once.
    "LOGINS_PER_MINUTE": "300",
    "API_PER_MINUTE": "3000",
}
# What is kept in the secrets file although it is no secret, because it is made from one.
PUBLIC_HALVES = ("HOST_WALLET_ETH_ADDRESS", "HOST_WALLET_USDT_ADDRESS", "JWT_PUBLIC_KEY")
BOT_USERNAME = "PayGatePrimeLocalBot"


def settings(state: StateDir, *, addresses: Mapping[str, str], simulators: Mapping[str, str]) -> dict[str, str]:
    """Every plain setting, and the secrets that are addresses. A line in the state directory's settings.env wins over all of them."""
    kept = files.read_env(state.secrets)
    return {
        "LOG_FORMAT": "terminal",
        "SECRETS_FILE": str(state.secrets),
        "ETHEREUM_CHAIN_ID": str(anvil.CHAIN_ID),
        "EXPLORER_URL": f"{addresses['ETHEREUM_RPC_URL'].partition(',')[0]}/tx",
        "TELEGRAM_BOT_USERNAME": BOT_USERNAME,
        **QUICK,
        **{name: kept[name] for name in PUBLIC_HALVES},
        **addresses,
        **vendor_urls(simulators),
        **files.read_env(state.settings),
    }


def vendor_urls(simulators: Mapping[str, str]) -> dict[str, str]:
    """Where the vendors are: the same paths behind another host."""
    paths = {
        "NOWPAYMENTS_URL": ("nowpayments", "/v1"),
        "CHANGENOW_URL": ("changenow", "/v2"),
        "TELEGRAM_API_URL": ("telegram", ""),
        "COINGECKO_URL": ("prices", "/coingecko"),
        "CRYPTOCOMPARE_URL": ("prices", "/cryptocompare"),
        "ONEINCH_URL": ("prices", "/oneinch"),
        "SENDGRID_URL": ("sendgrid", ""),
    }
    return {name: simulators[simulator] + path for name, (simulator, path) in paths.items() if simulator in simulators}


def of_service(service: Service, known: Mapping[str, str]) -> dict[str, str]:
    """What one service is given: its own declared settings and no other's; secrets it reads from the file itself."""
    allowed = {*service.settings, *needed_urls(service)}
    return {name: value for name, value in known.items() if name in allowed}


def undeclared(known: Mapping[str, str]) -> list[str]:
    """Names that no catalogue entry declares: a person's slip in settings.env."""
    return sorted(set(known) - set(CATALOGUE))


def service_urls(port_of: Mapping[str, int], host: str) -> dict[str, str]:
    """Each service's address setting."""
    return {service.url_setting: f"http://{host}:{port_of[service.name]}" for service in FLEET}
