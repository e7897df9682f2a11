"""The backup file: gzip around JSON lines, which any machine can read in ten years.

The first line says what it is (release, schema revision, time), then comes for each table one line
`{"table", "columns"}` and one array a row, and the last line holds the number of rows, where numbering goes on, and
the SHA-256 of all lines before it. Times are ISO in UTC, bytes are base64. It holds no secret key.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import msgspec

#: Raised when a later release writes what this one cannot read.
FORMAT = 1

_WHAT = "needlepoint backup"


class BackupError(RuntimeError):
    """A backup cannot be made or restored; the message says what to do."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is of."""

    what: str = _WHAT
    format: int = FORMAT
    #: Release of Needlepoint that wrote it.
    product: str
    #: Revision of the database's tables (`needlepoint db current`).
    revision: str
    #: Kind of the database it was taken of; it can be restored into the other one too.
    kind: str
    taken_at: datetime


class TableBegins(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that follow are of this table."""

    table: str
    columns: list[str]


class Footer(msgspec.Struct, frozen=True, kw_only=True):
    """How a backup ends: a file without it was cut off."""

    rows: dict[str, int]
    #: The last number that a table's own counting gave, which deleted rows may have had.
    last_ids: dict[str, int]
    sha256: str


class Writing:
    """Writes one backup into an open file."""

    def __init__(self, out: IO[bytes], header: Header) -> None:
        self._out = gzip.GzipFile(fileobj=out, mode="wb", compresslevel=6, mtime=0)
        self._digest = hashlib.sha256()
        self._rows: dict[str, int] = {}
        self._line(header)

    def _line(self, content: Any) -> None:
        line = msgspec.json.encode(content) + b"\n"
        self._digest.update(line)
        self._out.write(line)

    def table(self, name: str, columns: list[str], rows: Iterable[list[Any]]) -> None:
        """All rows of one table, after the tables that they refer to."""
        self._line(TableBegins(table=name, columns=columns))
        self._rows[name] = 0
        for row in rows:
            self._line(row)
            self._rows[name] += 1

    def end(self, last_ids: dict[str, int]) -> Footer:
        """Write the last line."""
        footer = Footer(rows=self._rows, last_ids=last_ids, sha256=self._digest.hexdigest())
        self._out.write(msgspec.json.encode(footer) + b"\n")
        self._out.close()
        return footer


class Reading:
    """Reads a backup from an open file, from its beginning to its end; `footer` is there when all was read.

    Every way raises :class:`BackupError` where the file is no backup, was cut off or changed.
    """

    def __init__(self, file: Path, handle: IO[bytes]) -> None:
        self._file = file
        handle.seek(0)
        self._lines = self._checked(handle)
        try:
            self.header = msgspec.json.decode(next(self._lines, b""), type=Header)
        except msgspec.DecodeError:
            raise BackupError(f"{file} is no backup of Needlepoint") from None
        if self.header.what != _WHAT:
            raise BackupError(f"{file} is no backup of Needlepoint")
        if self.header.format > FORMAT:
            raise BackupError(
                f"{file} was written by Needlepoint {self.header.product}, which this release cannot read; "
                "install that release"
            )
        self.footer: Footer | None = None

    def _checked(self, handle: IO[bytes]) -> Iterator[bytes]:
        """The lines but the last one, of which it makes the footer."""
        digest = hashlib.sha256()
        before: bytes | None = None
        try:
            with gzip.GzipFile(fileobj=handle, mode="rb") as lines:
                for line in lines:
                    if before is not None:
                        digest.update(before)
                        yield before
                    before = line
            footer = msgspec.json.decode(before or b"", type=Footer)
        except (EOFError, zlib.error, gzip.BadGzipFile, msgspec.DecodeError, UnicodeDecodeError):
            raise BackupError(f"{self._file} is damaged or was cut off; nothing was changed, use another one") from None
        if footer.sha256 != digest.hexdigest():
            raise BackupError(f"{self._file} does not match its checksum; nothing was changed, use another one")
        self.footer = footer

    def parts(self) -> Iterator[TableBegins | list[Any]]:
        """Where a table begins, and its rows."""
        for line in self._lines:
            try:
                if line.startswith(b"{"):
                    yield msgspec.json.decode(line, type=TableBegins)
                else:
                    yield msgspec.json.decode(line, type=list[Any])
            except msgspec.DecodeError:
                raise BackupError(f"{self._file} is damaged; nothing was changed, use another one") from None


def check(file: Path, handle: IO[bytes]) -> tuple[Header, Footer]:
    """Read a whole backup without doing anything with it. Raises :class:`BackupError`."""
    reading = Reading(file, handle)
    for _ in reading.parts():
        pass
    assert reading.footer is not None
    return reading.header, reading.footer
