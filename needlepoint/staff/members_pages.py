"""The page on which administrators manage the staff."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect, Template
from msgspec import Meta
from sqlalchemy import Engine

from needlepoint.phrases import Phrases
from needlepoint.settings import Settings
from needlepoint.staff import members, second_factor
from needlepoint.staff.accounts import AccountError
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.models import ROLES
from needlepoint.staff.permissions import Permission, needs

_Word = Annotated[str, Meta(max_length=200)]


class InviteForm(msgspec.Struct, frozen=True):
    """A new member."""

    name: _Word
    role: _Word


class RoleForm(msgspec.Struct, frozen=True):
    """Another role."""

    role: _Word


class MembersController(Controller):
    """Who may sign in, and as what."""

    path = "/staff/people"
    include_in_schema = False
    guards = [needs(Permission.MANAGE_STAFF)]  # noqa: RUF012 - Litestar's own name

    @get("/")
    async def people(
        self, request: Request[Any, Any, Any], sync_database: Engine, settings: Settings, phrases: Phrases
    ) -> Template:
        """Everybody."""
        return await _page(request, sync_database, settings, phrases)

    @post("/")
    async def invite(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[InviteForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template:
        """Add somebody, and show the link by which they choose their password."""
        try:
            member, token = await asyncio.to_thread(members.invite, sync_database, data.name, data.role)
        except AccountError as error:
            return await _page(request, sync_database, settings, phrases, error=str(error), name=data.name)
        await note(request, Activity.ADDED_STAFF, "staff", member)
        return await _page(
            request, sync_database, settings, phrases, link=_link(request, settings, token), of=data.name
        )

    @post("/{member:int}/role")
    async def role(
        self,
        member: int,
        request: Request[Any, Any, Any],
        data: Annotated[RoleForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Change the role."""
        try:
            await asyncio.to_thread(members.change_role, sync_database, member, data.role)
        except AccountError as error:
            return await _page(request, sync_database, settings, phrases, error=str(error))
        await note(request, Activity.CHANGED_ROLE, "staff", member)
        return Redirect("/staff/people", status_code=303)

    @post("/{member:int}/reset")
    async def reset(
        self,
        member: int,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template:
        """Take password and second factor away, and show the link to choose new ones."""
        try:
            token = await asyncio.to_thread(members.reset, sync_database, member)
        except AccountError as error:
            return await _page(request, sync_database, settings, phrases, error=str(error))
        await note(request, Activity.RESET_SIGN_IN, "staff", member)
        return await _page(request, sync_database, settings, phrases, link=_link(request, settings, token), of=member)

    @post("/{member:int}/end-sessions")
    async def end_sessions(
        self,
        member: int,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Sign them out everywhere."""
        return await _change(request, sync_database, settings, phrases, member, Activity.ENDED_SESSIONS)

    @post("/{member:int}/deactivate")
    async def deactivate(
        self,
        member: int,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Keep them out."""
        return await _change(request, sync_database, settings, phrases, member, Activity.DEACTIVATED_STAFF)

    @post("/{member:int}/reactivate")
    async def reactivate(
        self,
        member: int,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
    ) -> Template | Redirect:
        """Let them in again."""
        return await _change(request, sync_database, settings, phrases, member, Activity.REACTIVATED_STAFF)


_CHANGES = {
    Activity.ENDED_SESSIONS: members.end_sessions,
    Activity.DEACTIVATED_STAFF: members.deactivate,
    Activity.REACTIVATED_STAFF: members.reactivate,
}


async def _change(
    request: Request[Any, Any, Any],
    engine: Engine,
    settings: Settings,
    phrases: Phrases,
    member: int,
    what: Activity,
) -> Template | Redirect:
    try:
        await asyncio.to_thread(_CHANGES[what], engine, member)
    except AccountError as error:
        return await _page(request, engine, settings, phrases, error=str(error))
    await note(request, what, "staff", member)
    return Redirect("/staff/people", status_code=303)


def _link(request: Request[Any, Any, Any], settings: Settings, token: str) -> str:
    base = settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    return f"{base}/staff/welcome?token={token}"


async def _page(
    request: Request[Any, Any, Any],
    engine: Engine,
    settings: Settings,
    phrases: Phrases,
    error: str | None = None,
    name: str = "",
    link: str | None = None,
    of: str | int | None = None,
) -> Template:
    """The page; `of` names whom the link is for, by name or id."""
    listed = await asyncio.to_thread(members.members, engine)
    for_whom = next((one.name for one in listed if one.id == of), of)
    context = {
        "members": listed,
        "roles": ROLES,
        "required": {role: second_factor.is_required(settings, role) for role in ROLES},
        "error": error,
        "name": name,
        "link": link,
        "for_whom": for_whom,
        "zone": phrases.clinic.zone,
        "staff": request.scope["state"]["staff"],
    }
    return Template("people.html", context=context, status_code=400 if error else 200)
