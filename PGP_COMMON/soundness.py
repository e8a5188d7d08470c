"""This is the soundness of the manifest: every contradiction as a sentence; an empty list is a sound fleet."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from PGP_COMMON.fleet import FLEET
from PGP_COMMON.manifest import Door, Edge, Proof, Service
from PGP_COMMON.money_machines import MACHINES
from PGP_COMMON.operators import powers
from PGP_COMMON.settings import CATALOGUE

# Vendors that somebody has to be able to leave alone for a while.
SWITCHES = {"", "intake", "convert", "payout_plan", "sign", "invite"}
WALLET_KEY_HOLDERS = {"pgp-hostpay3-v1"}


def problems(fleet: Sequence[Service] = FLEET) -> list[str]:
    """Everything that is wrong with a manifest, in the order of its parts."""
    found: list[str] = []
    for part in (_names, _routes, _steps, _sends, _moves, _settings, _modules):
        found += part(fleet)
    return found


def _twice(what: str, names: Iterable[str]) -> Iterator[str]:
    yield from (f"{what} {name} is declared {count} times" for name, count in Counter(names).items() if count > 1)


def _names(fleet: Sequence[Service]) -> Iterator[str]:
    yield from _twice("service", (service.name for service in fleet))
    yield from _twice("step", (step.name for service in fleet for step in service.steps))
    yield from _twice("queue", (route.queue.name for service in fleet for route in service.routes if route.queue))
    yield from _twice("schedule", (route.schedule.name for service in fleet for route in service.routes if route.schedule))
    yield from _twice("address setting", (service.url_setting for service in fleet))


def _routes(fleet: Sequence[Service]) -> Iterator[str]:
    for service in fleet:
        for route in service.routes:
            here = f"{service.name} {route.path}"
            if (route.door is Door.TASK) != (route.queue is not None):
                yield f"{here}: a task door has a queue, and no other door has one"
            if (route.door is Door.SCHEDULE) != (route.schedule is not None):
                yield f"{here}: a schedule door has a schedule, and no other door has one"
            if route.proof is Proof.NONE and (route.door is not Door.PUBLIC or not route.public_because):
                yield f"{here}: nobody proves anything here, and no reason is given"
            if route.proof is not Proof.NONE and route.public_because:
                yield f"{here}: it asks for a proof and says that it is public"
            if route.edge and route.door in {Door.TASK, Door.SCHEDULE}:
                yield f"{here}: the edge must not let anybody in to a task or schedule door"


def _steps(fleet: Sequence[Service]) -> Iterator[str]:
    for service in fleet:
        tasks = {route.path for route in service.routes if route.door is Door.TASK}
        for step in service.steps:
            if step.route not in tasks:
                yield f"{step.name} runs at {step.route}, which is no task door of {service.name}"
            if step.switch not in SWITCHES:
                yield f"{step.name}: there is no switch {step.switch}"
            if step.edge is Edge.WALLET and Edge.WALLET.value not in service.settings:
                yield f"{step.name} is signed with {Edge.WALLET.value}, which {service.name} may not read"
        own = {step.name for step in service.steps}
        for route in service.routes:
            if route.schedule and route.schedule.step not in own:
                yield f"{service.name} {route.path}: the schedule {route.schedule.name} starts {route.schedule.step}, which is not its own"


def _sends(fleet: Sequence[Service]) -> Iterator[str]:
    run = {step.name: (service, step) for service in fleet for step in service.steps}
    sent = {name for service in fleet for name in service.sends}
    for service in fleet:
        for name in service.sends:
            if name not in run:
                yield f"{service.name} sends {name}, which nobody runs"
            elif run[name][1].edge.value not in service.settings:
                yield f"{service.name} sends {name} and may not read {run[name][1].edge.value}"
        for route in service.routes:
            if route.schedule and route.schedule.step not in service.sends:
                yield f"{service.name} {route.path}: it starts {route.schedule.step} and does not send it"
    yield from (f"nobody sends {name}" for name in run if name not in sent)
    yield from (f"an operator sends {name}, which nobody runs" for name in powers.SENDS if name not in run)


def _moves(fleet: Sequence[Service]) -> Iterator[str]:
    legal = {(machine.name, source, target) for machine in MACHINES for source, target in machine.edges()}
    made: set[tuple[str, str, str]] = set()
    for owner, moves in [*((service.name, service.moves) for service in fleet), ("an operator", powers.MOVES + powers.RESTORE_MOVES)]:
        for move in moves:
            key = (move.machine, move.source, move.target)
            if key not in legal:
                yield f"{owner} may move {move.machine} from {move.source} to {move.target}, which the machine does not allow"
            made.add(key)
    yield from (f"nobody may move {machine} from {source} to {target}" for machine, source, target in sorted(legal - made))


def _settings(fleet: Sequence[Service]) -> Iterator[str]:
    used = {name for service in fleet for name in service.settings}
    for service in fleet:
        yield from (f"{service.name} wants {name}, which the catalogue does not know" for name in service.settings if name not in CATALOGUE)
        yield from _twice(f"{service.name}: setting", service.settings)
        if "HOST_WALLET_PRIVATE_KEY" in service.settings and service.name not in WALLET_KEY_HOLDERS:
            yield f"{service.name} may read the wallet's key"
    addresses = {service.url_setting for service in fleet}
    yield from (f"no service reads {name}" for name in CATALOGUE if name not in used | addresses)


def _modules(fleet: Sequence[Service]) -> Iterator[str]:
    for service in fleet:
        try:
            found = importlib.util.find_spec(service.app)
        except ModuleNotFoundError:
            found = None
        if found is None:
            yield f"{service.name}: there is no module {service.app}"
