"""docker-compose.yml, the Dockerfile, the edge's path table and the queues, from the manifest."""

from __future__ import annotations

import json

from PGP_COMMON.config import needed_urls
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service
from PGP_COMMON.rendering.tables import notice
from PGP_COMMON.settings import CATALOGUE

SOURCE = "PGP_COMMON/fleet.py"
PORT = 8080
# Settings that the compose file itself decides.
FIXED = {"CLOUD_TASKS_ENDPOINT": "queue:8123", "LOG_FORMAT": "json", "SECRETS_FILE": "/run/secrets/{name}"}


def _environment(service: Service) -> list[str]:
    lines = [f"      {setting}: {value.format(name=service.name)}" for setting, value in FIXED.items()]
    lines += [f"      {other.url_setting}: http://{other.name}:{PORT}" for other in FLEET if other.url_setting in {*service.settings, *needed_urls(service)}]
    for name in service.settings:
        setting = CATALOGUE[name]
        if name in FIXED or setting.secret or (name.endswith("_URL") and name.startswith("PGP_")):
            continue
        lines.append(f"      {name}: ${{{name}{'?must be set' if setting.default is None else f':-{setting.default}'}}}")
    return sorted(set(lines))


def _service(service: Service) -> str:
    return "\n".join(
        (
            f"  {service.name}:",
            "    image: paygateprime",
            f'    command: ["pgp", "serve", "{service.name}", "--port", "{PORT}"]',
            "    restart: unless-stopped",
            "    read_only: true",
            "    tmpfs: [/tmp]",
            "    depends_on:",
            "      migrate: {condition: service_completed_successfully}",
            "      queue: {condition: service_started}",
            f"    mem_limit: {service.size.memory_mib}m",
            "    environment:",
            *_environment(service),
            f"    secrets: [{service.name}]",
            "    healthcheck:",
            f'      test: ["CMD", "python", "-c", "import urllib.request; urllib.request.urlopen(\'http://127.0.0.1:{PORT}/readyz\')"]',
            "      interval: 10s",
        )
    )


def render() -> str:
    """The compose file: the fleet on one server, with only its own secrets in each container."""
    secrets = [f"  {service.name}:\n    file: ./secrets/{service.name}.env" for service in FLEET]
    return "\n".join(
        (
            notice(SOURCE, comment="# {}"),
            "# One server: the edge, the fleet, its queue, its database. Each container sees its own secrets only (secrets/<service>.env).",
            "services:",
            "  postgres:",
            "    image: postgres:18",
            "    restart: unless-stopped",
            "    environment: {POSTGRES_DB: pgp, POSTGRES_USER: pgp, POSTGRES_PASSWORD_FILE: /run/secrets/postgres}",
            "    secrets: [postgres]",
            "    volumes: [postgres:/var/lib/postgresql]",
            "  redis:",
            "    image: valkey/valkey:9",
            "    restart: unless-stopped",
            '    command: ["valkey-server", "--save", ""]',
            "  migrate:",
            "    image: paygateprime",
            "    build: {context: ., dockerfile: deploy/Dockerfile, target: product}",
            '    command: ["pgp", "migrate", "up"]',
            "    environment: {SECRETS_FILE: /run/secrets/migrate}",
            "    secrets: [migrate]",
            "    depends_on: [postgres]",
            "  queue:",
            "    image: paygateprime",
            "    restart: unless-stopped",
            '    command: ["python", "-m", "deploy.emulators.cloudtasks", "--listen", "0.0.0.0:8123", "--queues", "deploy/queues.json", "--database-url-file", "/run/secrets/queue"]',
            "    secrets: [queue]",
            "    depends_on: {migrate: {condition: service_completed_successfully}}",
            "  edge:",
            "    image: caddy:2",
            "    restart: unless-stopped",
            '    ports: ["80:80", "443:443"]',
            "    volumes: [./deploy/Caddyfile:/etc/caddy/Caddyfile:ro, caddy:/data]",
            *(_service(service) for service in FLEET),
            "volumes:",
            "  postgres: {}",
            "  caddy: {}",
            "secrets:",
            *(f"  {name}:\n    file: ./secrets/{name}.env" for name in ("postgres", "migrate", "queue")),
            *secrets,
            "",
        )
    )


def render_dockerfile() -> str:
    """One image for the fleet, and a second target with the simulators, which the first does not hold."""
    folders = " ".join(dict.fromkeys(service.folder for service in FLEET))
    return "\n".join(
        (
            notice(SOURCE, comment="# {}"),
            "ARG BASE=python:3.11-slim-bookworm",
            "FROM ${BASE} AS product",
            "WORKDIR /app",
            "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1",
            "COPY requirements.txt ./",
            "RUN pip install --require-hashes -r requirements.txt",
            "COPY pyproject.toml requirements.in README.md ./",
            f"COPY PGP_COMMON PGP_COMMON\n{chr(10).join(f'COPY {folder} {folder}' for folder in folders.split())}",
            "COPY migrations migrations",
            "COPY deploy/__init__.py deploy/queues.json deploy/",
            "COPY deploy/emulators deploy/emulators",
            "RUN pip install --no-deps --no-build-isolation --editable . && useradd --system --uid 10001 pgp",
            "USER 10001",
            'CMD ["pgp", "--help"]',
            "",
            "# Everything else that stands in for the outside world; never deployed.",
            "FROM product AS simulators",
            "COPY deploy/simulators deploy/simulators",
            "",
        )
    )


def render_edge() -> str:
    """The edge's path table: what is not listed is 404, and no task or schedule door is ever listed."""
    lines = [notice(SOURCE, comment="# {}"), "{$PUBLIC_HOST} {", "    encode gzip"]
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


def render_queues() -> str:
    """The queues with their retry settings, for the emulator and for deployment."""
    rows = []
    for service in FLEET:
        for route in service.routes:
            if route.queue:
                q = route.queue
                rows.append(
                    {
                        "name": q.name,
                        "max_concurrent_dispatches": q.max_concurrent,
                        "max_dispatches_per_second": q.per_second,
                        "max_attempts": q.max_attempts,
                        "max_retry_duration_s": q.max_retry_s,
                        "min_backoff_s": q.min_backoff_s,
                        "max_backoff_s": q.max_backoff_s,
                        "max_doublings": q.doublings,
                    }
                )
    return json.dumps({"source": "Written by `pgp fleet render` from PGP_COMMON/fleet.py. Do not edit.", "queues": rows}, indent=2) + "\n"
