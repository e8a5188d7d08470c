"""The compose project of the proof: up, down, one verb of the operator, one crash, and what each container is, says and takes."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.containers.engine import CHECKOUT, Engine, EngineError

NAME = "pgp-proof"
# Two cores that belong to others as well, and fifteen services that import their libraries at once.
READY_S = 900.0
LOOK_EVERY_S = 2.0
# How often the engine is asked before its answer is believed.
LOOKS = 5


@dataclass(frozen=True)
class Container:
    """One container of the project."""

    name: str
    service: str
    state: str
    pid: int
    exit_code: int
    described: dict[str, Any]


class Project:
    """docker-compose.yml under podman-compose, with a port of its own."""

    def __init__(self, engine: Engine, port: int, *, name: str = NAME, production: Path | None = None) -> None:
        """Take the port and, for production, the file that is named instead of the committed .env; nothing is started."""
        self.engine, self.port, self.name = engine, port, name
        self.flags = ["--env-file", str(production)] if production else []
        here = {} if production else {"EDGE_PORT": str(port), "BASE_URL": f"http://pgp.localhost:{port}"}
        self.env = {"COMPOSE_PROJECT_NAME": name, **here}
        self.services: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]

    @property
    def url(self) -> str:
        """The edge, seen from this machine."""
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *words: str, given: str | None = None, check: bool = True) -> str:
        """Run podman-compose."""
        return self.engine.run("podman-compose", *self.flags, *words, env=self.env, given=given, check=check)

    def composed(self, *words: str) -> str:
        """Run podman-compose and give back everything that was said, whatever the end was."""
        done = self.engine.ran("podman-compose", *self.flags, *words, env=self.env)
        return done.stdout + done.stderr

    def up(self, *services: str) -> None:
        """Start everything that is not there, or these and what they wait for."""
        self.compose("up", "--detach", "--no-build", *services)

    def down(self, *, volumes: bool = False) -> None:
        """Stop and remove every container; the volumes only when asked."""
        self.compose("down", "--timeout", "10", *(["--volumes"] if volumes else []), check=False)
        # What a verb that was broken off has left.
        for left in self._ids():
            self.engine.podman("rm", "--force", "--time", "2", left, check=False)

    def containers(self) -> list[Container]:
        """All of them, jobs that have ended included. Raises EngineError when the engine does not say."""
        for _ in range(LOOKS - 1):
            with suppress(EngineError):
                return self._containers()
        # A verb's own container may be gone between being listed and being asked for, but not every time.
        return self._containers()

    def _containers(self) -> list[Container]:
        ids = self._ids()
        return [_container(found) for found in json.loads(self.engine.podman("inspect", *ids))] if ids else []

    def _ids(self) -> list[str]:
        return self.engine.podman("ps", "--all", "--quiet", "--filter", f"label=io.podman.compose.project={self.name}").split()

    def container(self, service: str) -> Container:
        """One of them. Raises KeyError."""
        for found in self.containers():
            if found.service == service:
                return found
        raise KeyError(service)

    def pgp(self, *words: str, check: bool = True) -> str:
        """A verb, as a person gives it: `pgp --target compose ...`."""
        env = {**self.env, "PGP_COMPOSE": "podman-compose"}
        return self.engine.run(str(CHECKOUT / ".venv" / "bin" / "python"), "-m", "PGP_COMMON.cli", "--target", "compose", *words, env=env, check=check)

    def unwell(self) -> Iterator[str]:
        """Every container that is not what it should be, with a reason: the health checks are run here, since no systemd does it."""
        found = {container.service: container for container in self.containers()}
        for name, entry in self.services.items():
            if entry.get("profiles") == ["operator"]:
                continue
            container = found.get(name)
            if container is None:
                yield f"{name} is not there"
            elif entry.get("restart") in {None, "on-failure"}:
                if container.state != "exited" or container.exit_code:
                    yield f"{name} is {container.state} ({container.exit_code})"
            elif container.state != "running":
                yield f"{name} is {container.state}"
            elif "healthcheck" in entry and self.engine.ran("podman", "healthcheck", "run", container.name).returncode:
                yield f"{name} is not healthy"

    def wait_ready(self) -> float:
        """Wait until every job has ended well and every program is healthy; gives back the seconds. Raises EngineError with what is not."""
        began = time.monotonic()
        while unwell := list(self.unwell()):
            if time.monotonic() - began > READY_S:
                logs = "".join(self.log(sentence.split()[0])[-1500:] for sentence in unwell[:3])
                raise EngineError(f"not ready after {READY_S:.0f} s: {'; '.join(unwell)}\n{logs}")
            time.sleep(LOOK_EVERY_S)
        return time.monotonic() - began

    def crash(self, service: str) -> None:
        """Kill a container's first process from outside, as a fault does (the engine's own `kill` would be a stop, after which nothing is started again)."""
        os.kill(self.container(service).pid, signal.SIGKILL)

    def log(self, service: str) -> str:
        """What a container has said."""
        with suppress(KeyError):
            done = self.engine.ran("podman", "logs", self.container(service).name)
            return done.stdout + done.stderr
        return ""

    def memory(self) -> dict[str, str]:
        """What each running container takes, as podman says it."""
        rows = json.loads(self.engine.podman("stats", "--no-stream", "--format", "json") or "[]")
        services = {container.name: container.service for container in self.containers() if container.state == "running"}
        return {services[row["name"]]: str(row["mem_usage"]).partition(" /")[0] for row in rows if row["name"] in services}

    def open_ports(self) -> dict[str, list[str]]:
        """Which ports are open to this machine, by service."""
        found = {}
        for container in self.containers():
            ports = container.described["NetworkSettings"].get("Ports") or {}
            bound = [f"{each['HostPort']}->{inner}" for inner, outer in ports.items() for each in outer or []]
            if bound:
                found[container.service] = bound
        return found

    def volumes(self) -> list[str]:
        """The project's volumes."""
        return [name for name in self.engine.podman("volume", "ls", "--quiet").split() if re.match(rf"{re.escape(self.name)}_", name)]


def _container(found: dict[str, Any]) -> Container:
    state, labels = found["State"], found["Config"]["Labels"] or {}
    return Container(
        name=found["Name"],
        service=labels.get("com.docker.compose.service") or labels.get("io.podman.compose.service", ""),
        state=state["Status"],
        pid=int(state["Pid"]),
        exit_code=int(state["ExitCode"]),
        described=found,
    )
