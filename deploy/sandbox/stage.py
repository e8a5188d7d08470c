"""The stage for a play in containers: where everything is inside the project's network, and whether all of it has come up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from deploy.local.demo.world import World
from PGP_COMMON.config import secret_of
from PGP_COMMON.database import BaseDatabaseManager
from PGP_COMMON.errors import Misconfigured, PgpError
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.money_machines import standing

LOOK_EVERY_S = 0.5
Tell = Callable[[str], None]


def status(known: Mapping[str, str], simulators: str) -> dict[str, Any]:
    """The fleet as `pgp status --json` describes one; `simulators` is `name=address`, comma between. Raises Misconfigured when that is malformed."""
    pairs = [pair.partition("=") for pair in simulators.split(",")]
    if not all(name and address for name, _, address in pairs):
        raise Misconfigured("PGP_SIMULATORS: write name=address, comma between")
    # Owners come in from outside: through the edge, where there is one.
    services = [{"name": service.name, "url": known[service.url_setting] if not _public(service.name) else known["BASE_URL"]} for service in FLEET]
    return {
        "services": services,
        "simulators": {name: address for name, _, address in pairs},
        "rpc_url": known["ETHEREUM_RPC_URL"].partition(",")[0],
    }


def _public(name: str) -> bool:
    return any(service.name == name and any(route.edge and route.path.startswith("/api/account") for route in service.routes) for service in FLEET)


def wait_ready(world: World, db: BaseDatabaseManager, tell: Tell) -> None:
    """Wait until the fleet takes work and the three jobs of the sandbox are done. Raises Misconfigured with what is missing when that takes too long."""
    deadline, told = time.monotonic() + world.patience_s, ""
    while missing := list(_missing(world, db)):
        if time.monotonic() > deadline:
            raise Misconfigured("the fleet in containers is not ready: " + "; ".join(missing))
        if missing[0] != told:
            told = missing[0]
            tell(f"waiting: {told}")
        time.sleep(LOOK_EVERY_S)


def _missing(world: World, db: BaseDatabaseManager) -> Iterator[str]:
    for service in FLEET:
        if not _answers(world, f"{world.known[service.url_setting]}/readyz"):
            yield f"{service.name} is not ready"
    if not _answers(world, f"{world.known['BASE_URL']}/openapi.json"):
        yield "the edge does not answer"
    try:
        with db.reading() as tx:
            if not standing.wallet_standing(tx):
                yield "there is no wallet yet"
    except PgpError as error:
        yield f"the database does not answer ({error})"
        return
    if not _webhook(world):
        yield "Telegram does not know the bot's door yet"


def _answers(world: World, url: str) -> bool:
    try:
        return world.http.get(url, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _webhook(world: World) -> bool:
    token = secret_of(world.known, "TELEGRAM_BOT_TOKEN")
    try:
        answer = world.http.get(f"{world.known['TELEGRAM_API_URL']}/bot{token}/getWebhookInfo", timeout=5)
    except httpx.HTTPError:
        return False
    return answer.status_code == httpx.codes.OK and bool(answer.json()["result"].get("url"))
