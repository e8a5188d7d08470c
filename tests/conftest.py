"""What every test may ask for: a database of its own, and services that run in this process."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from migrations import run
from PGP_COMMON import failpoints
from PGP_COMMON.database import BaseDatabaseManager, make_engine
from tests.support import postgres
from tests.support.settings import environ

# What is true is true on a busy machine too: no example has a deadline.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")
# eth_account raises the limit so far that deeply nested JSON overflows the C stack instead of raising RecursionError.
RECURSION = 1000
CONTRACTS = Path(__file__).parent / "contract"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Long tests run when they are asked for."""
    parser.addoption("--long", action="store_true", help="also what takes minutes")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave long tests out, and keep together what shares running programs: the journeys their fleet, each vendor's tests its simulator and the chain.

    A worker plays such a group in one go, and the programs end with it: they would use a third of the machine for nothing until the end of the run.
    """
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="long: run with --long"))
        if "fleet" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("fleet"))
        elif item.path.is_relative_to(CONTRACTS):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(CONTRACTS).parts[0]))


def migrate(url: str) -> None:
    """Bring an empty database to head."""
    engine = make_engine(url, application="tests")
    run.up(engine)
    engine.dispose()


@pytest.fixture
def database_url() -> Iterator[str]:
    """A fresh database at head."""
    with postgres.fresh_database(migrate) as url:
        yield url


@pytest.fixture
def db(database_url: str) -> Iterator[BaseDatabaseManager]:
    """The same, connected under the tests' name."""
    engine = make_engine(database_url, application="tests", pool=5)
    yield BaseDatabaseManager(engine)
    engine.dispose()


@pytest.fixture
def settings(database_url: str) -> dict[str, str]:
    """Every setting of the fleet, over the fresh database; no vendor answers."""
    return environ(database_url)


@pytest.fixture(autouse=True)
def _usual_recursion_limit() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(min(before, RECURSION))


@pytest.fixture(autouse=True)
def _no_failpoint_stays_armed() -> Iterator[None]:
    yield
    failpoints.disarm()


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Randomness whose seed is printed when the test fails."""
    seed = random.randrange(2**32)
    request.node.user_properties.append(("seed", seed))
    return random.Random(seed)


def pytest_sessionfinish() -> None:
    """Let go of the run's PostgreSQL."""
    postgres.release()
