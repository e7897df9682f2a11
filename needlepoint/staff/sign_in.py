"""Coming in and going out: password, second factor, the one-time link."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect, Template
from msgspec import Meta
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.db.base import now
from needlepoint.settings import Settings
from needlepoint.staff import accounts, members, second_factor, sign_in_limits
from needlepoint.staff.accounts import AccountError, SignedIn
from needlepoint.staff.activity import Activity, note, note_by
from needlepoint.staff.navigation import landing
from needlepoint.staff.permissions import member_of

#: Seconds between the password and the code.
CODE_WITHIN = 300
#: Where an attempt stands in the record whose name is no account: what was typed there may be a password.
NOBODY = "(no such account)"


class LoginForm(msgspec.Struct, frozen=True):
    """A sign-in."""

    name: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]


class CodeForm(msgspec.Struct, frozen=True):
    """A code of the authenticator app, or a recovery code."""

    code: Annotated[str, Meta(max_length=60)]


class WelcomeForm(msgspec.Struct, frozen=True):
    """The one-time link's form; a member's link needs no name."""

    token: Annotated[str, Meta(max_length=200)]
    password: Annotated[str, Meta(max_length=1000)]
    name: Annotated[str, Meta(max_length=200)] = ""


class SignInController(Controller):
    """Coming in and going out. Open to everybody, limited by address and by account."""

    path = "/staff"
    include_in_schema = False

    @get("/login", sync_to_thread=False)
    def login_page(self, left: str = "", ended: str = "") -> Template:
        """The form, and why one sees it: signed out (`left`), or after a session that is over (`ended`)."""
        return Template("login.html", context={"error": None, "name": "", "left": left, "ended": ended})

    @post("/login")
    async def login(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[LoginForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        database: AsyncEngine,
    ) -> Template | Redirect:
        """Check name and password."""
        account, address = sign_in_limits.account_key(data.name), sign_in_limits.address_of(request)
        wait = await asyncio.to_thread(sign_in_limits.attempt, sync_database, account, address, now())
        if wait:
            return Template("login.html", context={"error": _wait(wait), "name": data.name}, status_code=429)
        member = await asyncio.to_thread(accounts.check_password, sync_database, data.name, data.password)
        if member is None:
            known = await asyncio.to_thread(accounts.known, sync_database, data.name)
            member_id, known_name = (known.id, known.name) if known else (None, NOBODY)
            await note_by(database, member_id, known_name, Activity.SIGN_IN_REFUSED, "staff", member_id or "-")
            context = {"error": "Name or password is wrong.", "name": data.name}
            return Template("login.html", context=context, status_code=401)
        await asyncio.to_thread(sign_in_limits.succeeded, sync_database, account, address)
        if member.second_factor:
            request.set_session({"half": member.id, "generation": member.generation, "half_since": time.time()})
            return Redirect("/staff/login/code", status_code=303)
        return await enter(request, member, sync_database)

    @get("/login/code", sync_to_thread=False)
    def code_page(self, request: Request[Any, Any, Any]) -> Template | Redirect:
        """Where the code is asked for, after the password."""
        if _half(request) is None:
            return Redirect("/staff/login", status_code=303)
        return Template("login_code.html", context={"error": None})

    @post("/login/code")
    async def code(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[CodeForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        database: AsyncEngine,
        settings: Settings,
    ) -> Template | Redirect:
        """Check the code, which then never works again."""
        half = _half(request)
        member = None if half is None else await asyncio.to_thread(accounts.by_id, sync_database, half)
        if half is None or member is None or member.generation != request.session.get("generation"):
            return Redirect("/staff/login", status_code=303)
        key, address = sign_in_limits.code_key(half), sign_in_limits.address_of(request)
        wait = await asyncio.to_thread(sign_in_limits.attempt, sync_database, key, address, now())
        if wait:
            return Template("login_code.html", context={"error": _wait(wait)}, status_code=429)
        used = await asyncio.to_thread(second_factor.use, sync_database, settings.secret_key, half, data.code)
        if used is None:
            await note_by(database, member.id, member.name, Activity.SIGN_IN_REFUSED, "staff", member.id)
            error = "This code is wrong or was used already. Wait for the next one."
            return Template("login_code.html", context={"error": error}, status_code=401)
        await asyncio.to_thread(sign_in_limits.succeeded, sync_database, key, address)
        if used == "recovery":
            await note_by(database, member.id, member.name, Activity.USED_RECOVERY_CODE, "staff", member.id)
        return await enter(request, member, sync_database)

    @get("/welcome")
    async def welcome_page(self, token: Annotated[str, Meta(max_length=200)], sync_database: Engine) -> Template:
        """Where a one-time link leads; opening it does not use it up."""
        found = await asyncio.to_thread(accounts.one_time, sync_database, token)
        error = None if found else "This link was used or has expired. Ask an administrator for a new one."
        context = {"token": token if found else None, "error": error, "name": "", "invited": found and found.name}
        return Template("welcome.html", context=context)

    @post("/welcome")
    async def welcome(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[WelcomeForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        database: AsyncEngine,
    ) -> Template | Redirect:
        """Use the one-time link: choose a password."""
        try:
            member = await asyncio.to_thread(accounts.use_one_time, sync_database, data.token, data.name, data.password)
        except AccountError as error:
            found = await asyncio.to_thread(accounts.one_time, sync_database, data.token)
            context = {"token": data.token, "error": str(error), "name": data.name, "invited": found and found.name}
            return Template("welcome.html", context=context, status_code=400)
        await note_by(database, member.id, member.name, Activity.CHANGED_PASSWORD, "staff", member.id)
        if member.second_factor:
            request.set_session({"half": member.id, "generation": member.generation, "half_since": time.time()})
            return Redirect("/staff/login/code", status_code=303)
        return await enter(request, member, sync_database)

    @post("/logout")
    async def logout(self, request: Request[Any, Any, Any], sync_database: Engine) -> Redirect:
        """End this member's sessions, on the server: a copied cookie is worth nothing afterwards."""
        if (member := await member_of(request)) is not None:
            request.scope["state"]["staff"] = member
            await note(request, Activity.SIGNED_OUT, "staff", member.id)
            await asyncio.to_thread(members.end_sessions, sync_database, member.id)
        request.clear_session()
        return Redirect("/staff/login?left=yes", status_code=303)


async def enter(request: Request[Any, Any, Any], member: SignedIn, engine: Engine) -> Redirect:
    """Begin a session and record it."""
    await asyncio.to_thread(accounts.note_sign_in, engine, member)
    await note_by(request.app.state.database, member.id, member.name, Activity.SIGNED_IN, "staff", member.id)
    at = time.time()
    request.set_session({"staff": member.id, "generation": member.generation, "since": at, "seen": at})
    return Redirect(landing(member), status_code=303)


def _half(request: Request[Any, Any, Any]) -> int | None:
    """The member who gave the password a moment ago."""
    session = request.session
    if "half" not in session or not 0 <= time.time() - session.get("half_since", 0) < CODE_WITHIN:
        return None
    return int(session["half"])


def _wait(seconds: int) -> str:
    return f"Too many wrong attempts. Please try again in {seconds} second{'s' if seconds != 1 else ''}."
