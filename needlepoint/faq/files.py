"""The answers as YAML files, one a topic: reading with exact complaints, and writing the same form back."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta

from needlepoint.clinic import PLACEHOLDERS
from needlepoint.located import FileError, FileErrors, Lines, read_yaml
from needlepoint.phrases import unknown_placeholders
from needlepoint.reply import AnswerTopic, Grade

FactId = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Words = Annotated[str, Meta(min_length=1, max_length=4000)]
Treatment = Literal["any", "clinic_microneedling", "rf_microneedling", "prp", "home_roller"]
Language = Annotated[str, Meta(pattern=r"^[a-z]{2}$")]

#: Topics whose answers must say what is not expected and whom to contact.
MUST_SAY_WHEN_TO_CONTACT = ("suitability", "side_effects", "aftercare")


class SourceInFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One piece of evidence; `read` says what of it was read, `read_at` where."""

    name: Words
    url: Annotated[str, Meta(pattern=r"^https?://\S+$", max_length=500)]
    grade: Grade
    read: Literal["page", "copy", "report"] | None = None
    read_at: str | None = None


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A time window in hours, counted from the end of treatment or back from the appointment."""

    phase: Literal["before", "after"]
    activity: str
    rule: Literal["avoid", "do", "expect", "schedule"]
    from_hours: Annotated[float, Meta(ge=0)] | None = None
    to_hours: Annotated[float, Meta(ge=0)] | None = None
    cautious_to_hours: Annotated[float, Meta(ge=0)] | None = None
    #: What the activity is, where that changes the sentence: a `medicine` nobody is told to stop, a `cream` that may be
    #: prescribed, another `treatment`, an `effect` of the treatment that is no symptom.
    kind: Literal["medicine", "cream", "treatment", "effect"] | None = None


class TextInFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A version's words in one language. Approval travels with an export, so that another database can take it."""

    question: Words
    answer: Words
    when_to_contact: Words | None = None
    author: str | None = None
    state: Literal["draft", "in_review", "approved", "retired"] = "in_review"
    approver: str | None = None
    approved_on: date | None = None
    review_due: date | None = None
    #: What was approved, as :func:`approved_words`: an approval is for these words and no others.
    approved_hash: str | None = None
    #: Days its author waited before approving it, in a clinic with one clinician.
    waited_days: Annotated[int, Meta(ge=1)] | None = None


class VersionInFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said."""

    number: Annotated[int, Meta(ge=1)]
    author: Annotated[str, Meta(min_length=1)]
    written_on: date
    sources: Annotated[list[SourceInFile], Meta(min_length=1)]
    texts: Annotated[dict[Language, TextInFile], Meta(min_length=1)]
    starting_text: bool = True
    timing: list[Timing] = []
    conditions: list[str] = []
    notes: Words | None = None


class Withdrawal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When, and by whom, an entry was withdrawn."""

    at: datetime
    by: str


class EntryInFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an answer is about, its newest version, and how people ask for it."""

    id: FactId
    covers: Annotated[list[FactId], Meta(min_length=1)]
    treatments: Annotated[list[Treatment], Meta(min_length=1)]
    version: VersionInFile
    wordings: dict[Language, list[Words]]
    level: Literal["contact_clinic", "same_day", "emergency_now"] | None = None
    variant_group: str | None = None
    audience: Literal["patients", "staff"] = "patients"
    #: A withdrawal travels too; a load takes it only with an entry that is new to the database.
    withdrawn: Withdrawal | None = None


class FaqFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One topic's answers."""

    topic: AnswerTopic
    entries: list[EntryInFile]


class TopicEntry(msgspec.Struct, frozen=True):
    """An entry with its topic and where it was read."""

    topic: AnswerTopic
    entry: EntryInFile
    file: Path
    line: int


def read_folder(folder: Path) -> list[TopicEntry]:
    """All entries of `folder`, in file and then reading order.

    Raises :class:`~needlepoint.located.FileErrors` naming file, line and mend of everything that is wrong; a folder
    without files is wrong too.
    """
    entries: list[TopicEntry] = []
    problems: list[FileError] = []
    files = sorted(folder.glob("*.yml"))
    if not files:
        problems.append(FileError(folder, 1, "holds no .yml file; put the answers there, one file a topic"))
    for file in files:
        try:
            content, lines = read_yaml(file, FaqFile)
        except FileError as error:
            problems.append(error)
            continue
        for number, entry in enumerate(content.entries):
            path = f"$.entries[{number}]"
            entries.append(TopicEntry(content.topic, entry, file, lines.of(path)))
            problems += _problems_of(content.topic, entry, lines, path)
    problems += _twice(entries)
    if problems:
        raise FileErrors(problems)
    return entries


def _problems_of(topic: str, entry: EntryInFile, lines: Lines, path: str) -> list[FileError]:
    problems: list[FileError] = []

    def wrong(where: str, problem: str) -> None:
        problems.append(lines.error(f"{path}{where}", f"{entry.id}: {problem}"))

    if entry.id != entry.covers[0]:
        wrong(".id", f"an entry is named after the first fact it covers; call it `{entry.covers[0]}`")
    if (topic == "urgent") != (entry.level is not None):
        wrong("", "an urgent card needs `level`; other entries must not have one")
    version = entry.version
    for language, text in version.texts.items():
        at = f".version.texts.{language}"
        for field, problem in word_problems(topic, text):
            wrong(f"{at}{field}", problem)
        for field, problem in _approval_problems(version, text, language):
            wrong(f"{at}{field}", problem)
    for language, wordings in entry.wordings.items():
        for wording, times in Counter(wordings).items():
            if times > 1:
                wrong(f".wordings.{language}", f"has “{wording}” {times} times; keep one")
    return problems


def word_problems(topic: str, text: TextInFile) -> Iterator[tuple[str, str]]:
    """What is wrong with a text's words: the field it concerns (".answer"; "" for the whole) and the mend."""
    if topic in MUST_SAY_WHEN_TO_CONTACT and text.when_to_contact is None:
        yield "", "says nothing under `when_to_contact`; write what is not expected and whom to contact"
    for field in ("question", "answer", "when_to_contact"):
        for name in unknown_placeholders(getattr(text, field) or ""):
            yield f".{field}", f"nothing fills {{{name}}}; use one of {', '.join(PLACEHOLDERS)}"


def _approval_problems(version: VersionInFile, text: TextInFile, language: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a text's approval: the field it concerns (".approver"; "" for the whole) and the mend."""
    if text.state == "approved" and text.approved_hash != approved_words(version, language):
        yield (
            "",
            "is approved, but not in these words; remove state, approver, approved_on, review_due, approved_hash and "
            "waited_days, load it, and have it approved again",
        )
    if text.state == "approved" and not (text.approver and text.approved_on and text.review_due):
        yield "", "is approved without approver, approved_on and review_due; add them or remove `state`"
    if text.review_due is not None and text.approved_on is not None and text.review_due <= text.approved_on:
        yield ".review_due", "is not after approved_on; give the day on which it must be looked at again"
    by_author = text.approver is not None and text.approver == (text.author or version.author)
    if by_author and text.waited_days is None:
        yield ".approver", "approved by its own author; another person has to approve it"
    if text.waited_days is not None and not by_author:
        yield ".waited_days", "says that the author approved it, who did not; remove it"
    elif text.waited_days and text.approved_on and (text.approved_on - version.written_on).days < text.waited_days:
        yield ".approved_on", "is before the author's waiting days are over; see written_on and waited_days"


def _twice(entries: list[TopicEntry]) -> list[FileError]:
    """Ids and facts that two entries claim."""
    problems: list[FileError] = []
    seen: dict[str, TopicEntry] = {}
    for item in entries:
        for fact in item.entry.covers:
            first = seen.setdefault(fact, item)
            if first is not item:
                problems.append(
                    FileError(
                        item.file,
                        item.line,
                        f"{item.entry.id}: `{fact}` is covered at {first.file}:{first.line} too; give it to one entry",
                    )
                )
    return problems


def content_hash(topic: str, entry: EntryInFile) -> str:
    """Hash of what an entry says and how it is asked for, without version number, dates and approvals.

    Two entries with the same hash would tell a patient the same thing.
    """
    bare = msgspec.structs.replace(entry, version=_said(entry.version), withdrawn=None)
    return hashlib.sha256(msgspec.json.encode([topic, bare], order="deterministic")).hexdigest()


def approved_words(version: VersionInFile, language: str) -> str:
    """Short hash of all that an approval of one language's text covers: its words, windows, sources and conditions."""
    bare = _said(version)
    text = bare.texts[language]
    covered = [text.question, text.answer, text.when_to_contact, bare.timing, bare.sources, bare.conditions]
    return hashlib.sha256(msgspec.json.encode(covered, order="deterministic")).hexdigest()[:16]


def said_hash(version: VersionInFile) -> str:
    """Hash of a version's words, windows and sources: if it changes, it is a new version."""
    return hashlib.sha256(msgspec.json.encode(_said(version), order="deterministic")).hexdigest()


def only_said(entry: EntryInFile, like: VersionInFile) -> EntryInFile:
    """The entry without approvals, with number, author and date of `like`, to be compared with another as text."""
    said = msgspec.structs.replace(
        _said(entry.version), number=like.number, author=like.author, written_on=like.written_on
    )
    return msgspec.structs.replace(entry, version=said, withdrawn=None)


def _said(version: VersionInFile) -> VersionInFile:
    """The version in a form in which two are equal when they say the same: each text with its author, no approvals."""
    texts = {
        language: msgspec.structs.replace(
            text,
            author=text.author or version.author,
            state="in_review",
            approver=None,
            approved_on=None,
            review_due=None,
            approved_hash=None,
            waited_days=None,
        )
        for language, text in sorted(version.texts.items())
    }
    return msgspec.structs.replace(version, number=1, author="-", written_on=date.min, texts=texts)


class _Dumper(yaml.SafeDumper):
    """Writes long texts as blocks, one line a paragraph, and short lists of plain words on one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


class _OneLine(list[Any]):
    """A list to be written as [a, b]."""


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(
    _OneLine, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)

#: Fields in the order in which a person reads an entry.
_ORDER = ("id", "covers", "treatments", "level", "variant_group", "audience", "withdrawn", "version", "wordings")
_VERSION_ORDER = (
    "number",
    "author",
    "written_on",
    "starting_text",
    "timing",
    "conditions",
    "sources",
    "notes",
    "texts",
)


def dump_topic(topic: str, entries: list[EntryInFile]) -> str:
    """The YAML file of one topic, in the one form that :func:`read_folder` reads and `faq export` writes."""
    return yaml.dump(
        {"topic": topic, "entries": [_plain(entry) for entry in entries]},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
    )


def _plain(entry: EntryInFile) -> dict[str, Any]:
    plain = msgspec.to_builtins(entry, builtin_types=(date, datetime))
    for field in ("covers", "treatments"):
        plain[field] = _OneLine(plain[field])
    version = plain["version"]
    for timing in version.get("timing", []):
        for field, hours in timing.items():
            if isinstance(hours, float) and hours.is_integer():
                timing[field] = int(hours)
    plain["version"] = {field: version[field] for field in _VERSION_ORDER if field in version}
    return {field: plain[field] for field in _ORDER if field in plain}
