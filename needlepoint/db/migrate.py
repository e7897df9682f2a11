"""Bringing the database's tables up to this release, and back to what an earlier one can use."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

_FOLDER = Path(__file__).parent / "migrations"

#: Any number, the same in every process: who holds it migrates, the others wait.
_MIGRATION_LOCK = 7_245_331


class MigrationError(ValueError):
    """The database cannot be brought where it was asked to; the message says what to do."""


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


@cache
def known_revisions() -> dict[str, str]:
    """Every revision this release knows, the oldest first, with what it brought."""
    scripts = list(ScriptDirectory.from_config(_config()).walk_revisions())
    return {script.revision: script.doc for script in reversed(scripts)}


def revision_of(connection: Connection) -> str | None:
    """The revision of the tables that are there; None where there are none."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(engine: Engine) -> None:
    """Upgrade to the newest revision, in one transaction; several processes may call this at once.

    Raises :class:`MigrationError` for the database of a newer release.
    """
    with engine.begin() as connection:
        only_one_migrates(connection)
        upgrade_on(connection)


def only_one_migrates(connection: Connection) -> None:
    """Wait until nobody else migrates, and let this transaction take as long as it needs."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))


def upgrade_on(connection: Connection, revision: str = "head") -> None:
    """Upgrade within the transaction of `connection`. Raises :class:`MigrationError`."""
    _check_known(revision_of(connection))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the tables back to an earlier revision, in one transaction; what only later ones hold is gone.

    Raises :class:`MigrationError`.
    """
    order = list(known_revisions())
    if revision not in order:
        raise MigrationError(f"`{revision}` is no revision; there are {', '.join(order)}")
    with engine.begin() as connection:
        only_one_migrates(connection)
        current = revision_of(connection)
        _check_known(current)
        if current is None or order.index(revision) >= order.index(current):
            raise MigrationError(f"the database is at {current or 'no revision'}; name an earlier one")
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def _check_known(current: str | None) -> None:
    if current is not None and current not in known_revisions():
        raise MigrationError(
            f"the database is at revision {current}, of a newer release than this one; start that release, or let it "
            f"take the database back first: `needlepoint db downgrade {newest_revision()}` (docs/operations.md)"
        )
