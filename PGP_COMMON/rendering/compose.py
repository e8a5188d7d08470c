"""docker-compose.yml, the Dockerfile with what it may see, the edge's path table and the queues, from the manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from PGP_COMMON.config import needed_urls
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Edge, Service
from PGP_COMMON.rendering.tables import notice
from PGP_COMMON.settings import CATALOGUE

SOURCE = "PGP_COMMON/fleet.py"
PORT = 8080
# Whom the image's programs run as, and so whom their files of secrets belong to.
USER_ID = 10001
# An operator does without it: one container of the fleet has it, and no other.
WALLET_KEY = "HOST_WALLET_PRIVATE_KEY"
# Settings that the compose file itself decides.
FIXED = {
    "CLOUD_TASKS_ENDPOINT": "queue:8123",
    # Part of the names in deploy/queues.json, and of nothing else here.
    "CLOUD_TASKS_PROJECT_ID": CATALOGUE["CLOUD_TASKS_PROJECT_ID"].default,
    "CLOUD_TASKS_LOCATION": CATALOGUE["CLOUD_TASKS_LOCATION"].default,
    "LOG_FORMAT": "json",
    "REDIS_URL": "redis://redis:6379/0",
}
# Google's, without any use on one server.
CLOUD_ONLY = ("CLOUD_SQL_CONNECTION_NAME", "CLOUD_TASKS_SERVICE_ACCOUNT", "TASK_OIDC")
# What the catalogue says for a machine without an edge is wrong behind one: links would lead nowhere, and all callers would seem to be the edge.
BEHIND_THE_EDGE = {"BASE_URL": None, "TRUSTED_PROXY_HOPS": "1"}


def secrets_of() -> dict[str, tuple[str, ...]]:
    """Which secrets each container of ours is given; the database's own password is apart."""
    everything = [name for name, setting in CATALOGUE.items() if setting.secret]
    return {
        "migrate": ("DATABASE_URL",),
        "queue": ("DATABASE_URL",),
        "scheduler": (Edge.GENERAL.value,),
        "operator": tuple(name for name in everything if name != WALLET_KEY),
        **{service.name: tuple(name for name in everything if name in service.settings) for service in FLEET},
    }


def _variable(name: str) -> str:
    default = BEHIND_THE_EDGE[name] if name in BEHIND_THE_EDGE else CATALOGUE[name].default
    return f"${{{name}:{'?must be set' if default is None else f'-{default}'}}}"


def _environment(container: str, names: Iterable[str]) -> list[str]:
    """The plain ones of these settings, and where the secret ones are."""
    urls = {service.url_setting: f"http://{service.name}:{PORT}" for service in FLEET}
    values = {"SECRETS_FILE": f"/run/secrets/{container}"}
    for name in names:
        if not CATALOGUE[name].secret and name not in {"SECRETS_FILE", *CLOUD_ONLY}:
            values[name] = urls.get(name) or FIXED.get(name) or _variable(name)
    return ["    environment:", *(f"      {name}: {value}" for name, value in sorted(values.items()))]


def _program(name: str, command: Sequence[str], settings: Iterable[str], *more: str, after: str = "") -> list[str]:
    """A container of our image: it has its own secrets, and writes nowhere but to /tmp."""
    return [
        f"  {name}:",
        "    image: paygateprime",
        f"    command: {json.dumps(command)}",
        "    read_only: true",
        "    tmpfs: [/tmp]",
        f"    depends_on: {{{after or 'migrate: {condition: service_completed_successfully}'}}}",
        *more,
        *_environment(name, settings),
        f"    secrets: [{name}]",
    ]


def _service(service: Service) -> list[str]:
    ready = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/readyz')"
    return _program(
        service.name,
        ("pgp", "serve", service.name, "--port", str(PORT)),
        (*service.settings, *needed_urls(service)),
        "    restart: unless-stopped",
        f"    mem_limit: {service.size.memory_mib}m",
        "    healthcheck:",
        f"      test: {json.dumps(('CMD', 'python', '-c', ready))}",
        "      interval: 10s",
        after="migrate: {condition: service_completed_successfully}, queue: {condition: service_started}",
    )


def _queue() -> list[str]:
    flags = ("--listen", "0.0.0.0:8123", "--queues", "deploy/queues.json", "--database-url-file", "/run/secrets/queue")
    return _program("queue", ("python", "-m", "deploy.emulators.cloudtasks", *flags), (), "    restart: unless-stopped")


def _scheduler() -> list[str]:
    addresses = {service.url_setting for service in FLEET for route in service.routes if route.schedule}
    return _program("scheduler", ("python", "-m", "deploy.emulators.scheduler"), addresses, "    restart: unless-stopped")


def _operator() -> list[str]:
    return _program("operator", ("pgp", "doctor"), CATALOGUE, "    profiles: [operator]")


def render() -> str:
    """The compose file: the fleet on one server, with only its own secrets in each container."""
    lines = [
        notice(SOURCE, comment="# {}"),
        "# One server: the edge, the fleet, its queue, scheduler and database. Each container sees its own secrets only (`pgp secrets split`).",
        "# `docker compose run --rm operator pgp ...` is the operator's command.",
        "services:",
        "  postgres:",
        "    image: postgres:18",
        "    restart: unless-stopped",
        "    environment: {POSTGRES_DB: pgp, POSTGRES_USER: pgp, POSTGRES_PASSWORD_FILE: /run/secrets/postgres}",
        "    secrets: [postgres]",
        "    volumes: [postgres:/var/lib/postgresql]",
        "    healthcheck:",
        '      test: ["CMD", "pg_isready", "-h", "127.0.0.1", "-U", "pgp", "-d", "pgp"]',
        "      interval: 5s",
        "  redis:",
        "    image: valkey/valkey:9",
        "    restart: unless-stopped",
        '    command: ["valkey-server", "--save", ""]',
        "  edge:",
        "    image: caddy:2",
        "    restart: unless-stopped",
        '    ports: ["80:80", "443:443"]',
        f'    environment: {{BASE_URL: "{_variable("BASE_URL")}"}}',
        "    volumes: [./deploy/Caddyfile:/etc/caddy/Caddyfile:ro, caddy:/data]",
        *_program(
            "migrate",
            ("pgp", "migrate", "up"),
            (),
            "    build: {context: ., dockerfile: deploy/Dockerfile, target: product}",
            after="postgres: {condition: service_healthy}",
        ),
        *_queue(),
        *_scheduler(),
        *_operator(),
        *(line for service in FLEET for line in _service(service)),
        "volumes:",
        "  postgres: {}",
        "  caddy: {}",
        "secrets:",
        *(f"  {name}:\n    file: ./secrets/{name}.env" for name in ("postgres", *secrets_of())),
    ]
    return "\n".join([*lines, ""])


def _folders() -> list[str]:
    """What the image is made of, besides its requirements."""
    return ["PGP_COMMON", *dict.fromkeys(service.folder for service in FLEET), "migrations", "deploy/emulators"]


def render_dockerfile() -> str:
    """One image for the fleet, and another target with the simulators, which the first does not hold."""
    lines = [
        notice(SOURCE, comment="# {}"),
        "ARG BASE=python:3.11-slim-bookworm",
        "FROM ${BASE} AS fleet",
        "WORKDIR /app",
        "ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1",
        "COPY requirements.txt ./",
        "# A distribution's own Python lets nobody install into it.",
        "RUN python3 -m venv /opt/venv && pip install --no-deps --require-hashes -r requirements.txt",
        *(f"COPY {folder} {folder}" for folder in _folders()),
        "COPY deploy/__init__.py deploy/queues.json deploy/",
        "# The product is not built: nothing but what is pinned above is downloaded. A checkout may be for its owner's eyes only, hence the modes.",
        """RUN printf '#!/bin/sh\\nexec python -m PGP_COMMON.cli "$@"\\n' > /opt/venv/bin/pgp && chmod 755 /opt/venv/bin/pgp && chmod -R a+rX /app \\""",
        f"    && useradd --uid {USER_ID} --no-create-home pgp",
        f"USER {USER_ID}",
        'CMD ["pgp", "--help"]',
        "",
        "# Everything that stands in for the outside world; never deployed.",
        "FROM fleet AS simulators",
        "COPY deploy/simulators deploy/simulators",
        "",
        "# The last, so that it is what a build without a target makes.",
        "FROM fleet AS product",
    ]
    return "\n".join([*lines, ""])


def render_ignore() -> str:
    """What a build may see: what the Dockerfile copies, and not the secrets, books and environments that lie about in a checkout."""
    seen = ["requirements.txt", *_folders(), "deploy/__init__.py", "deploy/queues.json", "deploy/simulators"]
    return "\n".join([notice(SOURCE, comment="# {}"), "*", *(f"!{name}" for name in seen), "**/__pycache__", "**/*.pyc", ""])


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
