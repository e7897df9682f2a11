"""The list of conversations: what it can be filtered by, full-text search, and one page of it after another."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, exists, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint.conversations import search
from needlepoint.conversations.models import Attention, Conversation
from needlepoint.conversations.review_models import ConversationFact
from needlepoint.conversations.search import Piece
from needlepoint.db.base import UTCTime
from needlepoint.db.connect import READS_ONLY

#: Conversations a page.
PAGE_SIZE = 50

#: Lines with the words that are looked for that are read at a time.
PORTION = 500

#: The latest lines that are read one by one before the index of words is asked (PostgreSQL).
LATEST_LINES = 20_000

#: What a conversation can be filtered by in words that occurred in it, and their kind in `conversation_fact`.
FACTS = ("intent", "entity", "entry")


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody looks for; an empty field does not matter. Days are the clinic's, and include both ends."""

    q: str = ""
    side: str = ""
    first: str = ""
    last: str = ""
    channel: str = ""
    language: str = ""
    outcome: str = ""
    urgency: str = ""
    feedback: str = ""
    review: str = ""
    reviewer: str = ""
    intent: str = ""
    entity: str = ""
    entry: str = ""
    version: str = ""
    turns: str = ""
    below: str = ""

    @property
    def words(self) -> list[str]:
        """The words that are looked for."""
        return search.words_in(self.q)

    def address(self, **more: str) -> str:
        """The address of the list with these filters."""
        given = {name: value for name, value in {**msgspec.structs.asdict(self), **more}.items() if value}
        return "/staff" + (f"?{urlencode(given)}" if given else "")


class Listed(msgspec.Struct, frozen=True):
    """A line of the list. `about` is the answers that were given, or else what was understood; `flags` is what wants
    attention; `hit` is what was found, in pieces."""

    id: str
    started_at: datetime
    last_at: datetime
    channel: str
    language: str
    turns: int
    outcome: str
    urgency: str
    lowest_confidence: float | None
    feedback: str | None
    review_state: str
    reviewer: str | None
    taken_by: str | None
    about: list[str]
    flags: list[str]
    hit: tuple[str, list[Piece]] | None


class Page(msgspec.Struct, frozen=True):
    """One page, and the cursor from which the next one goes on; None on the last."""

    lines: list[Listed]
    next: str | None


async def page(engine: AsyncEngine, zone: ZoneInfo, filters: Filters, after: str = "") -> Page:
    """The page behind the cursor `after`: the latest first, or with words to look for, who said them last first.

    A cursor that was not made here begins at the start.
    """
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        if filters.words:
            rows, cursor = await _found(connection, filters, zone, after), _said_cursor
        else:
            query = _listed(filters, zone, after).limit(PAGE_SIZE + 1)
            rows, cursor = (await connection.execute(query)).all(), _time_cursor
        shown = rows[:PAGE_SIZE]
        flags = await _flags(connection, [row.id for row in shown])
        about = await _about(connection, [row.id for row in shown])
    lines = [_line(row, zone, about.get(row.id, []), flags.get(row.id, []), filters.words) for row in shown]
    return Page(lines, cursor(shown[-1]) if len(rows) > PAGE_SIZE else None)


_COLUMNS = (
    Conversation.id,
    Conversation.created_at,
    Conversation.last_at,
    Conversation.channel,
    Conversation.language,
    Conversation.turns,
    Conversation.outcome,
    Conversation.urgency,
    Conversation.lowest_confidence,
    Conversation.feedback,
    Conversation.review_state,
    Conversation.reviewer,
    Conversation.taken_by,
)


def _listed(filters: Filters, zone: ZoneInfo, after: str) -> Select[*tuple[Any, ...]]:
    query: Select[*tuple[Any, ...]] = select(*_COLUMNS).where(*_conditions(filters, zone))
    if cursor := _read_cursor(after):
        moment, _, conversation = cursor.partition(" ")
        try:
            at = datetime.fromisoformat(moment)
        except ValueError:
            at = None
        if at is not None and at.tzinfo is not None:
            before = tuple_(literal(at, UTCTime), literal(conversation))
            query = query.where(tuple_(Conversation.last_at, Conversation.id) < before)
    return query.order_by(Conversation.last_at.desc(), Conversation.id.desc())


async def _found(connection: AsyncConnection, filters: Filters, zone: ZoneInfo, after: str) -> Sequence[Any]:
    """The conversations of a page and one more, each with its latest line that has the words.

    Lines are read in portions, latest first: most conversations have more than one that fits. That a conversation stood
    on an earlier page is seen by its later lines.
    """
    cursor = _read_cursor(after)
    start = int(cursor) if cursor.isdecimal() and len(cursor) < 18 else None
    found: dict[str, Any] = {}
    before: set[str] = set()
    for lowest, highest, in_order in await _spans(connection, start):
        below = highest
        while len(found) <= PAGE_SIZE:
            query = _searched(filters, zone, connection.dialect.name, lowest, below, in_order).limit(PORTION)
            rows = (await connection.execute(query)).all()
            new = [row for row in rows if row.id not in found and row.id not in before]
            if start is not None and new:
                before |= await _with_later_lines(connection, filters, {row.id for row in new}, start)
            for row in new:
                if row.id not in before:
                    found.setdefault(row.id, row)
            if len(rows) < PORTION:
                break
            below = rows[-1].said_id
    return list(found.values())[: PAGE_SIZE + 1]


async def _spans(connection: AsyncConnection, start: int | None) -> list[tuple[int, int, bool]]:
    """The spans of lines to read one after the other, as (from, below, in their order)."""
    if start is None:
        start = (await connection.scalar(select(func.max(search.SAID.c.id))) or 0) + 1
    if connection.dialect.name == "sqlite":
        return [(0, start, True)]
    # What the index finds for the beginnings of words has to fit, or every page of the table is read again.
    await connection.execute(text("SET LOCAL work_mem = '64MB'"))
    middle = max(0, start - LATEST_LINES)
    return [(middle, start, True), (0, middle, False)]


async def _with_later_lines(
    connection: AsyncConnection, filters: Filters, conversations: set[str], start: int
) -> set[str]:
    """Those of the conversations with a line from `start` on that has the words."""
    said = search.SAID
    query = select(said.c.conversation_id, said.c.text).where(
        said.c.conversation_id.in_(conversations), said.c.id >= start
    )
    if filters.side:
        query = query.where(said.c.side == filters.side)
    rows = await connection.execute(query)
    return {row.conversation_id for row in rows if search.has_words(row.text, filters.words)}


def _searched(
    filters: Filters, zone: ZoneInfo, dialect: str, lowest: int, below: int, in_order: bool
) -> Select[*tuple[Any, ...]]:
    said = search.SAID
    found = search.lines_with(filters.words, dialect, filters.side or None, in_order=in_order)
    found = found.join(Conversation, Conversation.id == said.c.conversation_id)
    found = found.where(said.c.id >= lowest, said.c.id < below, *_conditions(filters, zone))
    return found.with_only_columns(
        *_COLUMNS,
        said.c.id.label("said_id"),
        said.c.side.label("said_side"),
        said.c.text.label("said_text"),
        maintain_column_froms=True,
    )


def _conditions(filters: Filters, zone: ZoneInfo) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, wanted in (
        (Conversation.channel, filters.channel),
        (Conversation.language, filters.language),
        (Conversation.outcome, filters.outcome),
        (Conversation.urgency, filters.urgency),
        (Conversation.feedback, filters.feedback),
        (Conversation.review_state, filters.review),
        (Conversation.reviewer, filters.reviewer),
    ):
        if wanted:
            found.append(column == wanted)
    if (first := _day(filters.first)) is not None:
        found.append(Conversation.last_at >= datetime.combine(first, time.min, zone))
    if (last := _day(filters.last)) is not None:
        found.append(Conversation.last_at < datetime.combine(last + timedelta(days=1), time.min, zone))
    facts = [(kind, getattr(filters, kind)) for kind in FACTS]
    if filters.entry and filters.version.isdecimal():
        facts = [(kind, value) for kind, value in facts if kind != "entry"]
        facts.append(("version", f"{filters.entry} {int(filters.version)}"))
    for kind, value in facts:
        if value:
            found.append(
                exists().where(
                    ConversationFact.kind == kind,
                    ConversationFact.value == value,
                    ConversationFact.conversation_id == Conversation.id,
                )
            )
    if filters.turns.isdecimal() and len(filters.turns) < 9:
        found.append(Conversation.turns >= int(filters.turns))
    if filters.below.isdecimal() and len(filters.below) < 4:
        found.append(Conversation.lowest_confidence < int(filters.below) / 100)
    return found


def given_versions(connection: Connection, entry: str, versions: Sequence[int]) -> dict[int, int]:
    """In how many conversations each of these versions of an entry was given: as many as the list shows for it."""
    by_value = {f"{entry} {version}": version for version in versions}
    query = (
        select(ConversationFact.value, func.count())
        .where(ConversationFact.kind == "version", ConversationFact.value.in_(by_value))
        .group_by(ConversationFact.value)
    )
    return {by_value[value]: count for value, count in connection.execute(query)}


def _day(written: str) -> date | None:
    """A day as browsers write it; what is no day filters nothing."""
    try:
        day = date.fromisoformat(written) if written else None
    except ValueError:
        return None
    return day if day and date(2000, 1, 1) <= day <= date(9000, 1, 1) else None


def _time_cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.last_at.isoformat()} {row.id}".encode()).decode()


def _said_cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(str(row.said_id).encode()).decode()


def _read_cursor(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except ValueError:
        return ""


async def _flags(connection: AsyncConnection, conversations: list[str]) -> dict[str, list[str]]:
    """What nobody has acknowledged yet, by conversation."""
    flags: dict[str, list[str]] = {}
    for conversation, reason in await connection.execute(
        select(Attention.conversation_id, Attention.reason)
        .where(Attention.conversation_id.in_(conversations), Attention.acknowledged_at.is_(None))
        .order_by(Attention.id)
    ):
        of_this = flags.setdefault(conversation or "", [])
        if reason not in of_this:
            of_this.append(reason)
    return flags


async def _about(connection: AsyncConnection, conversations: list[str]) -> dict[str, list[str]]:
    """The answers given, or else the topics understood, by conversation: no word of a patient's."""
    facts: dict[str, dict[str, list[str]]] = {}
    query = select(ConversationFact.conversation_id, ConversationFact.kind, ConversationFact.value).where(
        ConversationFact.conversation_id.in_(conversations), ConversationFact.kind.in_(("entry", "intent"))
    )
    for conversation, kind, value in await connection.execute(query.order_by(ConversationFact.value)):
        facts.setdefault(conversation, {}).setdefault(kind, []).append(value)
    return {conversation: of.get("entry") or of["intent"] for conversation, of in facts.items()}


def _line(row: Any, zone: ZoneInfo, about: list[str], flags: list[str], words: list[str]) -> Listed:
    hit = (row.said_side, search.excerpt(row.said_text, words)) if words else None
    return Listed(
        id=row.id,
        started_at=row.created_at.astimezone(zone),
        last_at=row.last_at.astimezone(zone),
        channel=row.channel,
        language=row.language,
        turns=row.turns,
        outcome=row.outcome or ("no message" if not row.turns else "not known"),
        urgency=row.urgency,
        lowest_confidence=row.lowest_confidence,
        feedback=row.feedback,
        review_state=row.review_state,
        reviewer=row.reviewer,
        taken_by=row.taken_by,
        about=about,
        flags=flags,
        hit=hit,
    )


async def known_facts(engine: AsyncEngine) -> dict[str, list[str]]:
    """What occurred at all, by kind, for the filters to offer. Steps through the index from value to value, because
    listing what is distinct would read every row."""
    step = text(
        "WITH RECURSIVE known(value) AS ("
        " SELECT min(value) FROM conversation_fact WHERE kind = :kind UNION ALL"
        " SELECT (SELECT min(value) FROM conversation_fact WHERE kind = :kind AND value > known.value)"
        " FROM known WHERE known.value IS NOT NULL"
        ") SELECT value FROM known WHERE value IS NOT NULL"
    )
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return {kind: list(await connection.scalars(step, {"kind": kind})) for kind in FACTS}
