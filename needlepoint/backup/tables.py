"""The tables of a database as they really are, at whatever revision, and their values as plain data and back."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import JSON, Column, Connection, Date, DateTime, LargeBinary, MetaData, Table, event, inspect, text
from sqlalchemy.types import TypeEngine

#: Alembic's own table: which revision the others have.
REVISION_TABLE = "alembic_version"


def found(connection: Connection) -> set[str]:
    """The names of all tables there are, but for SQLite's indexes of words."""
    names = set(inspect(connection).get_table_names())
    derived = indexes_of_words(connection)
    return {name for name in names if not any(name == one or name.startswith(f"{one}_") for one in derived)}


def indexes_of_words(connection: Connection) -> list[str]:
    """SQLite's full-text tables, which triggers fill."""
    if connection.dialect.name != "sqlite":
        return []
    virtual = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%'"
    return list(connection.scalars(text(virtual)))


def reflect(connection: Connection) -> list[Table]:
    """All tables with rows of ours, each after those that it refers to."""
    metadata = MetaData()

    @event.listens_for(metadata, "column_reflect")
    def _same_on_both(_inspector: object, _table: object, column: dict[str, Any]) -> None:
        if isinstance(column["type"], JSON):  # nothing is stored as NULL, never as JSON's null
            column["type"] = JSON(none_as_null=True)

    metadata.reflect(connection, only=sorted(found(connection) - {REVISION_TABLE}), resolve_fks=False)
    return metadata.sorted_tables


def stored_columns(table: Table) -> list[Column[Any]]:
    """The columns that hold something of their own; others the database works out itself."""
    return [column for column in table.columns if column.computed is None]


def to_plain(kind: TypeEngine[Any]) -> Callable[[Any], Any]:
    """How a value of this column is written."""
    if isinstance(kind, DateTime):
        return lambda it: None if it is None else (it if it.tzinfo else it.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(kind, LargeBinary):
        return lambda it: None if it is None else base64.b64encode(it).decode()
    return lambda it: it


def from_plain(kind: TypeEngine[Any]) -> Callable[[Any], Any]:
    """How what was written becomes a value of this column."""
    if isinstance(kind, DateTime):
        return lambda it: None if it is None else datetime.fromisoformat(it)
    if isinstance(kind, Date):
        return lambda it: None if it is None else date.fromisoformat(it)
    if isinstance(kind, LargeBinary):
        return lambda it: None if it is None else base64.b64decode(it)
    return lambda it: it


def last_ids(connection: Connection, tables: list[Table]) -> dict[str, int]:
    """The last number that each table's own counting gave, where it is remembered."""
    if connection.dialect.name == "sqlite":
        if not connection.scalar(text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")):
            return {}
        remembered = connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
        return {row.name: row.seq for row in remembered}
    given = {}
    for table in tables:
        if (sequence := _sequence(connection, table)) is not None:
            last, called = connection.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608
            if called:
                given[table.name] = last
    return given


def go_on_counting(connection: Connection, tables: list[Table], last: dict[str, int]) -> None:
    """Let each table's counting go on behind what it gave before, and behind its highest row."""
    for table in tables:
        key = _number(table)
        if key is None:
            continue
        if connection.dialect.name == "sqlite":
            if table.name in last:
                connection.execute(
                    text("UPDATE sqlite_sequence SET seq = max(seq, :last) WHERE name = :name"),
                    {"last": last[table.name], "name": table.name},
                )
                connection.execute(
                    text(
                        "INSERT INTO sqlite_sequence (name, seq) SELECT :name, :last "
                        "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = :name) "
                        "AND EXISTS (SELECT 1 FROM sqlite_master WHERE name = :name AND sql LIKE '%AUTOINCREMENT%')"
                    ),
                    {"last": last[table.name], "name": table.name},
                )
        elif (sequence := _sequence(connection, table)) is not None:
            highest = connection.scalar(text(f"SELECT max({key.name}) FROM {table.name}")) or 0  # noqa: S608
            if (number := max(highest, last.get(table.name, 0))) > 0:
                connection.execute(text("SELECT setval(:sequence, :number)"), {"sequence": sequence, "number": number})


def _number(table: Table) -> Column[Any] | None:
    """The one column by which the database numbers the rows."""
    keys = list(table.primary_key.columns)
    return keys[0] if len(keys) == 1 and keys[0].type.python_type is int else None


def _sequence(connection: Connection, table: Table) -> str | None:
    key = _number(table)
    if key is None:
        return None
    asked = text("SELECT pg_get_serial_sequence(:table, :column)")
    found: str | None = connection.scalar(asked, {"table": table.name, "column": key.name})
    return found
