"""These are the settings of a fleet on one machine: the same names as in the cloud, with local addresses and short intervals."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.local import files
from deploy.local.files import StateDir
from PGP_COMMON.config import needed_urls
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service
from PGP_COMMON.rendering import sandbox
from PGP_COMMON.rendering.containers import PUBLIC_HALVES
from PGP_COMMON.settings import CATALOGUE


def settings(state: StateDir, *, addresses: Mapping[str, str], simulators: Mapping[str, str]) -> dict[str, str]:
    """Every plain setting, and the secrets that are addresses. A line in the state directory's settings.env wins over all of them."""
    kept = files.read_env(state.secrets)
    return {
        "LOG_FORMAT": "terminal",
        "SECRETS_FILE": str(state.secrets),
        "ETHEREUM_CHAIN_ID": str(sandbox.CHAIN_ID),
        "EXPLORER_URL": f"{addresses['ETHEREUM_RPC_URL'].partition(',')[0]}/tx",
        "TELEGRAM_BOT_USERNAME": sandbox.BOT_USERNAME,
        **sandbox.QUICK,
        **{name: kept[name] for name in PUBLIC_HALVES},
        **addresses,
        **sandbox.vendor_urls(simulators),
        **files.read_env(state.settings),
    }


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
