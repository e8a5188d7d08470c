"""Runs one service in this process, as every container of the fleet does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from PGP_COMMON import shutdown
from PGP_COMMON.directory import service_named
from PGP_COMMON.errors import BadInput
from PGP_COMMON.manifest import Service

# The load balancer keeps its connections for 600 s; whoever closes first loses a request, so we are the patient side.
KEEP_ALIVE_S = 620
# Cloud Run gives ten seconds between SIGTERM and SIGKILL.
GRACE_S = 8
# The heartbeat is a file: on a disk it can stall a worker for seconds.
MEMORY = Path("/dev/shm")  # noqa: S108 - gunicorn makes its own unguessable file in it


def command(service: Service, *, host: str, port: int) -> list[str]:
    """What gunicorn is started with: one process, as many threads as the manifest says, no access log (it would hold tokens)."""
    flags = {
        "--bind": f"{host}:{port}",
        "--workers": "1",
        "--worker-class": "gthread",
        "--threads": str(service.size.threads),
        "--timeout": str(service.size.timeout_s),
        "--graceful-timeout": str(GRACE_S),
        "--keep-alive": str(KEEP_ALIVE_S),
        "--log-level": "warning",
        **({"--worker-tmp-dir": str(MEMORY)} if MEMORY.is_dir() else {}),
    }
    words = [word for flag in flags.items() for word in flag]
    app = f"PGP_COMMON.web:create_app('{service.name}')"
    return [sys.executable, "-m", "gunicorn", *words, "--no-control-socket", "--config", f"python:{shutdown.__name__}", app]


def serve(
    service: Annotated[str, typer.Argument(help="the service's name, as in `pgp fleet list`")],
    port: Annotated[int, typer.Option(envvar="PORT", help="the port to listen on")] = 8080,
    host: Annotated[str, typer.Option(help="the address to listen on")] = "0.0.0.0",
) -> None:
    """Run one service in this process until SIGTERM."""
    try:
        entry = service_named(service)
    except KeyError:
        raise BadInput(f"there is no service {service!r} in the fleet") from None
    argv = command(entry, host=host, port=port)
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted: the container's first process becomes gunicorn
