"""Writing answers at the desk: drafts, sending to review and back, retiring, an old version anew."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import msgspec
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from needlepoint.faq.files import TextInFile, word_problems
from needlepoint.faq.models import Entry, Version, VersionSource, VersionText, Wording
from needlepoint.faq.store import FaqRefusedError, entry_of, must_be_allowed, note_change, publication_of
from needlepoint.staff.activity import Activity
from needlepoint.staff.roles import Permission

#: Letters of a wording, and new wordings of one version: what search is given to learn from.
LONGEST_WORDING = 200
MOST_NEW_WORDINGS = 20


class Words(msgspec.Struct, frozen=True):
    """What a version says in one language; an empty `when_to_contact` is none."""

    question: str
    answer: str
    when_to_contact: str | None


def write_draft(
    engine: Engine,
    entry_id: str,
    texts: Mapping[str, Words],
    staff: str,
    on: date,
    based_on: int | None = None,
    new_wordings: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Write a new version from the newest, with other words in the languages that `texts` names; returns its number.

    A text whose words stay keeps its author. `based_on` is the version that the writer saw: where somebody wrote a
    newer one meanwhile, nothing is written. `new_wordings`, by language, are further ways to ask for the entry; it has
    them from the approval on. What patients are given does not change.

    Raises :class:`FaqRefusedError` for words that cannot be used, or the same words again.
    """
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.EDIT_ANSWERS)
        publication = publication_of(session)
        entry = entry_of(session, entry_id)
        newest = entry.versions[-1]
        if based_on is not None and based_on != newest.number:
            raise FaqRefusedError(
                f"somebody wrote version {newest.number} while you were writing; copy your words, look at theirs, "
                "and write again"
            )
        wordings = _new_wordings(session, entry, newest, new_wordings or {}, staff)
        same_wordings = wordings == waiting_wordings(newest)
        version = _new_version(session, entry, newest, texts, staff, on, wordings)
        if same_wordings and all(_same(new, old) for new, old in zip(version.texts, newest.texts, strict=True)):
            raise FaqRefusedError("these are the same words as before; change something first")
        note_change(session, member, Activity.EDITED_ANSWER, entry_id)
        publication.revision += 1
        return version.number


def roll_back(engine: Engine, entry_id: str, number: int, staff: str, on: date) -> int:
    """Write a new version, a draft, that says what version `number` said; returns its number.

    Windows, conditions and sources are those of the old version too, and every text keeps its author.
    """
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.EDIT_ANSWERS)
        publication = publication_of(session)
        entry = entry_of(session, entry_id)
        old = version_of(entry, number)
        if old is entry.versions[-1]:
            raise FaqRefusedError(f"version {number} is the newest already")
        version = _new_version(session, entry, old, {}, staff, on)
        note_change(session, member, Activity.ROLLED_BACK_ANSWER, entry_id)
        publication.revision += 1
        return version.number


def waiting_wordings(version: Version) -> list[dict[str, Any]]:
    """The new wordings of a version that wait for its approval."""
    waits = {text.language for text in version.texts if text.state in ("draft", "in_review")}
    return [one for one in version.new_wordings if one["language"] in waits]


def _new_wordings(
    session: Session, entry: Entry, newest: Version, given: Mapping[str, Sequence[str]], staff: str
) -> list[dict[str, Any]]:
    """The further ways to ask, each once and none that the entry has; what stays from the draft keeps its proposer."""
    before = {(one["language"], one["text"]): one["by"] for one in waiting_wordings(newest)}
    has = {(one.language, one.text) for one in entry.wordings}
    wordings = []
    for language, texts in given.items():
        for text in dict.fromkeys(" ".join(text.split()) for text in texts):
            if not text or (language, text) in has:
                continue
            if len(text) > LONGEST_WORDING:
                raise FaqRefusedError(f"{language}: a wording has at most {LONGEST_WORDING} letters: “{text[:40]}…”")
            if re.search(r"\[[a-z -]+\]", text):
                raise FaqRefusedError(f"{language}: take out what points to a person, such as [phone]: “{text}”")
            if (owner := _asked_for_by(session, text)) is not None:
                raise FaqRefusedError(f"{language}: “{text}” asks for {owner} already; change one of them")
            wordings.append({"language": language, "text": text, "by": before.get((language, text), staff)})
    if len(wordings) > MOST_NEW_WORDINGS:
        raise FaqRefusedError(f"a version brings at most {MOST_NEW_WORDINGS} new wordings; leave some for the next")
    return wordings


def _asked_for_by(session: Session, text: str) -> str | None:
    """The entry that has this wording already, or this question, in small or large letters."""
    small = text.lower()
    of_wordings = select(Wording.entry_id).where(func.lower(Wording.text) == small)
    of_questions = (
        select(Version.entry_id)
        .join(VersionText, VersionText.version_id == Version.id)
        .where(func.lower(VersionText.question) == small, VersionText.state != "retired")
    )
    return session.scalar(of_wordings.limit(1)) or session.scalar(of_questions.limit(1))


def _new_version(
    session: Session,
    entry: Entry,
    like: Version,
    texts: Mapping[str, Words],
    staff: str,
    on: date,
    new_wordings: Sequence[dict[str, Any]] = (),
) -> Version:
    """Add the next version: `like` with other words. Drafts and submissions that it takes the place of are retired."""
    known = {text.language for text in like.texts}
    if unknown := set(texts) - known:
        raise FaqRefusedError(f"{entry.id} has no text in {', '.join(sorted(unknown))}")
    for language, words in texts.items():
        _check_words(entry.topic, language, words)
    for older in entry.versions:
        for text in older.texts:
            # A starting text that patients are given stays until something takes its place.
            if text.state == "draft" or (text.state == "in_review" and not older.starting_text):
                text.state = "retired"
    version = Version(
        number=entry.versions[-1].number + 1,
        written_on=on,
        starting_text=False,
        timing=like.timing,
        conditions=like.conditions,
        notes=like.notes,
        new_wordings=list(new_wordings),
    )
    version.sources = [
        VersionSource(
            position=one.position, name=one.name, url=one.url, grade=one.grade, read=one.read, read_at=one.read_at
        )
        for one in like.sources
    ]
    entry.versions.append(version)
    session.flush()  # sources first, as the database asks
    version.texts = [_text(old, texts.get(old.language), staff, on) for old in like.texts]
    session.flush()
    return version


def _text(old: VersionText, words: Words | None, staff: str, on: date) -> VersionText:
    as_it_was = Words(old.question, old.answer, old.when_to_contact)
    # A form brings words without the line end that those of a file have; that makes nobody their author.
    same = words is None or _stripped(words) == _stripped(as_it_was)
    words = as_it_was if words is None or same else words
    return VersionText(
        language=old.language,
        author=old.author if same else staff,
        question=words.question,
        answer=words.answer,
        when_to_contact=words.when_to_contact,
        state="draft",
        recorded_on=on,
    )


def _stripped(words: Words) -> tuple[str, str, str]:
    return words.question.strip(), words.answer.strip(), (words.when_to_contact or "").strip()


def _same(one: VersionText, other: VersionText) -> bool:
    return (one.question, one.answer, one.when_to_contact) == (other.question, other.answer, other.when_to_contact)


def _check_words(topic: str, language: str, words: Words) -> None:
    for what, text, longest in (
        ("question", words.question, 300),
        ("answer", words.answer, 4000),
        ("when to contact", words.when_to_contact or "-", 4000),
    ):
        if not text.strip() or len(text) > longest:
            raise FaqRefusedError(f"{language}: the {what} has 1 to {longest} characters")
    as_text = TextInFile(words.question, words.answer, words.when_to_contact)
    if problem := next(iter(word_problems(topic, as_text)), None):
        raise FaqRefusedError(f"{language}: {problem[1].replace('`when_to_contact`', 'when to contact')}")


def submit(engine: Engine, entry_id: str, staff: str) -> int:
    """Send the newest version, a draft, to review; returns its number."""
    refusal = "is no draft; write one first"
    return _move(engine, entry_id, staff, Activity.SUBMITTED_ANSWER, "draft", "in_review", refusal)


def send_back(engine: Engine, entry_id: str, staff: str) -> int:
    """Take the newest version out of review, to be written anew; returns its number."""
    return _move(engine, entry_id, staff, Activity.RETURNED_ANSWER, "in_review", "draft", "is not in review")


def _move(engine: Engine, entry_id: str, staff: str, what: Activity, old: str, new: str, refusal: str) -> int:
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.EDIT_ANSWERS)
        publication = publication_of(session)
        version = entry_of(session, entry_id).versions[-1]
        texts = [text for text in version.texts if text.state == old]
        if not texts or (new == "draft" and version.starting_text):
            raise FaqRefusedError(f"version {version.number} of {entry_id} {refusal}")
        for text in texts:
            text.state = new
        note_change(session, member, what, entry_id)
        publication.revision += 1
        return version.number


def retire(engine: Engine, entry_id: str, staff: str) -> None:
    """Stop an answer for good: nothing of it is given until a new version is written and approved."""
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.APPROVE_ANSWERS)
        publication = publication_of(session)
        entry = entry_of(session, entry_id)
        if entry.topic == "urgent":
            raise FaqRefusedError(f"{entry_id} is an urgent card; cards are always given and cannot be retired")
        for version in entry.versions:
            for text in version.texts:
                text.state = "retired"
        note_change(session, member, Activity.RETIRED_ANSWER, entry_id)
        publication.revision += 1


def version_of(entry: Entry, number: int) -> Version:
    """The version with this number; raises :class:`FaqRefusedError`."""
    found = next((version for version in entry.versions if version.number == number), None)
    if found is None:
        raise FaqRefusedError(f"{entry.id} has no version {number}")
    return found


class Piece(msgspec.Struct, frozen=True):
    """A run of words that both texts have, or only the old or the new one."""

    kind: str
    text: str


def compared(old: str, new: str) -> list[Piece]:
    """What changed from `old` to `new`, word by word; `kind` is "same", "gone" or "new"."""
    before, after = re.findall(r"\s+|[^\s]+", old), re.findall(r"\s+|[^\s]+", new)
    pieces: list[Piece] = []
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(before[i1:i2])))
            continue
        if i2 > i1:
            pieces.append(Piece("gone", "".join(before[i1:i2])))
        if j2 > j1:
            pieces.append(Piece("new", "".join(after[j1:j2])))
    return pieces
