"""Bringing the database's tables up to this release."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

_FOLDER = Path(__file__).parent / "migrations"

#: Any number, the same in every process: who holds it migrates, the others wait.
_MIGRATION_LOCK = 7_245_331


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    return config


@cache
def newest_revision() -> str:
    """The revision this release's code expects."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def migrate(engine: Engine) -> None:
    """Upgrade to the newest revision, in one transaction; several processes may call this at once."""
    config = _config()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # A migration may take as long as it needs, and so may waiting for another process's.
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
