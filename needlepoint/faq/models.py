"""The tables of the curated answers: what an answer is about, what it says, where it comes from, who approved it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Select, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, mapped_column, relationship, selectinload

from needlepoint.db.base import Base

STATES = ("draft", "in_review", "approved", "retired")


class Publication(Base):
    """One row: counts every change of the answers, and says whether the whole assistant is withdrawn."""

    __tablename__ = "faq_publication"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, default=1, autoincrement=False)
    revision: Mapped[int] = mapped_column(default=0)
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None]


class Entry(Base):
    """What an answer is about. Its id is the first fact id it covers."""

    __tablename__ = "faq_entry"

    id: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(index=True)
    position: Mapped[int]
    treatments: Mapped[list[str]]
    covers: Mapped[list[str]]
    audience: Mapped[str] = mapped_column(default="patients")
    variant_group: Mapped[str | None]
    level: Mapped[str | None]
    #: Hash of the content as the last `faq load` wrote it; differs from today's once the desk has edited it.
    loaded_hash: Mapped[str]
    withdrawn_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str | None]

    wordings: Mapped[list[Wording]] = relationship(
        cascade="all, delete-orphan", order_by="Wording.language, Wording.position"
    )
    versions: Mapped[list[Version]] = relationship(
        back_populates="entry", cascade="all, delete-orphan", order_by="Version.number"
    )

    __table_args__ = (
        CheckConstraint("(topic = 'urgent') = (level IS NOT NULL)", name="level_on_urgent_only"),
        CheckConstraint("level IS NULL OR level IN ('contact_clinic', 'same_day', 'emergency_now')", name="level"),
    )


class Wording(Base):
    """One way in which people ask for an entry."""

    __tablename__ = "faq_wording"
    __table_args__ = (UniqueConstraint("entry_id", "language", "text"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[str] = mapped_column(ForeignKey("faq_entry.id", ondelete="CASCADE"), index=True)
    language: Mapped[str]
    position: Mapped[int]
    text: Mapped[str] = mapped_column(Text)


class Version(Base):
    """What is said: windows, sources and one text a language.

    Never changed once it exists, its notes for staff apart: the database refuses (triggers of migration 0002). What was
    approved stays on record until its whole entry is deleted, by a DELETE statement and not through the session, which
    would take the sources away first.
    """

    __tablename__ = "faq_version"
    __table_args__ = (UniqueConstraint("entry_id", "number"), CheckConstraint("number >= 1", name="number"))

    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[str] = mapped_column(ForeignKey("faq_entry.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    written_on: Mapped[date]
    #: Part of the set the project ships, which no clinic has approved yet.
    starting_text: Mapped[bool]
    timing: Mapped[list[dict[str, Any]]]
    conditions: Mapped[list[str]]
    notes: Mapped[str | None] = mapped_column(Text)
    #: Further ways to ask that the entry gets when a text in their language is approved: `language`, `text`, and `by`,
    #: who proposed it.
    new_wordings: Mapped[list[dict[str, Any]]] = mapped_column(default=list)

    entry: Mapped[Entry] = relationship(back_populates="versions")
    texts: Mapped[list[VersionText]] = relationship(
        back_populates="version", cascade="all, delete-orphan", order_by="VersionText.language"
    )
    sources: Mapped[list[VersionSource]] = relationship(cascade="all, delete-orphan", order_by="VersionSource.position")


class VersionSource(Base):
    """The evidence of a version."""

    __tablename__ = "faq_source"
    __table_args__ = (
        CheckConstraint(
            "grade IN ('regulator', 'society', 'hospital', 'textbook', 'review', 'clinic', 'seed')", name="grade"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("faq_version.id", ondelete="CASCADE"), index=True)
    position: Mapped[int]
    name: Mapped[str]
    url: Mapped[str]
    grade: Mapped[str]
    read: Mapped[str | None]
    read_at: Mapped[str | None]


class VersionText(Base):
    """A version's words in one language, with the approval of exactly these words.

    The database refuses to change the words, to take a state back (draft -> in_review -> approved -> retired; only
    in_review -> draft is a way back), and to approve without a source.
    """

    __tablename__ = "faq_text"
    __table_args__ = (
        UniqueConstraint("version_id", "language"),
        CheckConstraint("state IN ('draft', 'in_review', 'approved', 'retired')", name="state"),
        CheckConstraint(
            "state != 'approved' OR (approver IS NOT NULL AND approved_on IS NOT NULL AND review_due IS NOT NULL)",
            name="approved_by_someone",
        ),
        CheckConstraint(
            "approver IS NULL OR approver != author OR waited_days IS NOT NULL", name="approver_is_not_author_or_waited"
        ),
        CheckConstraint(
            "waited_days IS NULL OR (waited_days >= 1 AND approver IS NOT NULL AND approver = author)",
            name="waited_days_of_author",
        ),
        CheckConstraint("review_due IS NULL OR review_due > approved_on", name="review_after_approval"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("faq_version.id", ondelete="CASCADE"), index=True)
    language: Mapped[str]
    author: Mapped[str]
    question: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    when_to_contact: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str]
    approver: Mapped[str | None]
    approved_on: Mapped[date | None]
    review_due: Mapped[date | None]
    #: The day on which these words came into this database; an author's waiting days count from it.
    recorded_on: Mapped[date]
    #: Days that an author waited before approving own words, in a clinic with one clinician; else None.
    waited_days: Mapped[int | None]

    version: Mapped[Version] = relationship(back_populates="texts")


def whole_entries() -> Select[Entry]:
    """Every entry in its order, with wordings, versions, texts and sources: one query each, however many entries."""
    return (
        select(Entry)
        .order_by(Entry.position)
        .options(
            selectinload(Entry.wordings),
            selectinload(Entry.versions).selectinload(Version.texts),
            selectinload(Entry.versions).selectinload(Version.sources),
        )
    )
