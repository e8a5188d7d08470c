"""The Dockerfile, and what a build may see of the checkout."""

from __future__ import annotations

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.rendering.containers import SOURCE, USER_ID
from PGP_COMMON.rendering.tables import notice

NODE_FILES = ("deploy/local/node.txt", "package.json", "package-lock.json")
SANDBOX_FOLDERS = ("deploy/simulators", "deploy/local", "deploy/sandbox")


def folders() -> list[str]:
    """What the image is made of, besides its requirements."""
    return ["PGP_COMMON", *dict.fromkeys(service.folder for service in FLEET), "migrations", "deploy/emulators"]


def _build_stages() -> list[str]:
    """What needs a network and tools; only the results are copied on."""
    return [
        "ARG BASE=python:3.11-slim-bookworm",
        "# Tools stay in the stages that use them: the images get /opt/venv and the node, and nothing else.",
        "FROM ${BASE} AS build",
        "WORKDIR /build",
        "COPY requirements.txt ./",
        "RUN python3 -m venv tools && python3 -m venv --without-pip /opt/venv \\",
        "    && tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r requirements.txt",
        "",
        "FROM build AS node",
        f"COPY {' '.join(NODE_FILES)} ./",
        "RUN tools/bin/pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes -r node.txt \\",
        "    && PATH=/build/tools/bin:$PATH npm ci --omit=dev --no-audit --no-fund --loglevel=error \\",
        "    && cp node_modules/@foundry-rs/anvil-*/bin/anvil /opt/anvil",
    ]


def _product_stage() -> list[str]:
    return [
        "FROM ${BASE} AS fleet",
        'LABEL org.opencontainers.image.title="PayGatePrime" \\',
        '      org.opencontainers.image.description="Sells access to Telegram channels for crypto and pays the owners: fifteen services and the operator\'s command"',
        "WORKDIR /app",
        "ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
        "# What the base brings to install and build packages with has no use in a container that writes nowhere.",
        f"RUN useradd --uid {USER_ID} --no-create-home --shell /usr/sbin/nologin pgp \\",
        "    && rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip",
        "COPY --from=build /opt/venv /opt/venv",
        *(f"COPY {folder} {folder}" for folder in folders()),
        "COPY deploy/__init__.py deploy/queues.json deploy/",
        "# A checkout may be for its owner's eyes only, hence the modes; a root that cannot be written keeps no bytecode, hence the compiling.",
        """RUN printf '#!/bin/sh\\nexec python -m PGP_COMMON.cli "$@"\\n' > /opt/venv/bin/pgp && chmod 755 /opt/venv/bin/pgp && chmod -R a+rX /app \\""",
        "    && python -m compileall -q /app",
        f"USER {USER_ID}",
        'CMD ["pgp", "--help"]',
    ]


def render_dockerfile() -> str:
    """One image for the fleet, and another target with the sandbox, which the first does not hold."""
    lines = [
        notice(SOURCE, comment="# {}"),
        *_build_stages(),
        "",
        *_product_stage(),
        "",
        "# Everything that stands in for the outside world, and the demonstration; never deployed.",
        "FROM fleet AS sandbox",
        *(f"COPY {folder} {folder}" for folder in SANDBOX_FOLDERS),
        "COPY --from=node /opt/anvil /usr/local/bin/anvil",
        "USER 0",
        f"RUN chmod -R a+rX /app && python -m compileall -q /app/deploy && install -d -o {USER_ID} -g {USER_ID} /books",
        f"USER {USER_ID}",
        "",
        "# The last, so that it is what a build without a target makes.",
        "FROM fleet AS product",
    ]
    return "\n".join([*lines, ""])


def render_ignore() -> str:
    """What a build may see: what the Dockerfile copies, and not the secrets, books and environments that lie about in a checkout."""
    seen = ["requirements.txt", *folders(), "deploy/__init__.py", "deploy/queues.json", *SANDBOX_FOLDERS, "package.json", "package-lock.json"]
    return "\n".join([notice(SOURCE, comment="# {}"), "*", *(f"!{name}" for name in seen), "**/__pycache__", "**/*.pyc", ""])
