"""Full-text search over what people wrote and what they were told; the database itself keeps the index."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, cast, column, func, select, table, text
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.ext.asyncio import AsyncConnection

#: What migration 0009 makes beside the models, because the two databases do it each in their own way.
BESIDE_THE_MODELS = ("said_words", "words", "ix_said_text_words")

#: `said_text` with the column that only PostgreSQL has.
SAID = table(
    "said_text",
    column("id", Integer),
    column("conversation_id"),
    column("side"),
    column("text"),
    column("words", TSVECTOR),
)

#: SQLite's index.
WORDS = table("said_words", column("rowid"))

#: Words of a question that are looked for; the rest is ignored.
MOST_WORDS = 8

#: Signs around the first hit that an excerpt shows.
EXCERPT = 160

_WORD = re.compile(r"[^\W_]+")


def words_in(question: str) -> list[str]:
    """The words that are looked for, each once."""
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(question)))[:MOST_WORDS]


def lines_with(words: Sequence[str], dialect: str, side: str | None = None, *, in_order: bool = True) -> Select[Any]:
    """Id, conversation, side and text of the lines in which each of the words, which are letters and digits alone,
    begins a word; the latest first.

    PostgreSQL cannot tell how rare the beginning of a word is. `in_order` lets it read the lines themselves from the
    latest on, which is good for a short span or common words; otherwise it has to go by the index of words.
    """
    query = select(SAID.c.id, SAID.c.conversation_id, SAID.c.side, SAID.c.text)
    if dialect == "postgresql":
        asked: ColumnElement[Any] = func.to_tsquery(text("'simple'"), " & ".join(f"{word}:*" for word in words))
        if side:
            asked = asked.op("&&")(cast(f"'#{side}'", TSQUERY))
        query = query.where(SAID.c.words.op("@@")(asked))
        return query.order_by(SAID.c.id.desc() if in_order else (SAID.c.id + 0).desc())
    # From the index to the lines, in the index's own order: so that reading stops when a page is full.
    begin = " ".join(f'"{word}"*' for word in words)
    query = query.select_from(WORDS.join(SAID, SAID.c.id == WORDS.c.rowid))
    query = query.where(column("said_words").op("MATCH")(begin)).order_by(WORDS.c.rowid.desc())
    return query.where(SAID.c.side == side) if side else query


def has_words(line: str, words: Sequence[str]) -> bool:
    """Does each of the words begin a word of this line?"""
    there = [word[0].lower() for word in _WORD.finditer(line)]
    return all(any(one.startswith(word) for one in there) for word in words)


async def forget_deleted(connection: AsyncConnection) -> None:
    """Merge SQLite's index, in which words of deleted lines would stand on; PostgreSQL drops them by itself."""
    if connection.dialect.name == "sqlite":
        await connection.execute(text("INSERT INTO said_words (said_words) VALUES ('optimize')"))


# -- showing what was found ---------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """A part of a text, and whether it is what was looked for."""

    text: str
    found: bool


def marked(line: str, words: Sequence[str]) -> list[Piece]:
    """The whole line in pieces; those that begin with one of the words are marked. Plain text, to be escaped."""
    pieces: list[Piece] = []
    end = 0
    for word in _WORD.finditer(line):
        if any(word[0].lower().startswith(one) for one in words):
            if word.start() > end:
                pieces.append(Piece(line[end : word.start()], False))
            pieces.append(Piece(word[0], True))
            end = word.end()
    if end < len(line):
        pieces.append(Piece(line[end:], False))
    return pieces


def excerpt(line: str, words: Sequence[str]) -> list[Piece]:
    """What stands around the first hit, marked."""
    line = " ".join(line.split())
    hit = next((at.start() for at in _WORD.finditer(line) if any(at[0].lower().startswith(w) for w in words)), 0)
    start = max(0, hit - EXCERPT // 3)
    if start:
        start = line.find(" ", start, hit) + 1 or start
    cut = line[start : start + EXCERPT]
    if start + EXCERPT < len(line):
        cut = cut.rsplit(" ", 1)[0] + " …"
    return marked(("… " if start else "") + cut, words)
