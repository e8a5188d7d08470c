"""What the tests of the Cloud Tasks emulator share: one that runs for all of them, and a target for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import postgres
from tests.support.cloudtasks import Emulator, Target, listening, running


@pytest.fixture(scope="package")
def emulator() -> Iterator[Emulator]:
    with postgres.empty_database() as url, running(url) as emulator:
        yield emulator


@pytest.fixture
def database() -> Iterator[str]:
    with postgres.empty_database() as url:
        yield url


@pytest.fixture
def target() -> Iterator[Target]:
    with listening() as target:
        yield target
