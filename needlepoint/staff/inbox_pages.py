"""The inbox: queues that fill themselves, and working through one of them by keyboard."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import Body
from litestar.response import Redirect, Template
from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import call_backs, reviewing
from needlepoint.conversations.models import Conversation, Message
from needlepoint.conversations.reviewing import Item, NotYoursError
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.phrases import Phrases
from needlepoint.staff import transcript_page
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.colleagues import who_is, who_may
from needlepoint.staff.permissions import ROLE_PERMISSIONS, Permission, needs
from needlepoint.staff.queue_names import QUEUES

#: Items of a queue that the page lists.
MOST_LISTED = 50

QueueName = Literal[
    "urgent", "missed", "person", "failure", "thumbs_down", "declined", "rephrased", "clarified", "sample"
]

Until = Literal["hour", "tomorrow", "week"]


class NextForm(msgspec.Struct, frozen=True):
    """The queue to go on with."""

    queue: QueueName


class DoneForm(msgspec.Struct, frozen=True):
    """How much of it was seen, and where to go on: with the next item, or in the list."""

    times: Annotated[int, Meta(ge=0, lt=2**31)]
    back: Literal["next", "list"] = "next"


class SnoozeForm(msgspec.Struct, frozen=True):
    """Until when."""

    until: Until = "tomorrow"
    back: Literal["next", "list"] = "next"


class AssignForm(msgspec.Struct, frozen=True):
    """To whom, by number; 0 for whoever comes."""

    to: Annotated[int, Meta(ge=0, lt=2**31)]


class InboxController(Controller):
    """Everybody who reads conversations sees the queues; reviewers and above work on them."""

    path = "/staff/inbox"
    include_in_schema = False

    @get("/", guards=[needs(Permission.READ_CONVERSATIONS)])
    async def inbox(
        self,
        request: Request[Any, Any, Any],
        database: AsyncEngine,
        phrases: Phrases,
        queue: str = "",
        done: str = "",
    ) -> Template:
        """The queues, and one of them: the first that is not empty unless another is asked for."""
        context = await _lists(request, database, phrases, queue)
        await note(request, Activity.READ_INBOX, "queue", context["queue"])
        return Template("inbox.html", context={**context, "emptied": done in QUEUES and QUEUES[done][0]})

    @get("/news", guards=[needs(Permission.READ_CONVERSATIONS)])
    async def news(
        self, request: Request[Any, Any, Any], database: AsyncEngine, phrases: Phrases, queue: str = ""
    ) -> Template:
        """The same without the frame, for a page that stays open."""
        return Template("inbox_lists.html", context=await _lists(request, database, phrases, queue))

    @post("/next", guards=[needs(Permission.REVIEW)])
    async def next(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[NextForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
    ) -> Redirect:
        """Take the oldest free item of a queue."""
        return await _go_on(request, database, data.queue)

    @get("/{item_id:int}", guards=[needs(Permission.READ_CONVERSATIONS)])
    async def item(
        self, item_id: int, request: Request[Any, Any, Any], database: AsyncEngine, phrases: Phrases
    ) -> Template:
        """One item with its conversation."""
        found = await _item(database, item_id)
        name, about = QUEUES[found.queue]
        context = {
            "item": found,
            "queue_name": name,
            "queue_about": about,
            "now": now(),
            "mine": found.held_by_id == request.scope["state"]["staff"].id,
            "may_act": Permission.REVIEW in ROLE_PERMISSIONS[request.scope["state"]["staff"].role],
            "reviewers": await who_may(database, Permission.REVIEW),
            "zone": phrases.clinic.zone,
        }
        if found.conversation is None:
            return Template("inbox_item.html", context={**context, "staff": request.scope["state"]["staff"]})
        return await transcript_page.show(request, database, phrases, found.conversation, context)

    @post("/{item_id:int}/open", guards=[needs(Permission.REVIEW)])
    async def open(self, item_id: int, request: Request[Any, Any, Any], database: AsyncEngine) -> Redirect:
        """Take an item; where somebody else has it, the page says who."""
        who = who_is(request)
        await reviewing.let_go(database, who)
        try:
            await reviewing.take(database, item_id, who, now())
        except NotYoursError:
            await _item(database, item_id)
        return Redirect(f"/staff/inbox/{item_id}", status_code=303)

    @post("/{item_id:int}/renew", guards=[needs(Permission.REVIEW)], status_code=200)
    async def renew(
        self, item_id: int, request: Request[Any, Any, Any], database: AsyncEngine
    ) -> Response[dict[str, bool]]:
        """Keep an item a while longer, for a page that stays open."""
        found = await reviewing.item(database, item_id, now())
        mine = found is not None and found.held_by_id == request.scope["state"]["staff"].id
        if mine:
            try:
                await reviewing.take(database, item_id, who_is(request), now())
            except NotYoursError:
                mine = False
        return Response({"yours": mine})

    @post("/{item_id:int}/leave", guards=[needs(Permission.REVIEW)])
    async def leave(self, item_id: int, request: Request[Any, Any, Any], database: AsyncEngine) -> Redirect:
        """Give an item up."""
        found = await _item(database, item_id)
        await reviewing.let_go(database, who_is(request))
        return Redirect(f"/staff/inbox?queue={found.queue}", status_code=303)

    @post("/{item_id:int}/done", guards=[needs(Permission.REVIEW)])
    async def done(
        self,
        item_id: int,
        request: Request[Any, Any, Any],
        data: Annotated[DoneForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
    ) -> Redirect:
        """Be done with it, and go on with the next one."""
        found = await _item(database, item_id)
        await note(request, Activity.MARKED_DONE, "inbox item", item_id)
        if found.pressing:
            await note(request, Activity.ACKNOWLEDGED_URGENT, "inbox item", item_id)
        try:
            await reviewing.finish(database, item_id, data.times, who_is(request), now())
        except NotYoursError as error:
            raise ClientException(str(error), status_code=409) from None
        return await _onward(request, database, found, data.back)

    @post("/{item_id:int}/snooze", guards=[needs(Permission.REVIEW)])
    async def snooze(
        self,
        item_id: int,
        request: Request[Any, Any, Any],
        data: Annotated[SnoozeForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
        phrases: Phrases,
    ) -> Redirect:
        """Put it off."""
        found = await _item(database, item_id)
        if found.pressing:
            raise ClientException("Nobody has acknowledged this urgent message yet; it cannot be put off.")
        await note(request, Activity.SNOOZED, "inbox item", item_id)
        at = now()
        try:
            until = _until(data.until, at.astimezone(phrases.clinic.zone))
            await reviewing.snooze(database, item_id, until, who_is(request), at)
        except NotYoursError as error:
            raise ClientException(str(error), status_code=409) from None
        return await _onward(request, database, found, data.back)

    @post("/{item_id:int}/assign", guards=[needs(Permission.REVIEW)])
    async def assign(
        self,
        item_id: int,
        request: Request[Any, Any, Any],
        data: Annotated[AssignForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
    ) -> Redirect:
        """Leave it to somebody."""
        found = await _item(database, item_id)
        to = None
        if data.to:
            to = next((one for one in await who_may(database, Permission.REVIEW) if one.id == data.to), None)
            if to is None:
                raise NotFoundException("There is no such member of staff who may review.")
        await note(request, Activity.ASSIGNED, "inbox item", item_id)
        try:
            await reviewing.assign(database, item_id, to, who_is(request), now())
        except NotYoursError as error:
            raise ClientException(str(error), status_code=409) from None
        if to is not None and to.id != request.scope["state"]["staff"].id:
            return await _go_on(request, database, found.queue, but=item_id)
        return Redirect(f"/staff/inbox/{item_id}", status_code=303)


async def _item(database: AsyncEngine, item_id: int) -> Item:
    found = await reviewing.item(database, item_id, now()) if item_id < 2**31 else None
    if found is None:
        raise NotFoundException("There is no such item any more; its conversation may have been erased.")
    return found


async def _onward(request: Request[Any, Any, Any], database: AsyncEngine, found: Item, back: str) -> Redirect:
    if back == "list":
        return Redirect(f"/staff/inbox?queue={found.queue}", status_code=303)
    return await _go_on(request, database, found.queue)


async def _go_on(request: Request[Any, Any, Any], database: AsyncEngine, queue: str, but: int = 0) -> Redirect:
    following = await reviewing.take_next(database, queue, who_is(request), now(), [but] if but else [])
    if following is None:
        return Redirect(f"/staff/inbox?done={queue}", status_code=303)
    return Redirect(f"/staff/inbox/{following}", status_code=303)


def _until(asked: Until, local: datetime) -> datetime:
    """The moment of the clinic's zone until which something is put off; mornings begin at eight."""
    if asked == "hour":
        return local + timedelta(hours=1)
    days = 1 if asked == "tomorrow" else 7
    return datetime.combine(local.date() + timedelta(days=days), time(8), local.tzinfo)


class Waiting(msgspec.Struct, frozen=True):
    """A conversation with a person of the clinic, or one that waits for one."""

    id: str
    taken_by_id: int | None
    taken_by: str | None
    answer_by: datetime | None
    channel: str
    language: str
    #: What the person wrote last, masked.
    said: str | None


async def _lists(
    request: Request[Any, Any, Any], database: AsyncEngine, phrases: Phrases, asked: str
) -> dict[str, Any]:
    at = now()
    queues = await reviewing.queues(database, at)
    first = next((one.name for one in queues if one.count), "urgent")
    queue = asked if asked in QUEUES else first
    said = select(Message.text).where(Message.conversation_id == Conversation.id).order_by(Message.seq.desc()).limit(1)
    waits = select(
        Conversation.id,
        Conversation.taken_by_id,
        Conversation.taken_by,
        Conversation.answer_by,
        Conversation.channel,
        Conversation.language,
        said.scalar_subquery(),
    ).where((Conversation.taken_by_id.is_not(None)) | (Conversation.answer_by.is_not(None)))
    async with database.execution_options(**READS_ONLY).connect() as connection:
        talks = [Waiting(*row) for row in await connection.execute(waits.order_by(Conversation.answer_by).limit(20))]
    items = await reviewing.waiting(database, queue, at, MOST_LISTED + 1)
    staff = request.scope["state"]["staff"]
    return {
        "queues": queues,
        "names": QUEUES,
        "queue": queue,
        "items": items[:MOST_LISTED],
        "more": len(items) > MOST_LISTED,
        "snoozed": await reviewing.snoozed(database, queue, at, MOST_LISTED),
        "talks": talks,
        "call_backs": await call_backs.count_waiting(database),
        "now": at,
        "zone": phrases.clinic.zone,
        "staff": staff,
        "may_act": Permission.REVIEW in ROLE_PERMISSIONS[staff.role],
        "may_reply": Permission.REPLY_TO_PEOPLE in ROLE_PERMISSIONS[staff.role],
    }
