"""What staff do with one conversation: findings, stepping in, giving out what is stored, erasing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import Body
from litestar.response import Redirect, Template
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import reviewing, stepping_in
from needlepoint.conversations.reception import LONGEST_MESSAGE, Reception
from needlepoint.conversations.record import UnknownConversationError
from needlepoint.conversations.reviewing import Finding, Severity
from needlepoint.conversations.stepping_in import TakenByOtherError
from needlepoint.db.base import now
from needlepoint.phrases import Phrases
from needlepoint.privacy.redaction import redact
from needlepoint.safety import clean_text
from needlepoint.settings import Settings
from needlepoint.staff import personal_data, transcript_page, transcripts
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.colleagues import who_is
from needlepoint.staff.permissions import Permission, needs

#: Tags of one finding, and characters of each.
MOST_TAGS, LONGEST_TAG = 10, 40

_GONE = "There is no such conversation; it may have been erased."


class FindingForm(msgspec.Struct, frozen=True):
    """What somebody found; an empty field says nothing. `message` is 0 for the conversation as a whole."""

    message: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    right_topic: Annotated[str, Meta(max_length=60)] = ""
    right_entry: Annotated[str, Meta(max_length=120)] = ""
    right_answer: Annotated[str, Meta(max_length=4000)] = ""
    missed_red_flag: Literal["", "yes"] = ""
    severity: Severity | Literal[""] = ""
    tags: Annotated[str, Meta(max_length=500)] = ""
    note: Annotated[str, Meta(max_length=4000)] = ""
    #: Number of the inbox's item to come back to, 0 for none.
    item: Annotated[int, Meta(ge=0, lt=2**31)] = 0


class WriteForm(msgspec.Struct, frozen=True):
    """A text for the person."""

    text: Annotated[str, Meta(max_length=LONGEST_MESSAGE * 2)] = ""
    item: Annotated[int, Meta(ge=0, lt=2**31)] = 0


class BackForm(msgspec.Struct, frozen=True):
    """Where to come back to."""

    item: Annotated[int, Meta(ge=0, lt=2**31)] = 0


class ExportForm(msgspec.Struct, frozen=True):
    """Masked unless it says `yes`."""

    whole: Literal["", "yes"] = ""


class EraseForm(msgspec.Struct, frozen=True):
    """Typed by hand, so that nobody erases by a slip."""

    word: Annotated[str, Meta(max_length=40)] = ""


class ConversationActions(Controller):
    """Each of these is recorded before it is done."""

    path = "/staff/conversations/{conversation:str}"
    include_in_schema = False

    @get("/news", guards=[needs(Permission.READ_CONVERSATIONS)])
    async def news(self, conversation: str, database: AsyncEngine) -> Response[dict[str, str]]:
        """Whether anything was said since, for a page that stays open; nothing of what was said."""
        stamp = await transcripts.current_stamp(database, conversation)
        if stamp is None:
            raise NotFoundException(_GONE)
        return Response({"stamp": stamp})

    @post("/findings", guards=[needs(Permission.REVIEW)])
    async def find(
        self,
        conversation: str,
        request: Request[Any, Any, Any],
        data: Annotated[FindingForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
        phrases: Phrases,
    ) -> Redirect:
        """Keep a finding."""
        finding = _finding(data, phrases.clinic.country)
        if finding == Finding(message=finding.message):
            raise ClientException("The form is empty; say at least one thing about this turn.")
        for activity in _activities(finding):
            await note(request, activity, "conversation", conversation)
        if not await reviewing.add_finding(database, conversation, finding, who_is(request), now()):
            raise NotFoundException(_GONE)
        return _back(conversation, data.item, f"message-{data.message}" if data.message else "whole")

    @post("/step-in", guards=[needs(Permission.REPLY_TO_PEOPLE)])
    async def step_in(
        self,
        conversation: str,
        request: Request[Any, Any, Any],
        data: Annotated[BackForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
        phrases: Phrases,
        reception: Reception,
    ) -> Redirect:
        """Answer in place of the assistant."""
        who = who_is(request)
        await note(request, Activity.TOOK_OVER, "conversation", conversation)
        try:
            await stepping_in.take(database, phrases, conversation, who.id, who.name)
        except (TakenByOtherError, UnknownConversationError) as error:
            raise _refused(error) from None
        reception.wake(conversation)
        return _back(conversation, data.item, "answering")

    @post("/write", guards=[needs(Permission.REPLY_TO_PEOPLE)])
    async def write(
        self,
        conversation: str,
        request: Request[Any, Any, Any],
        data: Annotated[WriteForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
        phrases: Phrases,
        reception: Reception,
    ) -> Redirect | Template:
        """Write to the person. What could not be sent is still in the form."""
        who = who_is(request)
        text = clean_text(data.text.replace("\r\n", "\n")).strip()
        if not text or len(text) > LONGEST_MESSAGE:
            said = "The message is empty." if not text else f"The message is longer than {LONGEST_MESSAGE} characters."
            return await transcript_page.show(request, database, phrases, conversation, error=said, unsent=text)
        await note(request, Activity.REPLIED, "conversation", conversation)
        try:
            await stepping_in.write(database, conversation, who.id, who.name, text)
        except TakenByOtherError as error:
            said = f"Not sent. {error}"
            return await transcript_page.show(request, database, phrases, conversation, error=said, unsent=text)
        except UnknownConversationError as error:
            raise _refused(error) from None
        reception.wake(conversation)
        return _back(conversation, data.item, "answering")

    @post("/give-back", guards=[needs(Permission.REPLY_TO_PEOPLE)])
    async def give_back(
        self,
        conversation: str,
        request: Request[Any, Any, Any],
        data: Annotated[BackForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
        phrases: Phrases,
        reception: Reception,
    ) -> Redirect:
        """Let the assistant answer again."""
        await note(request, Activity.GAVE_BACK, "conversation", conversation)
        try:
            await stepping_in.give_back(database, phrases, conversation, who_is(request).id)
        except (TakenByOtherError, UnknownConversationError) as error:
            raise _refused(error) from None
        reception.wake(conversation)
        return _back(conversation, data.item, "answering")

    @post("/export", guards=[needs(Permission.EXPORT_PERSON)], status_code=200)
    async def export(
        self,
        conversation: str,
        request: Request[Any, Any, Any],
        data: Annotated[ExportForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
        settings: Settings,
    ) -> Response[bytes]:
        """Everything that is stored of this conversation, as a file."""
        await note(request, Activity.EXPORTED, "conversation", conversation)
        found = await personal_data.export(database, settings.secret_key, conversation, data.whole == "yes")
        if found is None:
            raise NotFoundException(_GONE)
        name = f"conversation-{conversation}.json"
        return Response(
            msgspec.json.format(msgspec.json.encode(found), indent=2),
            media_type="application/json",
            headers={"content-disposition": f'attachment; filename="{name}"'},
        )

    @get("/erase", guards=[needs(Permission.ERASE_PERSON)])
    async def ask_to_erase(self, conversation: str, request: Request[Any, Any, Any], database: AsyncEngine) -> Template:
        """What erasing does, before it is done."""
        if await transcripts.current_stamp(database, conversation) is None:
            raise NotFoundException(_GONE)
        return _ask_to_erase(request, conversation)

    @post("/erase", guards=[needs(Permission.ERASE_PERSON)])
    async def erase(
        self,
        conversation: str,
        request: Request[Any, Any, Any],
        data: Annotated[EraseForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        reception: Reception,
    ) -> Redirect | Template:
        """Erase it, for good."""
        if data.word.strip().lower() != "erase":
            return _ask_to_erase(request, conversation, "Type the word erase to confirm.")
        await note(request, Activity.ERASED, "conversation", conversation)
        try:
            await reception.erase(conversation)
        except UnknownConversationError as error:
            raise _refused(error) from None
        return Redirect("/staff?erased=yes", status_code=303)


def _ask_to_erase(request: Request[Any, Any, Any], conversation: str, error: str | None = None) -> Template:
    context = {"conversation": conversation, "error": error, "staff": request.scope["state"]["staff"]}
    return Template("erase.html", context=context, status_code=400 if error else 200)


def _finding(data: FindingForm, country: str) -> Finding:
    topic, entry = data.right_topic.strip(), data.right_entry.strip()
    if topic and topic not in transcript_page.TOPICS:
        raise ClientException("There is no such topic; choose one of the list.")
    tags = list(dict.fromkeys(" ".join(tag.split())[:LONGEST_TAG] for tag in data.tags.split(",") if tag.strip()))
    return Finding(
        message=data.message or None,
        right_topic=topic or None,
        right_entry=entry or None,
        # What staff type can repeat what a patient wrote.
        right_answer=redact(clean_text(data.right_answer).strip(), country).text or None,
        missed_red_flag=data.missed_red_flag == "yes",
        severity=data.severity or None,
        tags=tags[:MOST_TAGS],
        note=redact(clean_text(data.note).strip(), country).text or None,
    )


def _activities(finding: Finding) -> list[Activity]:
    """What the record of who did what says about a finding."""
    corrected = finding.right_topic or finding.right_entry or finding.right_answer
    found = [Activity.CORRECTED_TOPIC] if corrected else []
    found += [Activity.REVIEWED_CONVERSATION] if finding.missed_red_flag or finding.severity else []
    found += [Activity.TAGGED] if finding.tags else []
    return found + ([Activity.WROTE_NOTE] if finding.note else [])


def _refused(error: Exception) -> ClientException:
    if isinstance(error, UnknownConversationError):
        return NotFoundException(_GONE)
    return ClientException(str(error), status_code=409)


def _back(conversation: str, item: int, to: str) -> Redirect:
    page = f"/staff/inbox/{item}" if item else f"/staff/conversations/{conversation}"
    return Redirect(f"{page}#{to}", status_code=303)
