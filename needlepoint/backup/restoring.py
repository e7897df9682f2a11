"""Restoring a backup: all of it or nothing, at the release's own revision, and without what people had erased since."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import msgspec
from sqlalchemy import Connection, Table, delete, insert, make_url, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from needlepoint.backup import tables
from needlepoint.backup.file import BackupError, Header, Reading, TableBegins, check
from needlepoint.conversations.models import Conversation, Delivery, ErasedConversation
from needlepoint.db.connect import connect
from needlepoint.db.migrate import known_revisions, only_one_migrates, upgrade_on

#: Rows written at once.
_AT_ONCE = 500


class Restored(msgspec.Struct, frozen=True):
    """What came back. `erased_again`: conversations that the backup held and people had erased since."""

    header: Header
    rows: int
    erased_again: int


def restore(address: str, file: Path, replace: bool = False) -> Restored:
    """Bring the database at `address` to the state of a backup; only an empty one, unless `replace`.

    The file is read to its end and checked before anything is touched, and all changes are one transaction. Raises
    :class:`BackupError`; the database is then as it was.
    """
    try:
        handle = file.open("rb")
    except OSError as error:
        raise BackupError(f"{file} cannot be read ({error.strerror}); name a backup") from None
    with handle:
        header, _ = check(file, handle)
        if header.revision not in known_revisions():
            raise BackupError(
                f"{file} is of Needlepoint {header.product}, whose database (revision {header.revision}) this release "
                "does not know; install that release or a newer one"
            )
        _alone(address)
        engine = connect(address)
        try:
            with engine.begin() as connection:
                only_one_migrates(connection)
                erased = _make_room(connection, replace)
                rows = _load(connection, file, handle, header)
                upgrade_on(connection)
                again = _erase_again(connection, erased)
                # What was on its way then has probably arrived since: if it is sent once more, it says so.
                connection.execute(update(Delivery).where(Delivery.state == "waiting").values(again=True))
            if engine.dialect.name == "sqlite":
                with engine.execution_options(no_transaction=True).connect() as connection:
                    connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        except SQLAlchemyError as error:
            problem = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise BackupError(f"the database refused ({problem}); it is as it was before") from None
        finally:
            engine.dispose()
    return Restored(header, rows, again)


def _alone(address: str) -> None:
    """Refuse while the product, or anybody, has this database open: what they hold in memory would no longer hold."""
    url = make_url(address)
    if url.get_backend_name() == "postgresql":
        engine = connect(address)
        others = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        with engine.connect() as connection:
            count = connection.scalar(others)
        engine.dispose()
        if count:
            raise BackupError(f"{count} others are connected to the database; stop Needlepoint everywhere first")
        return
    if not url.database or not Path(url.database).exists():
        return
    with closing(sqlite3.connect(url.database, timeout=1, isolation_level=None)) as connection:
        try:
            # Who has it open holds a lock that leaving the write-ahead log does not get past.
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            raise BackupError(f"{url.database} is in use; stop Needlepoint first") from None
        except sqlite3.DatabaseError as error:
            raise BackupError(f"{url.database} is damaged ({error}); move it away, then restore") from None


def _make_room(connection: Connection, replace: bool) -> dict[str, Any]:
    """Remove the tables there are, and return which conversations they knew to be erased."""
    there = tables.found(connection)
    if there and tables.REVISION_TABLE not in there:
        raise BackupError("the database holds tables that are not Needlepoint's; give it one of its own")
    reflected = tables.reflect(connection)
    if not replace and (full := next((it.name for it in reflected if _has_rows(connection, it)), None)):
        raise BackupError(
            f"the database is not empty (`{full}` has rows); --replace puts the backup in its place, "
            "and what is there is gone"
        )
    erased: dict[str, Any] = {}
    if ErasedConversation.__tablename__ in there:
        known = select(ErasedConversation.id_hash, ErasedConversation.erased_at)
        erased = {row.id_hash: row.erased_at for row in connection.execute(known)}
    for name in tables.indexes_of_words(connection):
        connection.execute(text(f'DROP TABLE "{name}"'))
    cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
    for name in [*(table.name for table in reversed(reflected)), *(there & {tables.REVISION_TABLE})]:
        connection.execute(text(f'DROP TABLE "{name}"{cascade}'))
    if cascade:
        own = text(
            "SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace AND NOT "
            "EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
        )
        for function in connection.scalars(own).all():
            connection.execute(text(f"DROP FUNCTION {function}"))
    return erased


def _has_rows(connection: Connection, table: Table) -> bool:
    return connection.execute(select(text("1")).select_from(table).limit(1)).first() is not None


def _load(connection: Connection, file: Path, handle: IO[bytes], header: Header) -> int:
    """The tables of the backup's revision, with its rows."""
    upgrade_on(connection, header.revision)
    reflected = tables.reflect(connection)
    for table in reversed(reflected):  # migrations write rows too
        connection.execute(delete(table))
    by_name = {table.name: table for table in reflected}
    reading = Reading(file, handle)
    for table, rows in _batches(reading, by_name, file):
        connection.execute(insert(table), rows)
    assert reading.footer is not None
    for name, number in reading.footer.rows.items():
        if connection.scalar(text(f'SELECT count(*) FROM "{name}"')) != number:  # noqa: S608 - a table's name
            raise BackupError(f"`{name}` did not get all its rows; nothing was changed")
    tables.go_on_counting(connection, reflected, reading.footer.last_ids)
    return sum(reading.footer.rows.values())


def _batches(reading: Reading, by_name: dict[str, Table], file: Path) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    table: Table | None = None
    names: list[str] = []
    values: list[Any] = []
    batch: list[dict[str, Any]] = []
    for part in reading.parts():
        if isinstance(part, TableBegins):
            if table is not None and batch:
                yield table, batch
            table, batch, names = by_name.get(part.table), [], part.columns
            if table is None or set(names) - {column.name for column in tables.stored_columns(table)}:
                raise BackupError(f"{file} holds `{part.table}`, which its revision does not know; nothing was changed")
            values = [tables.from_plain(table.columns[name].type) for name in names]
            continue
        if table is None or len(part) != len(names):
            raise BackupError(f"{file} is damaged; nothing was changed, use another one")
        batch.append({name: read(it) for name, read, it in zip(names, values, part, strict=True)})
        if len(batch) == _AT_ONCE:
            yield table, batch
            batch = []
    if table is not None and batch:
        yield table, batch


def _erase_again(connection: Connection, erased: dict[str, Any]) -> int:
    """Erase what had been erased by the time of the restore, and go on remembering that."""
    known = set(connection.scalars(select(ErasedConversation.id_hash)))
    new = [{"id_hash": one, "erased_at": at} for one, at in erased.items() if one not in known]
    if new:
        connection.execute(insert(ErasedConversation), new)
    gone = [
        one
        for one in connection.scalars(select(Conversation.id)).all()
        if hashlib.sha256(one.encode()).hexdigest() in erased
    ]
    for one in gone:
        connection.execute(delete(Conversation).where(Conversation.id == one))
    if gone and connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO said_words (said_words) VALUES ('optimize')"))
    return len(gone)
