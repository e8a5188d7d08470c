"""One running fleet for all journeys of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.demo.people import Owner
from tests.support.running_fleet import Fleet, running_fleet


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The fleet; a test gives it back as healthy as it got it."""
    with running_fleet(tmp_path_factory.mktemp("fleet") / "state") as found:
        yield found


@pytest.fixture(scope="session")
def shop(fleet: Fleet) -> Owner:
    """An owner whose channel is for sale."""
    return fleet.shop()
