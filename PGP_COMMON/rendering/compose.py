"""docker-compose.yml, the edge's path table and the queues, from the manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping

from PGP_COMMON.config import needed_urls
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service
from PGP_COMMON.rendering import sandbox
from PGP_COMMON.rendering.containers import (
    DONE,
    HEALTHY,
    IMAGE,
    OURS,
    PORT,
    POSTGRES,
    POSTGRES_FILE,
    QUEUE_PORT,
    SECRETS_FOLDER,
    SOURCE,
    STARTED,
    after,
    answers,
    environment,
    healthcheck,
    listens,
    program,
    secrets_of,
    variable,
)
from PGP_COMMON.rendering.tables import notice
from PGP_COMMON.settings import CATALOGUE

# As the local fleet has it (deploy/local/postgres.py).
INITDB = "--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
RESTARTS = "    restart: unless-stopped"
# A job that came too early (its database may be a second away) is tried again; where conditions are kept this does not happen.
TRIED_AGAIN = "    restart: on-failure"
# The sandbox's image is the product's with more in it: there a verb may also play the demonstration, and make secrets.
OPERATORS_IMAGE = f"    image: ${{PGP_OPERATOR_IMAGE:-{IMAGE}}}"
HEAD = [
    notice(SOURCE, comment="# {}"),
    "# One server: the edge, the fleet, its queue, scheduler and database, each container with its own secrets only. `docker compose up` is all.",
    "# The committed .env selects the sandbox: simulators and a chain of its own instead of the outside world. Another --env-file is production.",
    "# `docker compose run --rm operator pgp ...` is the operator's command, as is `pgp --target compose ...` in a checkout.",
]


def _postgres() -> list[str]:
    return [
        f"  {POSTGRES}:",
        "    image: postgres:18",
        RESTARTS,
        after({"secrets": DONE}),
        "    # The fifteen pools may take 140 connections together; the rest is for the queue, the jobs and a person.",
        '    command: ["postgres", "-c", "max_connections=200"]',
        "    read_only: true",
        "    tmpfs: [/tmp, /run/postgresql]",
        "    environment:",
        "      POSTGRES_DB: pgp",
        "      POSTGRES_USER: pgp",
        f"      POSTGRES_PASSWORD_FILE: {SECRETS_FOLDER}/{POSTGRES_FILE}",
        "      # The order of texts is PostgreSQL's own: a C library's changes with the image, and the indexes on the volume would not.",
        f'      POSTGRES_INITDB_ARGS: "{INITDB}"',
        f'    volumes: ["secrets-{POSTGRES}:{SECRETS_FOLDER}:ro", "postgres:/var/lib/postgresql"]',
        *healthcheck("pg_isready", "-h", "127.0.0.1", "-U", "pgp", "-d", "pgp", interval_s=5),
    ]


def _redis() -> list[str]:
    command = ["valkey-server", "--save", "", "--appendonly", "no", "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]
    # Nobody outside the project's network reaches it; in the upstream image that is the default.
    command += ["--protected-mode", "no"]
    return [
        "  redis:",
        "    image: valkey/valkey:9",
        RESTARTS,
        f"    command: {json.dumps(command)}",
        "    read_only: true",
        "    tmpfs: [/data, /tmp]",
        *healthcheck("valkey-cli", "ping"),
    ]


def _edge() -> list[str]:
    port = "${EDGE_PORT:-443}"
    return [
        "  edge:",
        "    image: caddy:2",
        RESTARTS,
        "    read_only: true",
        "    tmpfs: [/tmp, /config]",
        "    # The one port of all that is open to the outside.",
        f'    ports: ["{port}:{port}"]',
        f"    environment: {{BASE_URL: {json.dumps(variable('BASE_URL'))}}}",
        '    volumes: ["./deploy/Caddyfile:/etc/caddy/Caddyfile:ro", "caddy:/data"]',
        "    # The sandbox's vendors know the edge by the address that a browser on this machine takes.",
        f"    networks: {{default: {{aliases: [{sandbox.HOST}]}}}}",
        *healthcheck("wget", "-q", "-O", "/dev/null", "http://127.0.0.1:2019/config/"),
    ]


def _secrets() -> list[str]:
    """The one job that sees every secret: it hands each container its own, as root, without a network, and ends."""
    command = ["pgp", "secrets", "deliver", "--out", "/secrets", "--missing", "${PGP_SECRETS_MISSING:-refuse}"]
    everybody = [POSTGRES, *secrets_of(), *sandbox.secrets_of()]
    return [
        *program("secrets", command, {}, secrets=False, volumes=[f"secrets-{name}:/secrets/{name}" for name in everybody]),
        OPERATORS_IMAGE,
        '    user: "0:0"',
        "    network_mode: none",
        "    cap_add: [CHOWN, DAC_OVERRIDE, FOWNER]",
    ]


def _migrate() -> list[str]:
    build = "    build: {context: ., dockerfile: deploy/Dockerfile, target: product}"
    return [*program("migrate", ("pgp", "migrate", "up"), {"secrets": DONE, POSTGRES: HEALTHY}, TRIED_AGAIN, build), *environment(())]


def _queue() -> list[str]:
    flags = ("--listen", f"0.0.0.0:{QUEUE_PORT}", "--queues", "deploy/queues.json", "--database-url-file", f"{SECRETS_FOLDER}/secrets.env")
    return program("queue", ("python", "-m", "deploy.emulators.cloudtasks", *flags), {"migrate": DONE}, RESTARTS, *listens(QUEUE_PORT))


def _scheduler() -> list[str]:
    addresses = {service.url_setting for service in FLEET for route in service.routes if route.schedule}
    return [*program("scheduler", ("python", "-m", "deploy.emulators.scheduler"), {"migrate": DONE}, RESTARTS), *environment(addresses)]


def _operator() -> list[str]:
    return [
        *program("operator", ("pgp", "doctor"), {"migrate": DONE}, "    profiles: [operator]", OPERATORS_IMAGE),
        *environment(CATALOGUE, PGP_SIMULATORS="${PGP_SIMULATORS:-}"),
    ]


def _service(service: Service) -> list[str]:
    return [
        *program(
            service.name,
            ("pgp", "serve", service.name, "--port", str(PORT)),
            {"migrate": DONE, "queue": STARTED},
            RESTARTS,
            f"    mem_limit: {service.size.memory_mib}m",
            *answers("/readyz"),
        ),
        *environment((*service.settings, *needed_urls(service))),
    ]


def render() -> str:
    """The compose file: the fleet on one server, with only its own secrets in each container."""
    volumes = [POSTGRES, "caddy", *(f"secrets-{name}" for name in (POSTGRES, *secrets_of(), *sandbox.secrets_of())), *sandbox.books()]
    parts = (_secrets(), _postgres(), _redis(), _edge(), _migrate(), _queue(), _scheduler(), _operator(), *map(_service, FLEET), sandbox.services())
    lines = [*HEAD, *OURS, "services:", *(line for part in parts for line in part), "volumes:", *(f"  {name}: {{}}" for name in volumes)]
    return "\n".join([*lines, ""])


def render_edge() -> str:
    """The edge's path table: what is not listed is 404, and no task or schedule door is ever listed."""
    lines = [notice(SOURCE, comment="# {}"), "{$BASE_URL} {", "    encode gzip"]
    for service in FLEET:
        paths = sorted({route.path.split("<", maxsplit=1)[0] + ("*" if "<" in route.path else "") for route in service.routes if route.edge})
        if paths:
            lines += [
                f"    @{service.short} path {' '.join(paths)}",
                f"    handle @{service.short} {{",
                f"        reverse_proxy {service.name}:{PORT}",
                "    }",
            ]
    return "\n".join([*lines, "    handle {", "        respond 404", "    }", "}", ""])


def queues(known: Mapping[str, str]) -> list[dict[str, object]]:
    """The queues with their retry settings, named by the project and location of these settings, as the emulator's file lists them."""
    project, location = (known.get(name) or CATALOGUE[name].default for name in ("CLOUD_TASKS_PROJECT_ID", "CLOUD_TASKS_LOCATION"))
    return [
        {
            "name": f"projects/{project}/locations/{location}/queues/{queue.name}",
            "max_concurrent_dispatches": queue.max_concurrent,
            "max_dispatches_per_second": queue.per_second,
            "max_attempts": queue.max_attempts,
            "max_retry_duration_s": queue.max_retry_s,
            "min_backoff_s": queue.min_backoff_s,
            "max_backoff_s": queue.max_backoff_s,
            "max_doublings": queue.doublings,
        }
        for queue in (route.queue for service in FLEET for route in service.routes)
        if queue is not None
    ]


def render_queues() -> str:
    """The queues of one server."""
    return json.dumps({"source": notice(SOURCE, comment="{}"), "queues": queues({})}, indent=2) + "\n"
