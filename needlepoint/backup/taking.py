"""Taking a backup while the product runs: the state of one moment, of either kind of database."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, insert, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError

from needlepoint import __version__
from needlepoint.backup import tables
from needlepoint.backup.file import BackupError, Footer, Header, Writing, check
from needlepoint.backup.models import BackupMade
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY, connect
from needlepoint.db.migrate import revision_of

#: Name of a backup that was not named: the moment in UTC.
_NAME = "needlepoint-{at:%Y%m%d-%H%M%S}.backup"
_NAMES = "needlepoint-[0-9]*-[0-9]*.backup"

#: Beginning of the name of the folder in which SQLite's copy lies meanwhile.
_SCRATCH = ".needlepoint-backup-"

#: Rows fetched at once.
_AT_ONCE = 500


class Taken(msgspec.Struct, frozen=True):
    """A backup that was written and read again. `noted`: the database knows of it, and so does the health page."""

    file: Path
    header: Header
    footer: Footer
    noted: bool
    removed: list[Path]


def take(address: str, file: Path, keep: int | None = None) -> Taken:
    """Back up the database at `address` into `file`, or under a name with the time into the folder `file`.

    With `keep` only so many of a folder's newest backups stay. Raises :class:`BackupError`.
    """
    at = now()
    folder = file if file.is_dir() else file.parent
    if keep is not None and folder != file:
        raise BackupError("--keep needs a folder, in which each backup gets a name with its time")
    target = file / _NAME.format(at=at) if folder == file else file
    if target.exists():
        raise BackupError(f"{target} exists and stays as it is; name another file")
    if not folder.is_dir():
        raise BackupError(f"the folder {folder} does not exist; make it first")
    _sweep(folder)
    partial = target.with_name(f".{target.name}.part")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            header, footer = _write(address, out, folder, at)
            out.flush()
            os.fsync(out.fileno())
        with partial.open("rb") as written:
            check(partial, written)  # what was written is what can be read
        partial.rename(target)
    except FileExistsError:
        raise BackupError(f"{partial} exists: another backup is running, or one was killed; then delete it") from None
    except BackupError:
        partial.unlink(missing_ok=True)
        raise
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise BackupError(f"{target} could not be written ({error}); is there room on the disk?") from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    noted = _note(address, target, header, footer)
    removed = sorted(folder.glob(_NAMES))[:-keep] if keep else []
    for old in removed:
        old.unlink(missing_ok=True)
    return Taken(target, header, footer, noted, removed)


def _sweep(folder: Path) -> None:
    """Delete what a backup that was killed left behind: a copy of the database is nothing to leave lying about."""
    long_ago = time.time() - timedelta(days=1).total_seconds()
    for left in [*folder.glob(f"{_SCRATCH}*"), *folder.glob(".*.part")]:
        with suppress(OSError):
            if left.stat().st_mtime < long_ago:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _write(address: str, out: Any, folder: Path, at: datetime) -> tuple[Header, Footer]:
    with _at_one_moment(address, folder) as connection:
        there = tables.found(connection)
        if tables.REVISION_TABLE not in there:
            raise BackupError("the database holds nothing of Needlepoint; check NEEDLEPOINT_DATABASE_URL")
        revision = revision_of(connection)
        kind = make_url(address).get_backend_name()
        header = Header(product=__version__, revision=revision or "", kind=kind, taken_at=at)
        reflected = tables.reflect(connection)
        writing = Writing(out, header)
        for table in reflected:
            columns = [str(column.name) for column in tables.stored_columns(table)]
            writing.table(str(table.name), columns, _rows(connection, table))
        return header, writing.end(tables.last_ids(connection, reflected))


def _rows(connection: Connection, table: Table) -> Iterator[list[Any]]:
    columns = tables.stored_columns(table)
    plain = [tables.to_plain(column.type) for column in columns]
    ordered = select(*columns).order_by(*table.primary_key.columns)
    for row in connection.execution_options(yield_per=_AT_ONCE).execute(ordered):
        yield [written(value) for written, value in zip(plain, row, strict=True)]


@contextmanager
def _at_one_moment(address: str, folder: Path) -> Iterator[Connection]:
    """A connection that sees the database as it was at one moment, and holds nobody up."""
    url = make_url(address)
    if url.get_backend_name() == "postgresql":
        engine = connect(address)
        try:
            with engine.connect() as connection:
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                yield connection
        finally:
            engine.dispose()
        return
    if not url.database or not Path(url.database).is_file():
        raise BackupError(f"there is no database at {url.database}; check NEEDLEPOINT_DATABASE_URL")
    # A copy by SQLite's own backup, and not a long reading: the write-ahead log would grow for as long as that takes.
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as scratch:
        copy = Path(scratch) / "copy.db"
        with closing(sqlite3.connect(url.database, timeout=30)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        engine = connect(f"sqlite:///{copy}")
        try:
            with engine.execution_options(**READS_ONLY).connect() as connection:
                yield connection
        finally:
            engine.dispose()


def _note(address: str, file: Path, header: Header, footer: Footer) -> bool:
    """Write down in the database that there is a backup; a database of an earlier release has no place for it."""
    engine = connect(address)
    note = insert(BackupMade).values(
        at=header.taken_at, file=file.name, bytes=file.stat().st_size, sha256=footer.sha256
    )
    with suppress(SQLAlchemyError):
        with engine.begin() as connection:
            connection.execute(note)
        engine.dispose()
        return True
    engine.dispose()
    return False
