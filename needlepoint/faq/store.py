"""Answers into the database and out of it again: load, export, approve, withdraw."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Engine, Select, select, update
from sqlalchemy.orm import Session, selectinload

from needlepoint.db.base import now
from needlepoint.faq.files import (
    EntryInFile,
    SourceInFile,
    TextInFile,
    Timing,
    TopicEntry,
    VersionInFile,
    content_hash,
    dump_topic,
    said_hash,
)
from needlepoint.faq.models import Entry, Publication, Version, VersionSource, VersionText, Wording
from needlepoint.staff.models import StaffMember, find

#: How long an approval lasts unless the approver says otherwise: HSE Ireland reviews health content every 3 years,
#: a procedure whose evidence is this young deserves it every year.
REVIEW_AFTER = timedelta(days=365)

MAY_APPROVE = ("approver", "admin")


class FaqRefusedError(ValueError):
    """The answers cannot be changed like this; the message says why and what to do."""


class Loaded(msgspec.Struct, frozen=True):
    """What `faq load` did, as entry ids."""

    added: list[str]
    changed: list[str]
    unchanged: list[str]
    conflicts: list[str]


def load(engine: Engine, entries: list[TopicEntry], on_conflict: Literal["keep", "overwrite"] | None = None) -> Loaded:
    """Bring the database up to the files, in one transaction.

    An entry that was edited in the desk *and* changed in the file is a conflict: with `on_conflict` None nothing at
    all is written and the conflicts are returned; "keep" leaves the database's side, "overwrite" takes the file's.
    """
    added, changed, unchanged, conflicts = [], [], [], []
    with Session(engine) as session, session.begin():
        publication = _publication(session)
        for position, item in enumerate(entries):
            entry = session.get(Entry, item.entry.id)
            in_file = content_hash(item.topic, item.entry)
            if entry is None:
                session.add(_new_entry(item, position, in_file))
                added.append(item.entry.id)
                continue
            in_database = content_hash(entry.topic, _in_file(entry))
            if in_file == in_database:
                entry.position, entry.loaded_hash = position, in_file
                unchanged.append(entry.id)
            elif in_file == entry.loaded_hash:
                unchanged.append(entry.id)
            elif in_database == entry.loaded_hash or on_conflict == "overwrite":
                _take(entry, item, position, in_file)
                changed.append(entry.id)
            else:
                conflicts.append(entry.id)
        if conflicts and on_conflict is None:
            session.rollback()
            return Loaded([], [], [], conflicts)
        if added or changed:
            publication.revision += 1
    return Loaded(added, changed, unchanged, conflicts)


def _new_entry(item: TopicEntry, position: int, loaded_hash: str) -> Entry:
    entry = Entry(
        id=item.entry.id,
        topic=item.topic,
        position=position,
        treatments=list(item.entry.treatments),
        covers=item.entry.covers,
        audience=item.entry.audience,
        variant_group=item.entry.variant_group,
        level=item.entry.level,
        loaded_hash=loaded_hash,
    )
    entry.wordings = _wordings(item.entry)
    entry.versions = [_version(item.entry.version, item.entry.version.number)]
    return entry


def _take(entry: Entry, item: TopicEntry, position: int, loaded_hash: str) -> None:
    """Make `entry` say what the file says; other words are a new version, the old ones stay on record."""
    given = item.entry
    entry.topic, entry.position, entry.loaded_hash = item.topic, position, loaded_hash
    entry.treatments, entry.covers = list(given.treatments), given.covers
    entry.audience, entry.variant_group, entry.level = given.audience, given.variant_group, given.level
    kept = {(wording.language, wording.text): wording for wording in entry.wordings}
    entry.wordings = [kept.get((new.language, new.text), new) for new in _wordings(given)]
    for wording, new in zip(entry.wordings, _wordings(given), strict=True):
        wording.position = new.position
    newest = entry.versions[-1]
    if said_hash(_version_in_file(newest)) != said_hash(given.version):
        entry.versions.append(_version(given.version, max(newest.number + 1, given.version.number)))


def _wordings(entry: EntryInFile) -> list[Wording]:
    return [
        Wording(language=language, position=position, text=text)
        for language, texts in entry.wordings.items()
        for position, text in enumerate(texts)
    ]


def _version(given: VersionInFile, number: int) -> Version:
    version = Version(
        number=number,
        written_on=given.written_on,
        starting_text=given.starting_text,
        timing=[msgspec.to_builtins(timing) for timing in given.timing],
        conditions=given.conditions,
        notes=given.notes,
    )
    version.sources = [
        VersionSource(position=position, **msgspec.structs.asdict(source))
        for position, source in enumerate(given.sources)
    ]
    version.texts = [
        VersionText(language=language, **{**msgspec.structs.asdict(text), "author": text.author or given.author})
        for language, text in given.texts.items()
    ]
    return version


def _in_file(entry: Entry) -> EntryInFile:
    wordings: dict[str, list[str]] = {}
    for wording in entry.wordings:
        wordings.setdefault(wording.language, []).append(wording.text)
    return msgspec.convert(
        {
            "id": entry.id,
            "covers": entry.covers,
            "treatments": entry.treatments,
            "level": entry.level,
            "variant_group": entry.variant_group,
            "audience": entry.audience,
            "version": _version_in_file(entry.versions[-1]),
            "wordings": wordings,
        },
        EntryInFile,
    )


def _version_in_file(version: Version) -> VersionInFile:
    author = version.texts[0].author
    return VersionInFile(
        number=version.number,
        author=author,
        written_on=version.written_on,
        starting_text=version.starting_text,
        timing=msgspec.convert(version.timing, list[Timing]),
        conditions=version.conditions,
        sources=[
            msgspec.convert({field: getattr(source, field) for field in SourceInFile.__struct_fields__}, SourceInFile)
            for source in version.sources
        ],
        notes=version.notes,
        texts={
            text.language: msgspec.convert(
                {
                    **{field: getattr(text, field) for field in TextInFile.__struct_fields__},
                    "author": None if text.author == author else text.author,
                },
                TextInFile,
            )
            for text in version.texts
        },
    )


def export(engine: Engine, folder: Path) -> list[Path]:
    """Write the database's answers as `<topic>.yml` into `folder`; returns the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    by_topic: dict[str, list[EntryInFile]] = {}
    with Session(engine) as session:
        for entry in session.scalars(_whole_entries()):
            by_topic.setdefault(entry.topic, []).append(_in_file(entry))
    files = []
    for topic, entries in by_topic.items():
        file = folder / f"{topic}.yml"
        file.write_text(dump_topic(topic, entries), encoding="utf-8")
        files.append(file)
    return sorted(files)


def _whole_entries() -> Select[Entry]:
    return (
        select(Entry)
        .order_by(Entry.position)
        .options(
            selectinload(Entry.wordings),
            selectinload(Entry.versions).selectinload(Version.texts),
            selectinload(Entry.versions).selectinload(Version.sources),
        )
    )


def _publication(session: Session) -> Publication:
    """The one row of :class:`Publication`, locked until the transaction ends, so that changes of answers queue up."""
    row = session.scalar(select(Publication).with_for_update())
    if row is None:
        row = Publication(id=1, revision=0)
        session.add(row)
    return row


def _approver(session: Session, name: str) -> StaffMember:
    member = find(session, name)
    if member is None:
        raise FaqRefusedError(f"there is no staff member `{name}`; add one with `needlepoint staff add`")
    if member.role not in MAY_APPROVE:
        raise FaqRefusedError(f"{name} is {member.role}; only {' and '.join(MAY_APPROVE)} may do this")
    return member


def approve(engine: Engine, entry_ids: list[str], staff: str, on: date, review_due: date | None = None) -> list[str]:
    """Approve the newest version of each entry, in every language it has; returns `entry vN language` for each text.

    Raises :class:`FaqRefusedError` for an unknown entry, a person who may not, or one's own text; then nothing changes.
    """
    done = []
    with Session(engine) as session, session.begin():
        _approver(session, staff)
        publication = _publication(session)
        for entry_id in entry_ids:
            entry = _entry(session, entry_id)
            version = entry.versions[-1]
            for text in version.texts:
                if text.author == staff:
                    raise FaqRefusedError(f"{entry_id}: {staff} wrote this text; another person has to approve it")
                text.state, text.approver, text.approved_on = "approved", staff, on
                text.review_due = review_due or on + REVIEW_AFTER
                done.append(f"{entry_id} v{version.number} {text.language}")
            entry.withdrawn_at = entry.withdrawn_by = None
        publication.revision += 1
    return done


def withdraw(engine: Engine, entry_ids: list[str], staff: str) -> None:
    """Stop giving these answers at once, whatever their state, until one is approved again."""
    with Session(engine) as session, session.begin():
        _approver(session, staff)
        publication = _publication(session)
        for entry_id in entry_ids:
            entry = _entry(session, entry_id)
            if entry.topic == "urgent":
                raise FaqRefusedError(f"{entry_id} is an urgent card; cards are always given and cannot be withdrawn")
            entry.withdrawn_at, entry.withdrawn_by = now(), staff
        publication.revision += 1


def withdraw_assistant(engine: Engine, staff: str, withdrawn: bool) -> None:
    """Stop (or resume) giving any answer but the urgent cards."""
    with Session(engine) as session, session.begin():
        _approver(session, staff)
        _publication(session)
        session.execute(
            update(Publication).values(
                revision=Publication.revision + 1,
                withdrawn_at=now() if withdrawn else None,
                withdrawn_by=staff if withdrawn else None,
            )
        )


def _entry(session: Session, entry_id: str) -> Entry:
    entry = session.get(Entry, entry_id)
    if entry is None:
        raise FaqRefusedError(f"there is no entry `{entry_id}`; `needlepoint faq export` lists them")
    return entry
