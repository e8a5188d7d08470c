"""What the tests of the Telegram simulator share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.telegram_world import Hook, TelegramWorld, telegram_world, webhook


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TelegramWorld]:
    with telegram_world(tmp_path) as running:
        yield running


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as running:
        yield running
