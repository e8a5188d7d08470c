"""Runs Alembic on one connection: up, down, and where a database stands."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def up(engine: Engine, target: str = "head") -> None:
    """Bring a database up to a revision; harmless when it is there already."""
    with engine.connect() as connection:
        command.upgrade(_config(connection), target)


def down(engine: Engine, target: str) -> None:
    """Take a database down to a revision (`base`: empty)."""
    with engine.connect() as connection:
        command.downgrade(_config(connection), target)


def revisions() -> list[tuple[str, str]]:
    """Every revision with its sentence, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return [(entry.revision, entry.doc or "") for entry in reversed(list(script.walk_revisions()))]


def current(engine: Engine) -> str | None:
    """The revision a database stands at, or None when it is empty."""
    with engine.connect() as connection:
        from sqlalchemy import text  # noqa: PLC0415 - the only statement here

        if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
