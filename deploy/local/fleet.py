"""This is the fleet on one machine: which programs, in which order, with which flags and settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from deploy.local import anvil, book, files, probes, secrets, settings, valkey, vendors
from deploy.local.files import StateDir
from deploy.local.ports import HOST, Ports
from deploy.local.postgres import Postgres
from deploy.local.processes import Program
from deploy.local.supervisor import Plan, Stage
from deploy.local.switch import inherited
from PGP_COMMON import cli
from PGP_COMMON.cli.serve import command
from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Service
from PGP_COMMON.rendering import compose, sandbox

DATABASE = "pgp"
SIMULATOR, EMULATOR, SERVICE, SCHEDULER, JOB = "simulator", "emulator", "service", "scheduler", "job"
# Importing a service is work for a processor: more at a time would not be ready sooner, only later together.
SERVICES_AT_ONCE = 5


@dataclass(frozen=True)
class Fleet:
    """Everything that is decided before the first program starts."""

    state: StateDir
    options: Mapping[str, str]

    @cached_property
    def ports(self) -> Ports:
        """Remembered ports; what runs keeps its own."""
        return Ports(self.state.ports, held=book.read(self.state.fleet).running())

    @cached_property
    def postgres(self) -> Postgres:
        """Our own server; not started when settings.env names another DATABASE_URL."""
        return Postgres(self.state.root / "postgres", remembered=self.ports)

    @cached_property
    def given(self) -> dict[str, str]:
        """What a person wants otherwise."""
        return files.read_env(self.state.settings)

    def port_of(self, name: str) -> int:
        """A program's port."""
        return self.ports.pick(name)

    @cached_property
    def database_url(self) -> str:
        """The product's database."""
        return self.given.get("DATABASE_URL") or self.postgres.url(DATABASE)

    @cached_property
    def redis_url(self) -> str:
        """The cache."""
        return self.given.get("REDIS_URL") or f"redis://{HOST}:{self.port_of('valkey')}/0"

    @cached_property
    def rpc_url(self) -> str:
        """The chain itself, as the vendors see it."""
        return f"http://{HOST}:{self.port_of('anvil')}"

    @cached_property
    def rpc_urls(self) -> str:
        """The two addresses at which the fleet sees it, as with two providers: the second lags."""
        return f"{self.rpc_url},{self.simulators[sandbox.SECOND_NODE]}"

    @cached_property
    def tasks(self) -> str:
        """Where the queues are: host and port."""
        return f"{HOST}:{self.port_of('cloudtasks')}"

    @cached_property
    def simulators(self) -> dict[str, str]:
        """The vendors' addresses by name."""
        return {name: f"http://{HOST}:{self.port_of(name)}" for name in vendors.NAMES}

    @cached_property
    def keys(self) -> vendors.Keys:
        """The keys that only vendors and the chain's own account hold."""
        return vendors.keys(self.state)

    @cached_property
    def settings(self) -> dict[str, str]:
        """Every setting of the fleet, by name."""
        addresses = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "ETHEREUM_RPC_URL": self.rpc_urls,
            "CLOUD_TASKS_ENDPOINT": self.tasks,
            "USDT_CONTRACT": self.keys.token,
            **settings.service_urls({service.name: self.port_of(service.name) for service in FLEET}, HOST),
        }
        return settings.settings(self.state, addresses=addresses, simulators=self.simulators)

    def python(self, name: str, kind: str, module: str, *flags: str, env: Mapping[str, str] | None = None, port: int = 0) -> Program:
        """A program of this checkout, ready when it takes connections."""
        return Program(
            name=name,
            kind=kind,
            argv=(sys.executable, "-m", module, *flags),
            env={**inherited(), "PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=files.CHECKOUT,
            url=f"http://{HOST}:{port}" if port else "",
            is_ready=(lambda: probes.listens(port)) if port else (lambda: True),
            is_job=kind == JOB,
        )

    def chain_node(self) -> Program:
        """The chain's own node."""
        return anvil.program(self.state.root / "anvil", self.port_of("anvil"))

    def second_nodes(self) -> list[Program]:
        """Further RPC addresses of the chain."""
        return [self.simulator(sandbox.SECOND_NODE)]

    def infrastructure(self) -> list[Program]:
        """Database, cache and chain, those that settings.env does not name elsewhere."""
        programs = [self.chain_node()]
        if "REDIS_URL" not in self.given:
            programs.append(valkey.program(self.state.root / "valkey", self.port_of("valkey")))
        if "DATABASE_URL" not in self.given:
            programs.append(self.postgres.program(databases=(DATABASE,)))
        return programs

    def verb(self, verb: str, action: str) -> Program:
        """A verb of `pgp` as a job."""
        return self.python(f"{verb}-{action}", JOB, cli.__name__, verb, action, "--state-dir", str(self.state.root), env=self.settings)

    def chain(self) -> Program:
        """A fresh chain gets the token, and every wallet what it begins with."""
        return self.python("chain", JOB, "deploy.simulators.chain", *vendors.chain_flags(self.keys, self.settings, self.rpc_url))

    def simulator(self, name: str) -> Program:
        """One vendor."""
        port = self.port_of(name)
        flags = ("--port", str(port), "--state-dir", str(self.state.root / name))
        more = vendors.flags(name, files.read_env(self.state.secrets), self.settings, self.keys, rpc_url=self.rpc_url)
        (self.state.root / name).mkdir(exist_ok=True)
        return self.python(name, SIMULATOR, f"deploy.simulators.{name}", *flags, *more, port=port)

    def emulator(self) -> Program:
        """Cloud Tasks; it keeps its tasks in a schema of its own in the fleet's database."""
        queues, address = self.state.root / "queues.json", self.state.root / "queue-database.url"
        files.write_atomically(queues, json.dumps(compose.queues(self.settings), indent=1))
        # Not on the command line, which every user of the machine can read: the database's password is in it.
        files.write_atomically(address, self.database_url)
        flags = ("--database-url-file", str(address), "--listen", self.tasks, "--queues", str(queues))
        return self.python("cloudtasks", EMULATOR, "deploy.emulators.cloudtasks", *flags, port=self.port_of("cloudtasks"))

    def service(self, service: Service) -> Program:
        """One service, as `pgp serve` runs it, with its own settings and no other's."""
        port = self.port_of(service.name)
        return Program(
            name=service.name,
            kind=SERVICE,
            argv=command(service, host=HOST, port=port),
            env={**inherited(), **settings.of_service(service, self.settings)},
            cwd=files.CHECKOUT,
            url=f"http://{HOST}:{port}",
            is_ready=lambda: probes.answers(f"http://{HOST}:{port}/readyz"),
        )

    def schedulers(self) -> list[Program]:
        """Cloud Scheduler."""
        flags = [word for item in self.options.get("every", "").split(",") if item for word in ("--every", item)]
        return [self.python("scheduler", SCHEDULER, "deploy.emulators.scheduler", *flags, env=self.settings)]


def plan(state: StateDir, options: Mapping[str, str]) -> Plan:
    """The whole fleet. Makes the secrets at the first call."""
    secrets.init(state)
    return planned(Fleet(state, options))


def planned(fleet: Fleet) -> Plan:
    """The stages of a fleet; its settings are left where a person's shell finds them."""
    state = fleet.state
    stages = (
        Stage("infrastructure", fleet.infrastructure()),
        Stage("schema, token and second node", [fleet.verb("migrate", "up"), fleet.chain(), *fleet.second_nodes()]),
        Stage("wallet", [fleet.verb("wallet", "init")] if cli.sentence("wallet") else []),
        Stage("vendors and queues", [*(fleet.simulator(name) for name in sandbox.VENDORS), fleet.emulator()], at_once=4),
        Stage("services", [fleet.service(service) for service in FLEET], at_once=SERVICES_AT_ONCE),
        Stage("webhook", [fleet.python("webhook", JOB, "deploy.local.webhook", env=fleet.settings)]),
        Stage("scheduler", fleet.schedulers()),
    )
    files.write_env(state.environment, fleet.settings, heading="What the running fleet is given: `set -a; . FILE` makes it a shell's.")
    places = {"database_url": fleet.database_url, "redis_url": fleet.redis_url, "rpc_url": fleet.rpc_url, "tasks": fleet.tasks}
    return Plan(stages, places)
