"""Who wants to be called back, and how far that is."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotFoundException
from litestar.params import Body
from litestar.response import Redirect, Template
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import call_backs
from needlepoint.phrases import Phrases
from needlepoint.settings import Settings
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.permissions import Permission, needs


class StateForm(msgspec.Struct, frozen=True):
    """How far it is."""

    state: call_backs.State


class CallBacksController(Controller):
    """Numbers are shown to those who may write to people, and that they were shown is recorded."""

    path = "/staff/call-backs"
    include_in_schema = False

    @get("/", guards=[needs(Permission.REPLY_TO_PEOPLE)])
    async def requests(
        self, request: Request[Any, Any, Any], database: AsyncEngine, settings: Settings, phrases: Phrases
    ) -> Template:
        """Who waits, the longest first; below it who was called."""
        found = await call_backs.requests(database, settings.secret_key)
        for one in found:
            if one.number:
                await note(request, Activity.SAW_NUMBER, "conversation", one.conversation)
        context = {"requests": found, "zone": phrases.clinic.zone, "staff": request.scope["state"]["staff"]}
        return Template("call_backs.html", context=context)

    @post("/{call_back:int}", guards=[needs(Permission.REPLY_TO_PEOPLE)])
    async def change(
        self,
        call_back: int,
        request: Request[Any, Any, Any],
        data: Annotated[StateForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
    ) -> Redirect:
        """Note how far it is; done deletes the number."""
        await note(request, Activity.CHANGED_CALL_BACK, "call-back", call_back)
        by = request.scope["state"]["staff"].name
        if call_back >= 2**31 or not await call_backs.change(database, call_back, data.state, by):
            raise NotFoundException("This request is done, or was erased with its conversation.")
        return Redirect("/staff/call-backs", status_code=303)
