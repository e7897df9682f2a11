"""The review pack: one HTML file with everything a clinician has to read, to be printed and signed, or ticked."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import get_args

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from needlepoint.faq.files import Timing
from needlepoint.faq.markdown import is_safe_link, rendered
from needlepoint.faq.models import Entry, Version, VersionText, whole_entries
from needlepoint.faq.signing import SignedLine, text_hash
from needlepoint.phrases import Phrases
from needlepoint.reply import AnswerTopic, Grade

_TEMPLATES = Path(__file__).parent / "templates"

#: Minutes that reading one answer with its evidence takes.
MINUTES_EACH = 1.5

#: How many wordings are shown of all.
EXAMPLES = 3

#: What stands behind each grade, strongest first; the last ones are no evidence that a treatment is safe.
GRADES: dict[Grade, str] = {
    "regulator": "an authority or a national guideline",
    "society": "a professional society of doctors",
    "hospital": "a hospital or public health service, for its patients",
    "textbook": "a textbook, a device's manual or labelling",
    "review": "a published study or review",
    "clinic": "another clinic's page",
    "seed": "the article this project began with",
}
WEAK: tuple[Grade, ...] = ("clinic", "seed")

_LANGUAGES = {"en": "English", "ms": "Malay", "zh": "Chinese", "ta": "Tamil", "id": "Indonesian"}

_RULES = {"avoid": "leave out", "do": "do", "expect": "is usual", "schedule": "leave a gap of at least"}
_KINDS = {
    "medicine": "a medicine that nobody is told to stop",
    "cream": "may be prescribed",
    "treatment": "another treatment",
    "effect": "an effect of the treatment",
}


class PackSource(msgspec.Struct, frozen=True):
    """A piece of evidence; `url` is None where the address cannot become a link."""

    name: str
    url: str | None
    grade: Grade
    weak: bool


class PackText(msgspec.Struct, frozen=True):
    """One language of an answer as patients see it, and the line that signs it."""

    language: str
    language_name: str
    question: str
    answer: Markup
    when_to_contact: Markup | None
    state: str
    author: str
    approved: str | None
    unset: list[str]
    signed_line: str


class PackEntry(msgspec.Struct, frozen=True):
    """An answer with everything an approver has to know."""

    id: str
    topic: str
    version: int
    written_on: date
    starting_text: bool
    treatments: list[str]
    level: str | None
    for_staff: bool
    withdrawn: bool
    texts: list[PackText]
    windows: list[str]
    conditions: list[str]
    sources: list[PackSource]
    notes: str | None
    wordings: list[tuple[str, int, list[str]]]


def write_pack(
    connection: Connection, file: Path, phrases: Phrases, today: date, topics: Collection[str] = (), whole: bool = False
) -> int:
    """Write the pack to `file`; returns how many answers it holds.

    By default those with a text in review; with `whole` the approved ones too; with `topics` only of these. Raises
    `OSError` when the file cannot be written. Writes nothing when there is no answer.
    """
    entries = _entries(connection, phrases, topics, whole)
    if entries:
        file.write_text(_html(entries, phrases, today), encoding="utf-8")
    return len(entries)


def _entries(connection: Connection, phrases: Phrases, topics: Collection[str], whole: bool) -> list[PackEntry]:
    found = Session(connection).scalars(whole_entries())
    wanted = ("in_review", "approved") if whole else ("in_review",)
    entries = []
    for entry in found:
        texts = [text for text in entry.versions[-1].texts if text.state in wanted]
        if texts and (not topics or entry.topic in topics):
            entries.append(_entry(entry, texts, phrases))
    # Cards first: they are given whether approved or not.
    return sorted(entries, key=lambda one: (one.topic != "urgent", _TOPICS.index(one.topic)))


_TOPICS = get_args(AnswerTopic)


def _entry(entry: Entry, texts: list[VersionText], phrases: Phrases) -> PackEntry:
    version = entry.versions[-1]
    grades = get_args(Grade)
    wordings: dict[str, list[str]] = {}
    for wording in entry.wordings:
        wordings.setdefault(wording.language, []).append(wording.text)
    return PackEntry(
        id=entry.id,
        topic=entry.topic,
        version=version.number,
        written_on=version.written_on,
        starting_text=version.starting_text and any(text.state != "approved" for text in texts),
        treatments=[phrases.say(f"treatment_{one}", "en") for one in entry.treatments if one != "any"],
        level=entry.level,
        for_staff=entry.audience == "staff",
        withdrawn=entry.withdrawn_at is not None,
        texts=[_text(entry, version, text, phrases) for text in texts],
        windows=[in_words(one, phrases) for one in msgspec.convert(version.timing, list[Timing])],
        conditions=version.conditions,
        sources=[
            PackSource(one.name, one.url if is_safe_link(one.url) else None, _grade(one.grade), one.grade in WEAK)
            for one in sorted(version.sources, key=lambda one: grades.index(one.grade))
        ],
        notes=version.notes,
        wordings=[(language_name(language), len(said), said[:EXAMPLES]) for language, said in wordings.items()],
    )


def _grade(grade: str) -> Grade:
    return msgspec.convert(grade, Grade)  # type: ignore[no-any-return]


def _text(entry: Entry, version: Version, text: VersionText, phrases: Phrases) -> PackText:
    contact = text.when_to_contact
    approved = None
    if text.state == "approved":
        approved = f"approved by {text.approver} on {text.approved_on}, due on {text.review_due}"
        if text.waited_days:
            approved += f" (own words, after waiting {text.waited_days} days)"
    return PackText(
        language=text.language,
        language_name=language_name(text.language),
        question=phrases.fill(text.question, text.language),
        answer=rendered(phrases.fill(text.answer, text.language)),
        when_to_contact=rendered(phrases.fill(contact, text.language)) if contact else None,
        state=text.state,
        author=text.author,
        approved=approved,
        unset=sorted(set(phrases.unset(" ".join([text.question, text.answer, contact or ""])))),
        signed_line=str(SignedLine(entry.id, text.language, version.number, text_hash(entry, version, text))),
    )


def language_name(language: str) -> str:
    """A language in English; its code where we have no name for it."""
    return _LANGUAGES.get(language, language)


def in_words(timing: Timing, phrases: Phrases) -> str:
    """A time window as a person says it: "After: makeup - leave out for the first 24 hours; careful: 3 days"."""
    named = f"activity_{timing.activity}"
    activity = phrases.say(named, "en") if phrases.has(named) else timing.activity.replace("_", " ")
    begins = phrases.duration(timing.from_hours, "en") if timing.from_hours else None
    ends = phrases.duration(timing.to_hours, "en") if timing.to_hours is not None else None
    careful = phrases.duration(timing.cautious_to_hours, "en") if timing.cautious_to_hours is not None else None
    after = timing.phase == "after"
    rule = _RULES[timing.rule]
    if ends is None:
        when = f"from {begins} on" if begins else "at any time"
    elif timing.rule == "schedule":
        when = f"{ends}" if begins is None else f"{begins} to {ends}"
    elif begins is None:
        when = f"for the first {ends}" if after else f"in the last {ends}"
    else:
        when = f"from {begins} to {ends}" if after else f"from {ends} to {begins} before"
    words = f"{'After' if after else 'Before'} the treatment: {activity[:1].lower()}{activity[1:]} – {rule} {when}"
    if careful:
        words += f"; the careful advice: {careful}"
    return words + (f" ({_KINDS[timing.kind]})" if timing.kind else "")


def _html(entries: list[PackEntry], phrases: Phrases, today: date) -> str:
    style = (_TEMPLATES / "pack.css").read_text(encoding="utf-8")
    script = (_TEMPLATES / "pack.js").read_text(encoding="utf-8")
    lines = [text.signed_line for entry in entries for text in entry.texts]
    by_topic: dict[str, list[PackEntry]] = {}
    for entry in entries:
        by_topic.setdefault(entry.topic, []).append(entry)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("pack.html").render(
        clinic=phrases.clinic.name,
        today=today,
        pack=hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8],
        topics=by_topic,
        answers=len(entries),
        texts=len(lines),
        hours=max(0.5, round(len(lines) * MINUTES_EACH / 30) / 2),
        grades=GRADES,
        weak=WEAK,
        # Ours and unchanged: the page may run nothing else, and load nothing at all.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=(
            f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
    )


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"
