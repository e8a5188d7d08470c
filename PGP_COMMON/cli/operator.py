"""How an operator's verb reaches the fleet's database: the settings of a local fleet, or the environment's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from PGP_COMMON.clients.secrets import SecretsFile
from PGP_COMMON.config import environment
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.settings import CATALOGUE

if TYPE_CHECKING:
    from PGP_COMMON.cloudtasks import BaseCloudTasksClient

# What the database's history calls an operator.
ACTOR = "pgp-operator"


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


def database(known: Mapping[str, str]) -> BaseDatabaseManager:
    """The fleet's database under the operator's name. Raises Misconfigured without an address."""
    url = known.get("DATABASE_URL", "")
    if not url:
        raise Misconfigured("there is no DATABASE_URL: start a fleet with `pgp up`, or set it")
    return BaseDatabaseManager(make_engine(url, application=ACTOR))


def working_database(known: Mapping[str, str], *, at_once: bool = False) -> BaseDatabaseManager:
    """The same, for verbs that ask for work: it is signed here and commits with the change.

    The sweep wakes it within a minute or two, or `at_once` the queue, if it answers.
    """
    from PGP_COMMON.directory import steps
    from PGP_COMMON.outbox import Outbox

    sign, tasks = signer_and_queue(known)
    grace_s = int(known.get("WAKE_GRACE_S") or CATALOGUE["WAKE_GRACE_S"].default or 60)

    def outbox() -> Outbox:
        return Outbox(sender=ACTOR, may_send=frozenset(steps()), sign=sign, grace_s=grace_s)

    return BaseDatabaseManager(database(known).engine, outbox=outbox, publish=tasks.wake if at_once else None)


def signer_and_queue(known: Mapping[str, str]) -> tuple[Callable[[str, str], str], BaseCloudTasksClient]:
    """How an operator signs a step's message, and the queue that takes it. Raises Misconfigured for a malformed key."""
    from PGP_COMMON.cloudtasks import BaseCloudTasksClient
    from PGP_COMMON.directory import service_of
    from PGP_COMMON.outbox import message
    from PGP_COMMON.tokens import BaseTokenManager

    def sign(step_name: str, subject: str) -> str:
        service, step = service_of(step_name)
        keys = BaseTokenManager(lambda: known.get(step.edge.value, ""))
        return keys.sign(service.name, f"{step_name}/{subject}", message(step_name, subject))

    def setting(name: str) -> str:
        return known.get(name) or CATALOGUE[name].default or ""

    tasks = BaseCloudTasksClient(
        project=setting("CLOUD_TASKS_PROJECT_ID"),
        location=setting("CLOUD_TASKS_LOCATION"),
        endpoint=setting("CLOUD_TASKS_ENDPOINT"),
        service_account=setting("CLOUD_TASKS_SERVICE_ACCOUNT"),
        url_of=setting,
    )
    return sign, tasks
