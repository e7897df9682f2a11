"""The staff's pages, and the route by which commands ask as staff."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.connection import ASGIConnection
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotAuthorizedException, NotFoundException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.params import Body
from litestar.response import Redirect, Template
from msgspec import Meta
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import record, staff_alerts
from needlepoint.conversations.models import ASKED_BY_STAFF
from needlepoint.conversations.reception import LONGEST_MESSAGE, Incoming, Received, Reception
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.phrases import Phrases
from needlepoint.settings import Settings
from needlepoint.staff import accounts, transcripts
from needlepoint.staff.accounts import AccountError, SignedIn
from needlepoint.staff.models import ROLES, StaffMember
from needlepoint.staff.notices import urgent_notice

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"

#: Seconds after which a signed-in session ends.
SESSION_SECONDS = 8 * 3600


class LoginForm(msgspec.Struct, frozen=True):
    """A sign-in."""

    name: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]


class WelcomeForm(msgspec.Struct, frozen=True):
    """The one-time link's form."""

    token: Annotated[str, Meta(max_length=200)]
    name: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]


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


async def member_of(connection: ASGIConnection[Any, Any, Any, Any]) -> SignedIn | None:
    """Who is signed in on this connection, checked against the database so that an ended session ends at once."""
    session = connection.session
    if not session or "staff" not in session or session_is_over(session, time.time()):
        return None
    database: AsyncEngine = connection.app.state.database
    async with database.execution_options(**READS_ONLY).connect() as reading:
        row = (
            await reading.execute(
                select(StaffMember.id, StaffMember.name, StaffMember.role, StaffMember.session_generation).where(
                    StaffMember.id == session["staff"]
                )
            )
        ).first()
    if row is None or row.session_generation != session.get("generation"):
        return None
    return SignedIn(*row)


def session_is_over(session: dict[str, Any], at: float) -> bool:
    """Did it begin too long ago, at `at` seconds since 1970? Each request renews the cookie, also of an idle page."""
    return not 0 <= at - session.get("since", 0) < SESSION_SECONDS


def at_least(role: str) -> Any:
    """A guard: lets pass who has `role` or a higher one."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        member = await member_of(connection)
        if member is None:
            raise NotAuthorizedException("please sign in")
        if ROLES.index(member.role) < ROLES.index(role):
            raise PermissionDeniedException(f"this needs the role {role}; you are {member.role}")
        connection.scope["state"]["staff"] = member
        # Read now, not once a second: who pressed the button must see that it counted.
        open_ones = await staff_alerts.nobody_acknowledged(connection.app.state.database)
        connection.scope["state"]["urgent"] = urgent_notice(open_ones, connection.app.state.zone, now())

    return guard


async def by_command(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard: lets commands pass that carry a staff token."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    settings: Settings = connection.app.state.settings
    if scheme.lower() != "bearer" or not accounts.command_token_is_good(settings.secret_key, token):
        raise NotAuthorizedException("a staff token is needed; `needlepoint staff token` makes one")


class SignInController(Controller):
    """Coming in and going out."""

    path = "/staff"
    include_in_schema = False

    @get("/login", sync_to_thread=False)
    def login_page(self) -> Template:
        """The form."""
        return Template("login.html", context={"error": None, "name": ""})

    @post("/login")
    async def login(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[LoginForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
    ) -> Template | Redirect:
        """Check name and password."""
        member = await asyncio.to_thread(accounts.check_password, sync_database, data.name, data.password)
        if member is None:
            context = {"error": "Name or password is wrong.", "name": data.name}
            return Template("login.html", context=context, status_code=401)
        return _enter(request, member)

    @get("/welcome")
    async def welcome_page(self, token: str, sync_database: Engine) -> Template:
        """Where the one-time link leads; opening it does not use it up."""
        good = await asyncio.to_thread(accounts.one_time_is_good, sync_database, token)
        error = None if good else "This link was used or has expired. Start Needlepoint again for a new one."
        return Template("welcome.html", context={"token": token if good else None, "error": error, "name": ""})

    @post("/welcome")
    async def welcome(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[WelcomeForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
    ) -> Template | Redirect:
        """Use the one-time link: name and password of the administrator."""
        try:
            member = await asyncio.to_thread(accounts.use_one_time, sync_database, data.token, data.name, data.password)
        except AccountError as error:
            context = {"token": data.token, "error": str(error), "name": data.name}
            return Template("welcome.html", context=context, status_code=400)
        return _enter(request, member)

    @post("/logout", sync_to_thread=False)
    def logout(self, request: Request[Any, Any, Any]) -> Redirect:
        """End this session."""
        request.clear_session()
        return Redirect("/staff/login", status_code=303)


def _enter(request: Request[Any, Any, Any], member: SignedIn) -> Redirect:
    request.set_session({"staff": member.id, "generation": member.generation, "since": time.time()})
    return Redirect("/staff", status_code=303)


class DeskController(Controller):
    """What staff read."""

    path = "/staff"
    include_in_schema = False

    @get("/", guards=[at_least("viewer")])
    async def conversations(
        self,
        request: Request[Any, Any, Any],
        database: AsyncEngine,
        phrases: Phrases,
        page: Annotated[int, Meta(ge=0, le=100_000)] = 0,
    ) -> Template:
        """The conversations, the latest first."""
        listed, more = await transcripts.conversations(database, phrases.clinic.zone, page)
        return Template(
            "conversations.html",
            context={
                "conversations": listed,
                "older": f"/staff?page={page + 1}" if more else None,
                "newer": f"/staff?page={page - 1}" if page else None,
                "staff": request.scope["state"]["staff"],
            },
        )

    @get("/conversations/{conversation:str}", guards=[at_least("viewer")])
    async def conversation(
        self, conversation: str, request: Request[Any, Any, Any], database: AsyncEngine, phrases: Phrases
    ) -> Template:
        """One conversation whole."""
        found = await transcripts.conversation(database, phrases.clinic.zone, conversation)
        if found is None:
            raise NotFoundException("There is no such conversation; it may have been erased.")
        view, turns = found
        return Template(
            "conversation.html",
            context={
                "conversation": view,
                "turns": turns,
                "messages": await staff_alerts.messages_of(database, conversation),
                "zone": phrases.clinic.zone,
                "staff": request.scope["state"]["staff"],
            },
        )


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
