"""Alembic's way in: migrates on the connection that :mod:`needlepoint.db.migrate` gives."""

from alembic import context

from needlepoint.db.base import UTCTime
from needlepoint.db.tables import Base


def render(kind: str, item: object, _context: object) -> str | bool:
    """Migrations must not import today's code: our time type is written as what it is in the database."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UTCTime) else False


connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, render_item=render)
with context.begin_transaction():
    context.run_migrations()
