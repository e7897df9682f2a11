"""One answer at the desk: what it says, what it said, writing a draft, review, approval, withdrawal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, get_args

import msgspec
from litestar import Controller, Request, get, post
from litestar.exceptions import NotFoundException
from litestar.response import Redirect, Template
from msgspec import Meta
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from needlepoint.db.connect import READS_ONLY
from needlepoint.faq import editing, store
from needlepoint.faq.check import hard_to_read
from needlepoint.faq.editing import Piece, Words, compared
from needlepoint.faq.files import TextInFile
from needlepoint.faq.models import Entry, Version, VersionText
from needlepoint.faq.plain_language import read_terms
from needlepoint.faq.store import FaqRefusedError
from needlepoint.faq.trial import Kind, Trial
from needlepoint.language import guess_language
from needlepoint.phrases import Phrases
from needlepoint.reply import Source
from needlepoint.settings import Settings
from needlepoint.staff import conversation_list, unanswered
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.answer_preview import Preview, preview
from needlepoint.staff.permissions import ROLE_PERMISSIONS, Permission, needs

EntryId = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,60}$")]


class TextView(msgspec.Struct, frozen=True):
    """A version's words in one language, what changed since the one compared with, and what is hard to read in them."""

    language: str
    state: str
    author: str
    approver: str | None
    approved_on: date | None
    review_due: date | None
    words: Words
    changes: dict[str, list[Piece]]
    hard: list[str]


class VersionView(msgspec.Struct, frozen=True):
    """A version as the page shows it."""

    number: int
    written_on: date
    starting_text: bool
    states: list[str]


class EntryView(msgspec.Struct, frozen=True):
    """An entry as the page shows it: `shown` is the version to read, `against` the one it is compared with."""

    id: str
    topic: str
    level: str | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    versions: list[VersionView]
    shown: int
    against: int | None
    texts: list[TextView]
    sources: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    conditions: list[str]
    wordings: dict[str, list[str]]
    #: Further ways to ask that the shown version brings when it is approved, by language.
    new_wordings: dict[str, list[str]]
    #: How many conversations were given each version, by its number.
    given: dict[int, int]

    @property
    def newest(self) -> int:
        """Number of the newest version."""
        return self.versions[0].number

    def newest_is(self, state: str) -> bool:
        """Is the newest version, in any language, in this state?"""
        return state in self.versions[0].states


class AnswerController(Controller):
    """One answer. What may be done stands on each route; who may not approve own words is faq/store.py's rule."""

    path = "/staff/answers"
    include_in_schema = False

    @get("/{entry:str}", guards=[needs(Permission.READ_ANSWERS)])
    async def answer(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
        version: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None,
        against: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None,
    ) -> Template:
        """The answer in one version, compared with another: the one before it unless another is named."""
        return await _page(request, sync_database, settings, phrases, entry, version, against)

    @get("/{entry:str}/edit", guards=[needs(Permission.EDIT_ANSWERS)])
    async def edit_page(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
        message: Annotated[int, Meta(ge=1, le=2**53)] | None = None,
    ) -> Template:
        """The form, with the newest words; `message` is one that somebody wrote, proposed as a further way to ask."""
        view = await _view(sync_database, settings, entry, None, None)
        wordings = {text.language: view.new_wordings.get(text.language, []) for text in view.texts}
        proposed = None
        if message is not None:
            await note(request, Activity.READ_UNANSWERED, "message", message)
            proposed = await asyncio.to_thread(unanswered.said, sync_database, message)
            if proposed is not None:
                language = guess_language(proposed) or phrases.clinic.languages[0]
                of_language = wordings[language if language in wordings else next(iter(wordings))]
                of_language.append(" ".join(proposed.split())[: editing.LONGEST_WORDING])
        texts = {text.language: text.words for text in view.texts}
        return _form(request, phrases, view, Written(texts, wordings, view.newest), proposed=proposed)

    @post("/{entry:str}/preview", guards=[needs(Permission.EDIT_ANSWERS)], status_code=200)
    async def preview_page(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template:
        """The form again, with how its words would look; nothing is kept."""
        view = await _view(sync_database, settings, entry, None, None)
        return _form(request, phrases, view, _written(await request.form(), view))

    @post("/{entry:str}/edit", guards=[needs(Permission.EDIT_ANSWERS)])
    async def edit(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Keep the words as a draft; patients get nothing of it before somebody else approves it."""
        view = await _view(sync_database, settings, entry, None, None)
        given = _written(await request.form(), view)
        try:
            await asyncio.to_thread(
                editing.write_draft,
                sync_database,
                entry,
                given.texts,
                _name(request),
                _today(phrases),
                given.based_on,
                given.wordings,
            )
        except FaqRefusedError as error:
            return _form(request, phrases, view, given, str(error))
        return Redirect(f"/staff/answers/{entry}", status_code=303)

    @post("/{entry:str}/test", guards=[needs(Permission.EDIT_ANSWERS)], status_code=200)
    async def test(
        self, entry: EntryId, request: Request[Any, Any, Any], sync_database: Engine, settings: Settings
    ) -> Template:
        """TEST ALL: the newest version tried as if it were approved, beside what patients get."""
        view = await _view(sync_database, settings, entry, None, None)
        await note(request, Activity.TESTED_ANSWER, "answer", entry)
        trial: Trial = await request.app.state.try_draft(entry)
        lines = sorted(
            trial.lines,
            key=lambda line: (not line.worse, not line.takes_from, line.outcome == "right", line.today is None),
        )
        context = {
            "entry": view,
            "trial": trial,
            "lines": {kind: [line for line in lines if line.kind == kind] for kind in get_args(Kind)},
            "staff": request.scope["state"]["staff"],
        }
        return Template("answer_test.html", context=context)

    @post("/{entry:str}/submit", guards=[needs(Permission.EDIT_ANSWERS)])
    async def submit(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Send the draft to review."""
        return await _do(request, sync_database, settings, phrases, entry, editing.submit)

    @post("/{entry:str}/send-back", guards=[needs(Permission.EDIT_ANSWERS)])
    async def send_back(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Take it out of review again."""
        return await _do(request, sync_database, settings, phrases, entry, editing.send_back)

    @post("/{entry:str}/roll-back/{number:int}", guards=[needs(Permission.EDIT_ANSWERS)])
    async def roll_back(
        self,
        entry: EntryId,
        number: int,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """A new draft that says what an old version said."""

        def change(engine: Engine, entry_id: str, staff: str) -> object:
            return editing.roll_back(engine, entry_id, number, staff, _today(phrases))

        return await _do(request, sync_database, settings, phrases, entry, change)

    @post("/{entry:str}/approve/{number:int}", guards=[needs(Permission.APPROVE_ANSWERS)])
    async def approve(
        self,
        entry: EntryId,
        number: int,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Approve the version that was read, in every language."""

        def change(engine: Engine, entry_id: str, staff: str) -> object:
            waiting = settings.single_clinician_waiting_days
            return store.approve(engine, [entry_id], staff, _today(phrases), None, waiting, {entry_id: number})

        return await _do(request, sync_database, settings, phrases, entry, change)

    @post("/approve", guards=[needs(Permission.APPROVE_ANSWERS)])
    async def approve_many(
        self, request: Request[Any, Any, Any], sync_database: Engine, settings: Settings, phrases: Phrases
    ) -> Redirect:
        """Approve what was ticked in the list, all or nothing, each in the version that the list showed."""
        form = await request.form()
        versions: dict[str, int] = {}
        for one in form.getall("entry", []):
            entry_id, _, number = str(one).partition(":")
            versions[entry_id] = int(number) if number.isascii() and number.isdigit() else 0
        if not versions:
            return Redirect("/staff/answers?refused=none", status_code=303)
        waiting = settings.single_clinician_waiting_days
        await asyncio.to_thread(
            store.approve, sync_database, list(versions), _name(request), _today(phrases), None, waiting, versions
        )
        return Redirect("/staff/answers", status_code=303)

    @post("/{entry:str}/retire", guards=[needs(Permission.APPROVE_ANSWERS)])
    async def retire(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Stop it for good."""
        return await _do(request, sync_database, settings, phrases, entry, editing.retire)

    @post("/{entry:str}/withdraw", guards=[needs(Permission.WITHDRAW_ANSWERS)])
    async def withdraw(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Stop it at once."""

        def change(engine: Engine, entry_id: str, staff: str) -> None:
            store.withdraw(engine, [entry_id], staff)

        return await _do(request, sync_database, settings, phrases, entry, change)

    @post("/{entry:str}/resume", guards=[needs(Permission.WITHDRAW_ANSWERS)])
    async def resume(
        self,
        entry: EntryId,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Give it again."""

        def change(engine: Engine, entry_id: str, staff: str) -> None:
            store.resume(engine, [entry_id], staff)

        return await _do(request, sync_database, settings, phrases, entry, change)

    @post("/assistant/withdraw", guards=[needs(Permission.WITHDRAW_ANSWERS)])
    async def withdraw_assistant(self, request: Request[Any, Any, Any], sync_database: Engine) -> Redirect:
        """Stop every answer but the urgent cards."""
        await asyncio.to_thread(store.withdraw_assistant, sync_database, _name(request), withdrawn=True)
        return Redirect("/staff/answers", status_code=303)

    @post("/assistant/resume", guards=[needs(Permission.WITHDRAW_ANSWERS)])
    async def resume_assistant(self, request: Request[Any, Any, Any], sync_database: Engine) -> Redirect:
        """Give answers again."""
        await asyncio.to_thread(store.withdraw_assistant, sync_database, _name(request), withdrawn=False)
        return Redirect("/staff/answers", status_code=303)


async def _do(
    request: Request[Any, Any, Any],
    engine: Engine,
    settings: Settings,
    phrases: Phrases,
    entry: str,
    change: Callable[[Engine, str, str], object],
) -> Template | Redirect:
    """Make a change, which records itself; a refusal is shown on the answer's page."""
    try:
        await asyncio.to_thread(change, engine, entry, _name(request))
    except FaqRefusedError as error:
        return await _page(request, engine, settings, phrases, entry, None, None, str(error))
    return Redirect(f"/staff/answers/{entry}", status_code=303)


def _name(request: Request[Any, Any, Any]) -> str:
    return str(request.scope["state"]["staff"].name)


def _today(phrases: Phrases) -> date:
    return datetime.now(phrases.clinic.zone).date()


class Written(msgspec.Struct, frozen=True):
    """What stands in the form: words and further ways to ask, by language, and the version that the writer saw."""

    texts: dict[str, Words]
    wordings: dict[str, list[str]]
    based_on: int


def _written(form: Any, view: EntryView) -> Written:
    def field(name: str) -> str:
        value = form.get(name, "")
        return value.replace("\r\n", "\n").strip() if isinstance(value, str) else ""

    languages = [text.language for text in view.texts]
    number = field("based_on")
    return Written(
        {
            one: Words(field(f"question-{one}"), field(f"answer-{one}"), field(f"contact-{one}") or None)
            for one in languages
        },
        {one: [line for line in field(f"wordings-{one}").split("\n") if line.strip()] for one in languages},
        int(number) if number.isascii() and number.isdigit() and len(number) < 9 else 0,
    )


def _form(
    request: Request[Any, Any, Any],
    phrases: Phrases,
    view: EntryView,
    given: Written,
    error: str | None = None,
    proposed: str | None = None,
) -> Template:
    context = {
        "entry": view,
        "texts": given.texts,
        "wordings": given.wordings,
        "based_on": given.based_on,
        "previews": _previews(request, phrases, view, given.texts),
        "proposed": proposed,
        "error": error,
        "staff": request.scope["state"]["staff"],
    }
    return Template("answer_edit.html", context=context, status_code=400 if error else 200)


def _previews(
    request: Request[Any, Any, Any], phrases: Phrases, view: EntryView, texts: dict[str, Words]
) -> dict[str, Preview]:
    """By language, how these words look to people."""
    sources = msgspec.convert(view.sources, list[Source])
    return {
        language: preview(
            words, language, view.topic, view.level, sources, _today(phrases), phrases, request.app.state.as_in_telegram
        )
        for language, words in texts.items()
    }


async def _page(
    request: Request[Any, Any, Any],
    engine: Engine,
    settings: Settings,
    phrases: Phrases,
    entry: str,
    version: int | None,
    against: int | None,
    error: str | None = None,
) -> Template:
    member = request.scope["state"]["staff"]
    view = await _view(engine, settings, entry, version, against)
    may = ROLE_PERMISSIONS[member.role]
    context = {
        "entry": view,
        "previews": _previews(request, phrases, view, {text.language: text.words for text in view.texts}),
        "error": error,
        "may_edit": Permission.EDIT_ANSWERS in may,
        "may_approve": Permission.APPROVE_ANSWERS in may,
        "may_withdraw": Permission.WITHDRAW_ANSWERS in may,
        "zone": request.app.state.zone,
        "staff": member,
    }
    return Template("answer.html", context=context, status_code=400 if error else 200)


async def _view(
    engine: Engine, settings: Settings, entry_id: str, version: int | None, against: int | None
) -> EntryView:
    """Read the entry; raises NotFoundException for one that does not exist, or a version of it."""

    def read() -> EntryView:
        terms = read_terms(settings.data / "plain_terms.yml")
        with Session(engine.execution_options(**READS_ONLY)) as session:
            entry = session.get(Entry, entry_id)
            if entry is None:
                raise NotFoundException("There is no such answer.")
            try:
                shown = editing.version_of(entry, version) if version else entry.versions[-1]
                before = [one for one in entry.versions if one.number < shown.number]
                other = editing.version_of(entry, against) if against else (before[-1] if before else None)
            except FaqRefusedError as error:
                raise NotFoundException(f"{error}.") from None
            wordings: dict[str, list[str]] = {}
            for wording in entry.wordings:
                wordings.setdefault(wording.language, []).append(wording.text)
            new_wordings: dict[str, list[str]] = {}
            for new in editing.waiting_wordings(shown):
                new_wordings.setdefault(new["language"], []).append(new["text"])
            return EntryView(
                id=entry.id,
                topic=entry.topic,
                level=entry.level,
                withdrawn_at=entry.withdrawn_at,
                withdrawn_by=entry.withdrawn_by,
                versions=[
                    VersionView(
                        one.number, one.written_on, one.starting_text, sorted({text.state for text in one.texts})
                    )
                    for one in reversed(entry.versions)
                ],
                shown=shown.number,
                against=other.number if other else None,
                texts=[_text(text, other, terms) for text in shown.texts],
                sources=[{"name": one.name, "url": one.url, "grade": one.grade} for one in shown.sources],
                timing=shown.timing,
                conditions=shown.conditions,
                wordings=wordings,
                new_wordings=new_wordings,
                given=conversation_list.given_versions(
                    session.connection(), entry.id, [one.number for one in entry.versions]
                ),
            )

    return await asyncio.to_thread(read)


def _text(text: VersionText, other: Version | None, terms: list[str]) -> TextView:
    old = next((one for one in other.texts if one.language == text.language), None) if other else None
    words = Words(text.question, text.answer, text.when_to_contact)
    changes = {}
    if old is not None:
        for field in ("question", "answer", "when_to_contact"):
            before, after = getattr(old, field) or "", getattr(text, field) or ""
            if before != after:
                changes[field] = compared(before, after)
    as_file = TextInFile(text.question, text.answer, text.when_to_contact)
    return TextView(
        text.language,
        text.state,
        text.author,
        text.approver,
        text.approved_on,
        text.review_due,
        words,
        changes,
        hard_to_read(as_file, text.language, terms),
    )
