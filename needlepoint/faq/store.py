"""Answers into the database and out of it again: load, export, approve, withdraw."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.faq.files import (
    EntryInFile,
    SourceInFile,
    TextInFile,
    Timing,
    TopicEntry,
    VersionInFile,
    Withdrawal,
    approved_words,
    content_hash,
    dump_topic,
    only_said,
    said_hash,
)
from needlepoint.faq.models import Entry, Publication, Version, VersionSource, VersionText, Wording, whole_entries
from needlepoint.faq.published import REVIEW_AFTER
from needlepoint.faq.signing import SignedLine, text_hash
from needlepoint.staff.activity import Activity, note_within
from needlepoint.staff.models import StaffMember, find
from needlepoint.staff.roles import ROLE_PERMISSIONS, Permission, roles_with


class FaqRefusedError(ValueError):
    """The answers cannot be changed like this; the message says why and what to do."""


#: Whose words an entry gets that was changed on both sides.
Side = Literal["keep", "overwrite"]


class Loaded(msgspec.Struct, frozen=True):
    """What `faq load` did, as entry ids; `approved` are those that took over an approval with unchanged words."""

    added: list[str]
    changed: list[str]
    unchanged: list[str]
    conflicts: list[str]
    approved: list[str] = []


class Conflict(msgspec.Struct, frozen=True):
    """An entry that was changed in the file and in the database since the last load."""

    entry_id: str
    #: What differs, as a unified diff from the database's words to the file's.
    diff: str


def load(
    engine: Engine,
    entries: list[TopicEntry],
    on_conflict: Side | Mapping[str, Side] | None = None,
    today: date | None = None,
) -> Loaded:
    """Bring the database up to the files, in one transaction. `today` is a day in the clinic's zone.

    An entry that was edited in the desk *and* changed in the file is a conflict. `on_conflict` settles all of them, or
    each by its entry id: "overwrite" takes the file's side, "keep" the database's, and is not asked about again before
    the file changes once more. With a conflict that is not settled nothing at all is written and the conflicts are
    returned.

    A withdrawal in the database stays, whatever the file says. An approval in a file is taken over where the database
    waits for one of just these words.
    """
    added: list[str] = []
    changed: list[str] = []
    unchanged: list[str] = []
    conflicts: list[str] = []
    approved: list[str] = []
    new: list[tuple[Version, VersionInFile]] = []
    with Session(engine) as session, session.begin():
        publication = publication_of(session)
        for position, item in enumerate(entries):
            entry = session.get(Entry, item.entry.id)
            in_file = content_hash(item.topic, item.entry)
            if entry is None:
                entry = _new_entry(item, position, in_file)
                session.add(entry)
                new.append((entry.versions[0], item.entry.version))
                added.append(item.entry.id)
                continue
            match _case(entry, item, in_file, on_conflict):
                case "same":
                    entry.position, entry.loaded_hash = position, in_file
                    took = _take_approvals(entry, item.entry.version)
                    (approved if took else unchanged).append(entry.id)
                case "edited":
                    unchanged.append(entry.id)
                case "keep":
                    entry.loaded_hash = in_file
                    unchanged.append(entry.id)
                case "overwrite":
                    if (version := _take(entry, item, position, in_file)) is not None:
                        new.append((version, item.entry.version))
                    changed.append(entry.id)
                case "conflict":
                    conflicts.append(entry.id)
        if conflicts:
            session.rollback()
            return Loaded([], [], [], conflicts)
        session.flush()  # sources first: the database takes no approved text without one
        for version, given in new:
            _write_texts(version, given, today or now().date())
        if added or changed or approved:
            publication.revision += 1
    return Loaded(added, changed, unchanged, conflicts, approved)


def _case(
    entry: Entry, item: TopicEntry, in_file: str, on_conflict: Side | Mapping[str, Side] | None
) -> Literal["same", "edited", "keep", "overwrite", "conflict"]:
    """What a load makes of an entry that both sides have; "edited" is one that only the desk has changed."""
    in_database = content_hash(entry.topic, _in_file(entry))
    if in_file == in_database:
        return "same"
    if in_file == entry.loaded_hash:
        return "edited"
    if in_database == entry.loaded_hash:
        return "overwrite"
    settled = on_conflict.get(entry.id) if isinstance(on_conflict, Mapping) else on_conflict
    return settled or "conflict"


def conflicts(engine: Engine, entries: list[TopicEntry]) -> list[Conflict]:
    """The entries that a load would have to ask about, with what differs. Changes nothing."""
    found = []
    with Session(engine.execution_options(**READS_ONLY)) as session:
        known = {entry.id: entry for entry in session.scalars(whole_entries())}
        for item in entries:
            entry = known.get(item.entry.id)
            if entry is None or _case(entry, item, content_hash(item.topic, item.entry), None) != "conflict":
                continue
            ours = _in_file(entry)
            lines = difflib.unified_diff(
                dump_topic(entry.topic, [only_said(ours, ours.version)]).splitlines(),
                dump_topic(item.topic, [only_said(item.entry, ours.version)]).splitlines(),
                f"{entry.id} in the database (version {ours.version.number})",
                f"{entry.id} in {item.file}:{item.line}",
                n=1,
                lineterm="",
            )
            found.append(Conflict(entry.id, "\n".join(lines)))
    return found


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
    if (withdrawn := item.entry.withdrawn) is not None:
        entry.withdrawn_at, entry.withdrawn_by = withdrawn.at, withdrawn.by
    entry.wordings = _wordings(item.entry)
    entry.versions = [_version(item.entry.version, item.entry.version.number)]
    return entry


def _take(entry: Entry, item: TopicEntry, position: int, loaded_hash: str) -> Version | None:
    """Make `entry` say what the file says; other words are a new version, still without texts, which is returned."""
    given = item.entry
    entry.topic, entry.position, entry.loaded_hash = item.topic, position, loaded_hash
    entry.treatments, entry.covers = list(given.treatments), given.covers
    entry.audience, entry.variant_group, entry.level = given.audience, given.variant_group, given.level
    kept = {(wording.language, wording.text): wording for wording in entry.wordings}
    entry.wordings = [kept.get((new.language, new.text), new) for new in _wordings(given)]
    for wording, new in zip(entry.wordings, _wordings(given), strict=True):
        wording.position = new.position
    newest = entry.versions[-1]
    if said_hash(_version_in_file(newest)) == said_hash(given.version):
        _take_approvals(entry, given.version)
        return None
    version = _version(given.version, max(newest.number + 1, given.version.number))
    entry.versions.append(version)
    return version


def _take_approvals(entry: Entry, given: VersionInFile) -> bool:
    """Take over what the file approves of the newest version, whose words it shares. Was there anything?"""
    newest = entry.versions[-1]
    taken = False
    for text in newest.texts:
        ours = given.texts[text.language]
        if text.state == "in_review" and ours.state == "approved" and _waited_here_too(text, ours):
            text.state, text.approver, text.waited_days = "approved", ours.approver, ours.waited_days
            text.approved_on, text.review_due = ours.approved_on, ours.review_due
            _retire_older(entry, newest, text.language)
            taken = True
    return taken


def _waited_here_too(text: VersionText, given: TextInFile) -> bool:
    """An author's approval counts here only if the waiting days passed since this database has the words."""
    if given.waited_days is None or given.approved_on is None:
        return True
    return (given.approved_on - text.recorded_on).days >= given.waited_days


def _retire_older(entry: Entry, version: Version, language: str) -> None:
    """What was approved before `version` in this language is no longer what the clinic says."""
    for other in entry.versions:
        for text in other.texts:
            if other.number < version.number and text.language == language and text.state == "approved":
                text.state = "retired"


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
    return version


def _write_texts(version: Version, given: VersionInFile, today: date) -> None:
    """Give a new version its texts; one that the file approves takes the place of what was approved before."""
    version.texts = [
        VersionText(
            language=language,
            recorded_on=today,
            **{
                **{field: getattr(text, field) for field in _STORED_OF_TEXT},
                "author": text.author or given.author,
            },
        )
        for language, text in given.texts.items()
    ]
    for text in version.texts:
        if text.state == "approved":
            _retire_older(version.entry, version, text.language)


def _in_file(entry: Entry, with_new_wordings: bool = False) -> EntryInFile:
    wordings: dict[str, list[str]] = {}
    for wording in entry.wordings:
        wordings.setdefault(wording.language, []).append(wording.text)
    for new in entry.versions[-1].new_wordings if with_new_wordings else []:
        if new["text"] not in wordings.setdefault(new["language"], []):
            wordings[new["language"]].append(new["text"])
    return msgspec.convert(
        {
            "id": entry.id,
            "covers": entry.covers,
            "treatments": entry.treatments,
            "level": entry.level,
            "variant_group": entry.variant_group,
            "audience": entry.audience,
            "withdrawn": Withdrawal(entry.withdrawn_at, entry.withdrawn_by or "-") if entry.withdrawn_at else None,
            "version": _version_in_file(entry.versions[-1]),
            "wordings": wordings,
        },
        EntryInFile,
    )


def _version_in_file(version: Version) -> VersionInFile:
    author = version.texts[0].author
    bare = VersionInFile(
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
                    **{field: getattr(text, field) for field in _STORED_OF_TEXT},
                    "author": None if text.author == author else text.author,
                },
                TextInFile,
            )
            for text in version.texts
        },
    )
    texts = {
        language: msgspec.structs.replace(text, approved_hash=approved_words(bare, language))
        if text.state == "approved"
        else text
        for language, text in bare.texts.items()
    }
    return msgspec.structs.replace(bare, texts=texts)


#: What the database keeps of a text; the hash of what was approved is computed from it.
_STORED_OF_TEXT = tuple(field for field in TextInFile.__struct_fields__ if field != "approved_hash")


def export(engine: Engine, folder: Path) -> list[Path]:
    """Write the database's answers as `<topic>.yml` into `folder`; returns the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    by_topic: dict[str, list[EntryInFile]] = {}
    with Session(engine) as session:
        for entry in session.scalars(whole_entries()):
            by_topic.setdefault(entry.topic, []).append(_in_file(entry))
    files = []
    for topic, entries in by_topic.items():
        file = folder / f"{topic}.yml"
        file.write_text(dump_topic(topic, entries), encoding="utf-8")
        files.append(file)
    return sorted(files)


def entries_as_filed(session: Session, file: Path) -> list[TopicEntry]:
    """Every entry with its newest version and what waits to be its wordings, as if read from `file`, in their order."""
    return [
        TopicEntry(entry.topic, _in_file(entry, with_new_wordings=True), file, 1)  # type: ignore[arg-type]
        for entry in session.scalars(whole_entries())
    ]


def publication_of(session: Session) -> Publication:
    """The one row of :class:`Publication`, locked until the transaction ends, so that changes of answers queue up."""
    row = session.scalar(select(Publication).with_for_update())
    if row is None:
        try:
            with session.begin_nested():
                session.add(Publication(id=1, revision=0))
        except IntegrityError:
            pass  # somebody else began at the same moment
        row = session.scalars(select(Publication).with_for_update()).one()
    return row


def note_change(session: Session, member: StaffMember, what: Activity, entry_id: str | None) -> None:
    """Put into the record who changed an answer (None: the whole assistant), in the very transaction of the change."""
    kind = "answer" if entry_id else "assistant"
    note_within(session.connection(), member.id, member.name, what, kind, entry_id or "-")


def must_be_allowed(session: Session, name: str, permission: Permission) -> StaffMember:
    """The member `name`, if they may do this; raises :class:`FaqRefusedError`."""
    member = find(session, name)
    if member is None or member.deactivated_at is not None:
        raise FaqRefusedError(f"there is no staff member `{name}`; add one with `needlepoint staff add`")
    if permission not in ROLE_PERMISSIONS[member.role]:
        raise FaqRefusedError(f"{name} is {member.role}; only {' and '.join(roles_with(permission))} may do this")
    return member


def approve(
    engine: Engine,
    entry_ids: list[str],
    staff: str,
    on: date,
    review_due: date | None = None,
    waiting_days: int = 0,
    versions: Mapping[str, int] | None = None,
) -> list[str]:
    """Approve the newest version of each entry, in every language that is in review; returns `entry vN language` each.

    `versions` names, by entry, the version that the approver read: a newer one is not approved in its place.
    `on` is today in the clinic's zone. With `waiting_days` (0: never) an author may approve own words that many days
    after they were written and came into this database, and the record says so. What was approved before in the
    same language is retired.

    Raises :class:`FaqRefusedError` for an unknown entry, a person who may not, nothing to approve, or one's own text;
    then nothing changes.
    """
    done = []
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.APPROVE_ANSWERS)
        publication = publication_of(session)
        for entry_id in entry_ids:
            entry = entry_of(session, entry_id)
            version = entry.versions[-1]
            if versions is not None and versions.get(entry_id) != version.number:
                raise FaqRefusedError(f"{entry_id}: version {version.number} is the newest now; read it first")
            ready = [text for text in version.texts if text.state in ("in_review", "approved")]
            if not ready:
                raise FaqRefusedError(f"{entry_id}: version {version.number} is not in review; send it to review first")
            for text in ready:
                _approve_text(entry, text, staff, on, review_due, waiting_days)
                done.append(f"{entry_id} v{version.number} {text.language}")
            entry.withdrawn_at = entry.withdrawn_by = None
            note_change(session, member, Activity.APPROVED_ANSWER, entry_id)
        publication.revision += 1
    return done


class Signed(msgspec.Struct, frozen=True):
    """What came of a signed list: `entry vN language` each, and a sentence for each line that was refused."""

    approved: list[str]
    refused: list[str]


def approve_signed(
    engine: Engine,
    lines: list[SignedLine],
    staff: str,
    on: date,
    review_due: date | None = None,
    waiting_days: int = 0,
    only_matching: bool = False,
) -> Signed:
    """Approve exactly what was signed: a line counts while version, words, windows and sources are those of the pack.

    If one line does not, nothing is approved, unless `only_matching`. Otherwise as :func:`approve`.
    """
    done, refused = [], []
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.APPROVE_ANSWERS)
        publication = publication_of(session)
        known = {entry.id: entry for entry in session.scalars(whole_entries())}
        for line in dict.fromkeys(lines):
            try:
                entry, text = _signed_text(known, line)
                _approve_text(entry, text, staff, on, review_due, waiting_days)
            except FaqRefusedError as error:
                refused.append(str(error))
                continue
            done.append((entry, f"{line.entry_id} v{line.version} {line.language}"))
        if refused and not only_matching:
            session.rollback()
            return Signed([], refused)
        for entry in dict.fromkeys(entry for entry, _ in done):
            entry.withdrawn_at = entry.withdrawn_by = None
            note_change(session, member, Activity.APPROVED_ANSWER, entry.id)
        if done:
            publication.revision += 1
        return Signed([name for _, name in done], refused)


def _signed_text(known: Mapping[str, Entry], line: SignedLine) -> tuple[Entry, VersionText]:
    """The text that a line names, if it still is what was signed; raises :class:`FaqRefusedError` with the mend."""
    what = f"{line.entry_id} {line.language} v{line.version}"
    again = "make a new pack with `needlepoint faq pack` and sign it there"
    entry = known.get(line.entry_id)
    if entry is None:
        raise FaqRefusedError(f"{what}: there is no such entry; remove the line")
    version = entry.versions[-1]
    if version.number != line.version:
        raise FaqRefusedError(f"{what}: version {version.number} is the newest now; {again}")
    text = next((text for text in version.texts if text.language == line.language), None)
    if text is None:
        raise FaqRefusedError(f"{what}: has no text in this language; remove the line")
    if text.state not in ("in_review", "approved"):
        raise FaqRefusedError(f"{what}: is {text.state}, not in review; send it to review, then {again}")
    if text_hash(entry, version, text) != line.content:
        withdrawn = ", or it was withdrawn," if entry.withdrawn_at else ""
        raise FaqRefusedError(f"{what}: is not what was signed (words, sources or times differ{withdrawn}); {again}")
    return entry, text


def _approve_text(
    entry: Entry, text: VersionText, staff: str, on: date, review_due: date | None, waiting_days: int
) -> None:
    """Approve one text in review, or renew its approval. Raises :class:`FaqRefusedError`; nothing is changed then."""
    version = text.version
    if not version.sources:
        raise FaqRefusedError(f"{entry.id}: version {version.number} has no source; write one with a source")
    coming = [one for one in version.new_wordings if one["language"] == text.language and text.state == "in_review"]
    waited = None
    if text.author == staff or any(one["by"] == staff for one in coming):
        wrote = "wrote this text" if text.author == staff else "proposed its new wordings"
        if waiting_days < 1:
            raise FaqRefusedError(
                f"{entry.id}: {staff} {wrote}; another person has to approve it (a clinic with one clinician "
                "may set NEEDLEPOINT_SINGLE_CLINICIAN_WAITING_DAYS)"
            )
        first = max(text.recorded_on, version.written_on) + timedelta(days=waiting_days)
        if on < first:
            raise FaqRefusedError(f"{entry.id}: {staff} {wrote} and may approve it from {first} on")
        waited = waiting_days if text.author == staff else None
    text.state, text.approver, text.approved_on, text.waited_days = "approved", staff, on, waited
    text.review_due = review_due or on + REVIEW_AFTER
    _retire_older(entry, version, text.language)
    known = [wording.text for wording in entry.wordings if wording.language == text.language]
    new = dict.fromkeys(one["text"] for one in coming if one["text"] not in known)
    entry.wordings += [
        Wording(language=text.language, position=len(known) + number, text=wording)
        for number, wording in enumerate(new)
    ]


def withdraw(engine: Engine, entry_ids: list[str], staff: str) -> None:
    """Stop giving these answers at once, whatever their state, until one is approved again."""
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.WITHDRAW_ANSWERS)
        publication = publication_of(session)
        for entry_id in entry_ids:
            entry = entry_of(session, entry_id)
            if entry.topic == "urgent":
                raise FaqRefusedError(f"{entry_id} is an urgent card; cards are always given and cannot be withdrawn")
            entry.withdrawn_at, entry.withdrawn_by = now(), staff
            note_change(session, member, Activity.WITHDREW_ANSWER, entry_id)
        publication.revision += 1


def resume(engine: Engine, entry_ids: list[str], staff: str) -> None:
    """Give withdrawn answers again, as far as they are approved and in date."""
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.WITHDRAW_ANSWERS)
        publication = publication_of(session)
        for entry_id in entry_ids:
            entry = entry_of(session, entry_id)
            entry.withdrawn_at = entry.withdrawn_by = None
            note_change(session, member, Activity.RESUMED_ANSWER, entry_id)
        publication.revision += 1


def withdraw_assistant(engine: Engine, staff: str, withdrawn: bool) -> None:
    """Stop (or resume) giving any answer but the urgent cards."""
    with Session(engine) as session, session.begin():
        member = must_be_allowed(session, staff, Permission.WITHDRAW_ANSWERS)
        publication_of(session)
        note_change(session, member, Activity.WITHDREW_ASSISTANT if withdrawn else Activity.RESUMED_ASSISTANT, None)
        session.execute(
            update(Publication).values(
                revision=Publication.revision + 1,
                withdrawn_at=now() if withdrawn else None,
                withdrawn_by=staff if withdrawn else None,
            )
        )


def entry_of(session: Session, entry_id: str) -> Entry:
    """The entry with this id; raises :class:`FaqRefusedError`."""
    entry = session.get(Entry, entry_id)
    if entry is None:
        raise FaqRefusedError(f"there is no entry `{entry_id}`; `needlepoint faq export` lists them")
    return entry
