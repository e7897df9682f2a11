"""Connections to the one database, SQLite or PostgreSQL, with time limits so that nobody waits on it for long."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from needlepoint.settings import SettingsError

#: Seconds a statement may wait for a lock or a connection for an answer.
PATIENCE = 2.0


def _url(address: str, *, asynchronous: bool) -> URL:
    try:
        url = make_url(address)
    except Exception:
        raise SettingsError(
            "NEEDLEPOINT_DATABASE_URL is no database address; write sqlite:///file.db or postgresql://user@host/name"
        ) from None
    match url.get_backend_name():
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite" if asynchronous else "sqlite+pysqlite")
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise SettingsError(f"NEEDLEPOINT_DATABASE_URL names `{other}`; only sqlite and postgresql are supported")


def _options(url: URL) -> dict[str, Any]:
    # An error message must not carry what a patient wrote into a log.
    common: dict[str, Any] = {
        "hide_parameters": True,
        "pool_size": 10,
        "max_overflow": 10,
        "pool_timeout": PATIENCE,
    }
    if url.get_backend_name() == "sqlite":
        return common | {"connect_args": {"timeout": PATIENCE}}
    limit = int(PATIENCE * 1000)
    return common | {
        "connect_args": {
            "connect_timeout": int(PATIENCE),
            # Without these a connection whose other end vanished would hang for minutes.
            "tcp_user_timeout": int(PATIENCE * 2000),
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "options": f"-c lock_timeout={limit} -c statement_timeout={limit * 5} -c timezone=UTC",
        },
        "pool_pre_ping": True,
    }


def connect(address: str) -> Engine:
    """An engine for commands and migrations, which have no event loop to block."""
    url = _url(address, asynchronous=False)
    engine = create_engine(url, **_options(url))
    _prepare(engine, url)
    return engine


def connect_async(address: str) -> AsyncEngine:
    """An engine for the app."""
    url = _url(address, asynchronous=True)
    engine = create_async_engine(url, **_options(url))
    _prepare(engine.sync_engine, url)
    return engine


def _prepare(engine: Engine, url: URL) -> None:
    """Make SQLite behave: foreign keys, one writer at a time decided at BEGIN, readers that do not block it."""
    if url.get_backend_name() != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _record: object) -> None:
        # The driver's own BEGIN comes late, and a transaction that reads first and writes later then fails
        # with "database is locked" however long it would have waited.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("foreign_keys=ON", "journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("no_transaction"):
            connection.exec_driver_sql("BEGIN" if options.get("reads_only") else "BEGIN IMMEDIATE")


#: Give this to `execution_options` of a connection that only reads: on SQLite it then does not wait for writers.
READS_ONLY = {"reads_only": True}


async def forget_deleted(engine: AsyncEngine) -> None:
    """Empty SQLite's write-ahead log, in which deleted rows would stand on; does nothing for other databases."""
    if engine.dialect.name == "sqlite":
        async with engine.execution_options(no_transaction=True).connect() as connection:
            await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
