"""Proves docker-compose.yml on a machine without a Docker engine: `sudo python -m deploy.containers` (README.md beside this says what it needs)."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import time
from pathlib import Path

from deploy.containers import bases, proof
from deploy.containers.engine import CHECKOUT, Engine, EngineError
from deploy.containers.project import Project

NEEDED = ("buildah", "podman", "runc", "netavark", "debootstrap", "apt-get")
ELSEWHERE = ("/usr/lib/podman", "/usr/libexec/podman")
# So many containers are killed, one after another, while one demonstration plays.
KILLS_A_DEMO = 3


def flags() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.containers", description=__doc__)
    parser.add_argument("--work", type=Path, default=CHECKOUT / "build" / "containers", help="where the store, the tools and the logs of the proof are")
    parser.add_argument("--kill", default="all", help="which services are killed in mid-demo: all, none, or names with a comma between")
    parser.add_argument("--kills-a-demo", type=int, default=KILLS_A_DEMO)
    parser.add_argument("--build-only", action="store_true", help="lint and build the images, show them, start nothing")
    parser.add_argument("--skip-build", action="store_true", help="take the images that the last run built")
    return parser.parse_args()


def teller() -> proof.Tell:
    """Tell each claim with the seconds since the beginning."""
    began = time.monotonic()

    def tell(sentence: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {sentence}", flush=True)

    return tell


def free_port() -> int:
    """8080, or another one when that is taken."""
    for port in (8080, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise EngineError("there is no free port")


def missing() -> list[str]:
    """What has to be installed first."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *ELSEWHERE))
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


def built(engine: Engine, tell: proof.Tell) -> None:
    """Both images, from the checkout as it is."""
    bases.make(engine, tell)
    for target, name in {"product": "paygateprime", "sandbox": "paygateprime-sandbox"}.items():
        bases.build(engine, target, f"localhost/{name}:latest")
        tell(f"built {name}")


def shown(project: Project, asked: argparse.Namespace, tell: proof.Tell) -> None:
    """Everything that is claimed of the running project."""
    project.down(volumes=True)
    project.up()
    tell("up, from nothing")
    proof.came_up(project, tell)
    proof.edge_is_a_table(project, tell)
    proof.own_secrets_only(project, tell)
    proof.demo(project, tell)
    payment = proof.demo(project, tell)
    proof.doctor(project, tell)
    proof.redis_counts(project, tell)
    proof.memory(project, tell)
    names = [container.service for container in project.containers() if container.state == "running"]
    chosen = {"all": sorted(names), "none": []}.get(asked.kill, asked.kill.split(","))
    for first in range(0, len(chosen), asked.kills_a_demo):
        proof.survives_kills(project, chosen[first : first + asked.kills_a_demo], tell)
    if chosen:
        tell(f"after all {len(chosen)} kills everything is healthy again within {project.wait_ready():.0f} s")
        proof.doctor(project, tell)
    proof.no_secret_escapes(project, tell)
    proof.keeps_its_data(project, payment, tell)


def main() -> int:
    """Show everything; 1 when a claim does not hold, 2 when the machine lacks something. Ends what it started, however it ends."""
    asked, tell = flags(), teller()
    if os.geteuid() != 0 or missing():
        print(f"this needs root, and these of Debian's packages: {', '.join(missing()) or 'all there'} (deploy/containers/README.md)", file=sys.stderr)
        return 2
    engine = Engine(asked.work)
    engine.install_tools()
    project = Project(engine, free_port())
    try:
        if not asked.skip_build:
            proof.linted(engine, tell)
            built(engine, tell)
        proof.image(engine, tell)
        if not asked.build_only:
            shown(project, asked, tell)
            project.down(volumes=True)
            proof.production(engine, free_port(), tell)
    except EngineError as error:
        tell(f"this does not hold: {error}")
        return 1
    finally:
        project.down(volumes=True)
        # What builds have left, also those that were broken off; the store is the proof's own.
        engine.ran("buildah", "rm", "--all")
    tell("every claim holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
