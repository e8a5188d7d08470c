"""One container of ours in docker-compose.yml: its image, its settings, and the volume that holds its own secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Edge
from PGP_COMMON.settings import CATALOGUE

SOURCE = "PGP_COMMON/fleet.py"
PORT = 8080
QUEUE_PORT = 8123
# Whom the image's programs run as, and so whom their files of secrets belong to.
USER_ID = 10001
IMAGE, SANDBOX_IMAGE = "paygateprime", "paygateprime-sandbox"
# Where a container finds its own secrets: a volume of its own, so that a changed file is seen, and nobody else's.
SECRETS_FOLDER = "/run/secrets"
SECRETS_FILE = "secrets.env"
POSTGRES, POSTGRES_FILE = "postgres", "password"
# An operator does without it: one container of the fleet has it, and no other.
WALLET_KEY = "HOST_WALLET_PRIVATE_KEY"
# No secrets, but made from secrets: they come with them, unless a person writes them into the environment.
PUBLIC_HALVES = ("HOST_WALLET_ETH_ADDRESS", "HOST_WALLET_USDT_ADDRESS", "JWT_PUBLIC_KEY")
# Known only when the sandbox has made its token's key.
HANDED_OUT = (*PUBLIC_HALVES, "USDT_CONTRACT")
# Settings that the compose file itself decides.
FIXED = {
    "CLOUD_TASKS_ENDPOINT": f"queue:{QUEUE_PORT}",
    # Part of the names in deploy/queues.json, and of nothing else here.
    "CLOUD_TASKS_PROJECT_ID": CATALOGUE["CLOUD_TASKS_PROJECT_ID"].default,
    "CLOUD_TASKS_LOCATION": CATALOGUE["CLOUD_TASKS_LOCATION"].default,
    "LOG_FORMAT": "json",
    "REDIS_URL": "redis://redis:6379/0",
    "SECRETS_FILE": f"{SECRETS_FOLDER}/{SECRETS_FILE}",
}
# Google's, without any use on one server.
CLOUD_ONLY = ("CLOUD_SQL_CONNECTION_NAME", "CLOUD_TASKS_SERVICE_ACCOUNT", "TASK_OIDC")
# What the catalogue says for a machine without an edge is wrong behind one: links would lead nowhere, and all callers would seem to be the edge.
BEHIND_THE_EDGE = {"BASE_URL": None, "TRUSTED_PROXY_HOPS": "1"}
# Waiting for a job that has to end well, for a program that answers, for one that runs.
DONE, HEALTHY, STARTED = "service_completed_successfully", "service_healthy", "service_started"
# What every program of ours has in common.
OURS = [
    "x-ours: &ours",
    f"  image: {IMAGE}",
    "  read_only: true",
    "  tmpfs: [/tmp]",
    "  cap_drop: [ALL]",
    '  security_opt: ["no-new-privileges:true"]',
]


def secrets_of() -> dict[str, tuple[str, ...]]:
    """Which secrets each container of the product is given; the database's own password is apart."""
    everything = [name for name, setting in CATALOGUE.items() if setting.secret]
    return {
        "migrate": ("DATABASE_URL",),
        "queue": ("DATABASE_URL",),
        "scheduler": (Edge.GENERAL.value,),
        "operator": tuple(name for name in everything if name != WALLET_KEY),
        **{service.name: tuple(name for name in everything if name in service.settings) for service in FLEET},
    }


def handed_to(container: str) -> tuple[str, ...]:
    """The plain settings that come with the secrets, of those that this container of the product reads."""
    readers: dict[str, Iterable[str]] = {"operator": CATALOGUE, **{service.name: service.settings for service in FLEET}}
    return tuple(name for name in HANDED_OUT if name in readers.get(container, ()))


def variable(name: str) -> str:
    """How a setting is asked for in the compose file: with its default, or with the sentence that says what is missing."""
    if name in HANDED_OUT:
        return f"${{{name}:-}}"
    default = BEHIND_THE_EDGE[name] if name in BEHIND_THE_EDGE else CATALOGUE[name].default
    wanted = CATALOGUE[name].help.partition(";")[0]
    return f"${{{name}:?{wanted}}}" if default is None else f"${{{name}:-{default}}}"


def environment(names: Iterable[str], **more: str) -> list[str]:
    """The plain ones of these settings, and where the secret ones are."""
    urls = {service.url_setting: f"http://{service.name}:{PORT}" for service in FLEET}
    values = {"SECRETS_FILE": FIXED["SECRETS_FILE"], **more}
    for name in names:
        if not CATALOGUE[name].secret and name not in CLOUD_ONLY:
            values[name] = urls.get(name) or FIXED.get(name) or variable(name)
    return ["    environment:", *(f"      {name}: {json.dumps(value)}" for name, value in sorted(values.items()))]


def after(conditions: Mapping[str, str]) -> str:
    """What a container waits for before it is started."""
    return f"    depends_on: {{{', '.join(f'{name}: {{condition: {condition}}}' for name, condition in conditions.items())}}}"


def healthcheck(*test: str, interval_s: int = 10) -> list[str]:
    """How one sees that a container does its work; a slow start is no illness."""
    return ["    healthcheck:", f"      test: {json.dumps(['CMD', *test])}", f"      interval: {interval_s}s", "      timeout: 5s", "      start_period: 120s"]


def answers(path: str, port: int = PORT) -> list[str]:
    """Ready when it answers 200."""
    return healthcheck("python", "-c", f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}{path}', timeout=4)")


def listens(port: int) -> list[str]:
    """Ready when it takes connections."""
    return healthcheck("python", "-c", f"import socket; socket.create_connection(('127.0.0.1', {port}), 4)")


def program(name: str, command: Sequence[str], waits: Mapping[str, str], *more: str, volumes: Sequence[str] = (), secrets: bool = True) -> list[str]:
    """A container of our image: it has its own secrets, and writes nowhere but to /tmp and to its own volumes."""
    mounts = [*([f"secrets-{name}:{SECRETS_FOLDER}:ro"] if secrets else []), *volumes]
    return [
        f"  {name}:",
        "    <<: *ours",
        f"    command: {json.dumps(command)}",
        *([after(waits)] if waits else []),
        *more,
        *([f"    volumes: {json.dumps(mounts)}"] if mounts else []),
    ]
