"""How an operator's verb reaches the fleet: the settings of a local fleet or the environment's, the database, and what he sends."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from PGP_COMMON.clients.secrets import SecretsFile
from PGP_COMMON.config import environment
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.errors import BadInput, Misconfigured
from PGP_COMMON.money_machines.audit import Act
from PGP_COMMON.operators import powers
from PGP_COMMON.outbox import Outbox, message
from PGP_COMMON.settings import CATALOGUE, PARSERS

if TYPE_CHECKING:
    from PGP_COMMON.cloudtasks import BaseCloudTasksClient

# What the database's history calls an operator.
ACTOR = "pgp-operator"
# Somebody who reads the audit log in a year has nothing else; a novel does not help him either.
LONGEST_REASON = 1000

ReasonOption = Annotated[str, typer.Option("--reason", help="why, for the audit log", prompt="why")]
JsonOption = Annotated[bool, typer.Option("--json", help="for a machine")]


def settings(state: Path | None) -> dict[str, str]:
    """Every setting as the fleet knows it: the environment first, then a local fleet's files."""
    from PGP_COMMON.cli.place import state_dir

    known: dict[str, str] = {}
    try:
        from deploy.local import files

        place = state_dir(state)
        known = {**files.read_env(place.environment), **files.read_env(place.secrets)}
    except (ModuleNotFoundError, Misconfigured):
        pass
    given = {name: value for name, value in environment().items() if name in CATALOGUE and value}
    hidden = SecretsFile(given["SECRETS_FILE"]) if given.get("SECRETS_FILE") else None
    kept = {name: value for name in CATALOGUE if hidden is not None and (value := hidden.read(name))}
    return {**known, **kept, **given}


def setting(known: Mapping[str, str], name: str) -> Any:
    """A setting's value, or its default, as its kind. Raises Misconfigured without one."""
    text = known.get(name) or CATALOGUE[name].default
    if not text:
        raise Misconfigured(f"there is no {name}: start a fleet with `pgp up`, or set it")
    return PARSERS[CATALOGUE[name].kind](text)


def who() -> str:
    """The operator's name on this machine, for the audit log."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user need not have a name.
        return ACTOR


def act(reason: str) -> Act:
    """Who acts and why. Raises BadInput without a reason, or for one that cannot be kept."""
    given = reason.strip()
    if not given or len(given) > LONGEST_REASON or "\0" in given or not given.isprintable():
        raise BadInput(f"say why, in one line of at most {LONGEST_REASON} characters")
    return Act(who(), given)


def _address(known: Mapping[str, str]) -> str:
    url = known.get("DATABASE_URL", "")
    if not url:
        raise Misconfigured("there is no DATABASE_URL: start a fleet with `pgp up`, or set it")
    return url


def database(known: Mapping[str, str]) -> BaseDatabaseManager:
    """The fleet's database under the operator's name, to read and to write, but not to send. Raises Misconfigured without an address."""
    return BaseDatabaseManager(make_engine(_address(known), application=ACTOR))


def desk(known: Mapping[str, str]) -> BaseDatabaseManager:
    """The fleet's database for moves that make work necessary: it is signed here, commits with the move, and is woken after it.

    A wake-up that the queue does not take is the sweep's. Raises Misconfigured without an address, and when a key that is needed cannot be read.
    """
    sign, tasks = signer_and_queue(known)
    grace_s = setting(known, "WAKE_GRACE_S")

    def outbox() -> Outbox:
        return Outbox(sender=ACTOR, may_send=frozenset(powers.SENDS), sign=sign, grace_s=grace_s)

    return BaseDatabaseManager(make_engine(_address(known), application=ACTOR), outbox=outbox, publish=tasks.wake)


def signer_and_queue(known: Mapping[str, str]) -> tuple[Callable[[str, str], str], BaseCloudTasksClient]:
    """How an operator signs a step's message, and the queue that takes it. Raises Misconfigured for a malformed key."""
    from PGP_COMMON.cloudtasks import BaseCloudTasksClient
    from PGP_COMMON.directory import service_of
    from PGP_COMMON.tokens import BaseTokenManager

    def sign(step_name: str, subject: str) -> str:
        service, step = service_of(step_name)
        keys = BaseTokenManager(lambda: known.get(step.edge.value, ""))
        return keys.sign(service.name, f"{step_name}/{subject}", message(step_name, subject))

    def plain(name: str) -> str:
        return known.get(name) or CATALOGUE[name].default or ""

    tasks = BaseCloudTasksClient(
        project=plain("CLOUD_TASKS_PROJECT_ID"),
        location=plain("CLOUD_TASKS_LOCATION"),
        endpoint=plain("CLOUD_TASKS_ENDPOINT"),
        service_account=plain("CLOUD_TASKS_SERVICE_ACCOUNT"),
        url_of=plain,
    )
    return sign, tasks
