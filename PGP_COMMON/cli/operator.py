"""How an operator's verb reaches the fleet's database: the settings of a local fleet, or the environment's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PGP_COMMON.config import environment
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from PGP_COMMON.errors import Misconfigured
from PGP_COMMON.settings import CATALOGUE

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
    return {**known, **given}


def database(known: Mapping[str, str]) -> BaseDatabaseManager:
    """The fleet's database under the operator's name. Raises Misconfigured without an address."""
    url = known.get("DATABASE_URL", "")
    if not url:
        raise Misconfigured("there is no DATABASE_URL: start a fleet with `pgp up`, or set it")
    return BaseDatabaseManager(make_engine(url, application=ACTOR))
