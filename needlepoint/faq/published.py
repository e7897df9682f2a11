"""What may be given today: the approved (or starting) texts, read from the database as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from needlepoint.faq.files import Timing
from needlepoint.faq.models import Entry, Publication, Version, VersionText, whole_entries
from needlepoint.reply import Answer, Source

#: An answer past its review date is still given for this long, so that one late signature does not silence the clinic.
GRACE = timedelta(days=14)


#: How long an approval lasts unless the approver says otherwise: HSE Ireland reviews health content every 3 years,
#: a procedure whose evidence is this young deserves it every year.
REVIEW_AFTER = timedelta(days=365)


class PublishedEntry(msgspec.Struct, frozen=True):
    """An entry and, by language, the answer that may be given for it."""

    id: str
    topic: str
    treatments: list[str]
    variant_group: str | None
    level: str | None
    answers: dict[str, Answer]
    #: The time windows of each language's answer; windows belong to the version, and versions may differ.
    timing: dict[str, list[Timing]]
    wordings: list[str]

    @property
    def withheld(self) -> bool:
        """Is there no text that may be given?"""
        return not self.answers


def in_language(answers: Mapping[str, Answer], language: str) -> Answer:
    """The answer in `language`, else in English, else in the first one there is; there must be one."""
    return answers.get(language) or answers.get("en") or next(iter(answers.values()))


class Published(msgspec.Struct, frozen=True):
    """Everything that may be given, at one revision. `withdrawn` stops all but the urgent cards."""

    revision: int
    withdrawn: bool
    entries: list[PublishedEntry]
    #: Withdrawn, run out, or not approved yet: known to search, so that no other answer is given in their place.
    withheld: list[PublishedEntry]
    #: How many of the entries are starting texts that the clinic has not approved.
    unapproved: int


def revision_of(connection: Connection) -> int:
    """The answers' revision; it grows with every change."""
    return connection.scalar(select(Publication.revision)) or 0


def assistant_is_withdrawn(connection: Connection) -> bool:
    """Is the whole assistant withdrawn, so that only urgent cards are given?"""
    return connection.scalar(select(Publication.withdrawn_at)) is not None


def read_published(connection: Connection, today: date, give_unapproved: bool, trying: str | None = None) -> Published:
    """Read what may be given on `today` (a date in the clinic's zone).

    The newest version of the entry `trying` stands there as if it had been approved today, with its new wordings: what
    patients would get with it.
    """
    session = Session(connection)
    publication = session.get(Publication, 1)
    entries = session.scalars(whole_entries().where(Entry.audience == "patients"))
    published: list[PublishedEntry] = []
    withheld: list[PublishedEntry] = []
    unapproved = 0
    for entry in entries:
        card = entry.topic == "urgent"
        stopped = entry.withdrawn_at is not None and not card
        answers = {} if stopped else _answers(entry, today, give_unapproved or card)
        wordings = [wording.text for wording in entry.wordings]
        if entry.id == trying:
            newest = entry.versions[-1]
            answers |= {text.language: (as_if_approved(newest, text, today), newest.timing) for text in newest.texts}
            wordings += [one["text"] for one in newest.new_wordings if one["text"] not in wordings]
        unapproved += any(answer.starting_text_of is not None for answer, _ in answers.values())
        # What is withheld has no answer to name its question, so that stands among its wordings.
        questions = [] if answers else [text.question for version in entry.versions for text in version.texts]
        (published if answers else withheld).append(
            PublishedEntry(
                id=entry.id,
                topic=entry.topic,
                treatments=entry.treatments,
                variant_group=entry.variant_group,
                level=entry.level,
                answers={language: answer for language, (answer, _) in answers.items()},
                timing={language: msgspec.convert(timing, list[Timing]) for language, (_, timing) in answers.items()},
                wordings=[*questions, *wordings],
            )
        )
    return Published(
        revision=publication.revision if publication else 0,
        withdrawn=publication is not None and publication.withdrawn_at is not None,
        entries=published,
        withheld=withheld,
        unapproved=unapproved,
    )


def _answers(entry: Entry, today: date, give_unapproved: bool) -> dict[str, tuple[Answer, list[dict[str, Any]]]]:
    """By language: the newest approved text that is in date, else the starting text where those may be given.

    Each with its version's windows.
    """
    answers: dict[str, tuple[Answer, list[dict[str, Any]]]] = {}
    expired: set[str] = set()
    for version in reversed(entry.versions):
        for text in version.texts:
            if text.language in answers or text.language in expired:
                continue
            if text.state == "approved" and text.review_due is not None:
                # What a newer approval replaced does not come back when that one expires.
                expired.add(text.language)
                # A card is given even past its date: an old warning is better than none.
                if today <= text.review_due + GRACE or entry.topic == "urgent":
                    answers[text.language] = _answer(entry, version, text), version.timing
            elif (
                text.state == "in_review" and version.starting_text and give_unapproved and _never_approved(entry, text)
            ):
                answers[text.language] = _answer(entry, version, text), version.timing
    return answers


def _never_approved(entry: Entry, text: VersionText) -> bool:
    """A clinic that has approved a text of its own wants that one, not the starting set's newer one."""
    return not any(
        (other.state == "approved" or (other.state == "retired" and other.approver is not None))
        and other.language == text.language
        for version in entry.versions
        for other in version.texts
    )


def as_if_approved(version: Version, text: VersionText, today: date) -> Answer:
    """The answer that a text would be if it had been approved today."""
    answer = _answer(version.entry, version, text)
    return msgspec.structs.replace(answer, reviewed_on=today, review_due=today + REVIEW_AFTER, starting_text_of=None)


def _answer(entry: Entry, version: Version, text: VersionText) -> Answer:
    approved = text.state == "approved"
    return Answer(
        entry_id=entry.id,
        version=version.number,
        language=text.language,
        question=text.question,
        text=text.answer,
        when_to_contact=text.when_to_contact,
        reviewed_on=text.approved_on if approved else None,
        review_due=text.review_due if approved else None,
        starting_text_of=None if approved else version.written_on,
        sources=[msgspec.convert(s, Source, from_attributes=True) for s in version.sources],
    )
