"""One running fleet for all journeys of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.local.demo.people import Owner
from tests.support.running_fleet import Fleet, running_fleet


@pytest.fixture(scope="package")
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The fleet; a test gives it back as healthy as it got it. It ends with the last journey: twenty-five programs are not for nothing."""
    journeys = [item.nodeid for item in request.session.items if "fleet" in getattr(item, "fixturenames", ())]
    assert not getattr(request.config.option, "loadgroup", False) or all(name.endswith("@fleet") for name in journeys), "the journeys are spread over workers"
    with running_fleet(tmp_path_factory.mktemp("fleet") / "state") as found:
        yield found


@pytest.fixture(scope="package")
def shop(fleet: Fleet) -> Owner:
    """An owner whose channel is for sale."""
    return fleet.shop()
