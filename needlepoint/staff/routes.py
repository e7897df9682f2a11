"""The staff's pages, and the route by which commands ask as staff."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers.base import BaseRouteHandler
from litestar.response import Template
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import record
from needlepoint.conversations.models import ASKED_BY_STAFF
from needlepoint.conversations.reception import LONGEST_MESSAGE, Incoming, Received, Reception
from needlepoint.phrases import Phrases
from needlepoint.settings import Settings
from needlepoint.staff import accounts, conversation_list, transcript_page
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.conversation_list import Filters
from needlepoint.staff.permissions import Permission, needs

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


class StaffQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question asked by a command; `at` is the moment it is about."""

    message_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    conversation: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    text: Annotated[str, Meta(max_length=LONGEST_MESSAGE)] | None = None
    choice: Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,64}$")] | None = None
    language: Annotated[str, Meta(pattern=r"^[a-z]{2}$")] | None = None
    at: datetime | None = None


class StaffAnswer(msgspec.Struct, frozen=True):
    """The whole outcome, with what only staff may see."""

    conversation: str
    received: Received


async def by_command(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard: lets commands pass that carry a staff token."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    settings: Settings = connection.app.state.settings
    if scheme.lower() != "bearer" or not accounts.command_token_is_good(settings.secret_key, token):
        raise NotAuthorizedException("a staff token is needed; `needlepoint staff token` makes one")


class DeskController(Controller):
    """What staff read."""

    path = "/staff"
    include_in_schema = False

    @get("/", guards=[needs(Permission.READ_CONVERSATIONS)])
    async def conversations(self, request: Request[Any, Any, Any], database: AsyncEngine, phrases: Phrases) -> Template:
        """The conversations that fit the filters, the latest first."""
        # Filters are read by hand, so that an address that somebody kept, or mistyped, still shows a list.
        given = {name: request.query_params.get(name, "")[:200] for name in Filters.__struct_fields__}
        filters = Filters(**given)
        if filters.words:
            await note(request, Activity.SEARCHED_CONVERSATIONS, "conversations", "by words")
        zone = phrases.clinic.zone
        after = request.query_params.get("after", "")[:200]
        found = await conversation_list.page(database, zone, filters, after)
        return Template(
            "conversations.html",
            context={
                "conversations": found.lines,
                "filters": filters,
                "facts": await conversation_list.known_facts(database),
                "older": filters.address(after=found.next) if found.next else None,
                "first_page": filters.address() if after else None,
                "erased": "erased" in request.query_params,
                "staff": request.scope["state"]["staff"],
            },
        )

    @get("/conversations/{conversation:str}", guards=[needs(Permission.READ_CONVERSATIONS)])
    async def conversation(
        self, conversation: str, request: Request[Any, Any, Any], database: AsyncEngine, phrases: Phrases
    ) -> Template:
        """One conversation whole."""
        return await transcript_page.show(request, database, phrases, conversation)


@post("/api/staff/ask", guards=[by_command], status_code=200, include_in_schema=False)
async def ask(data: StaffQuestion, database: AsyncEngine, reception: Reception, phrases: Phrases) -> StaffAnswer:
    """Ask through the live path and see everything; opens a conversation of channel `ask` where none is given."""
    language = phrases.language(data.language)
    # Whoever asks by command speaks for the clinic and has agreed by doing so.
    consent = "staff"
    conversation = data.conversation or await record.start(database, ASKED_BY_STAFF, language, consent)
    incoming = Incoming(
        conversation=conversation,
        client_id=data.message_id,
        consent=consent,
        language=language,
        channel=ASKED_BY_STAFF,
        text=data.text,
        choice=data.choice,
        at=data.at,
    )
    return StaffAnswer(conversation, await reception.receive(incoming))
