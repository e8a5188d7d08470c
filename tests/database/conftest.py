"""What the tests of the bot, the invites, the notices, the posts and the owners' API share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.town import Outside, Town, outside


@pytest.fixture(scope="session")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Telegram, NOWPayments and SendGrid, once a run."""
    with outside(tmp_path_factory.mktemp("outside")) as running:
        yield running


@pytest.fixture
def town(database_url: str, vendors: Outside) -> Iterator[Town]:
    """Five services over a fresh database, among vendors who know nothing yet."""
    vendors.reset()
    made = Town(database_url, vendors)
    yield made
    made.close()
