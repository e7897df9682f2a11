"""One's own account: password and second factor."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body
from litestar.response import Redirect, Template
from markupsafe import Markup
from msgspec import Meta
from sqlalchemy import Engine

from needlepoint.db.base import now
from needlepoint.settings import Settings
from needlepoint.staff import accounts, second_factor, sign_in_limits
from needlepoint.staff.accounts import AccountError, SignedIn
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.permissions import signed_in

_Word = Annotated[str, Meta(max_length=1000)]


class PasswordForm(msgspec.Struct, frozen=True):
    """A new password, and the present one."""

    old: _Word
    new: _Word


class ConfirmForm(msgspec.Struct, frozen=True):
    """The first code of the authenticator app."""

    code: Annotated[str, Meta(max_length=60)]


class ReplaceForm(msgspec.Struct, frozen=True):
    """The password, before the second factor is taken off."""

    password: _Word


class AccountController(Controller):
    """For everybody who is signed in, whatever the role, also before a second factor is set up."""

    path = "/staff/account"
    include_in_schema = False
    guards = [signed_in]  # noqa: RUF012 - Litestar's own name

    @get("/")
    async def account(self, request: Request[Any, Any, Any], settings: Settings) -> Template:
        """What one can change."""
        return _page(request, settings)

    @post("/password")
    async def password(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[PasswordForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        settings: Settings,
    ) -> Template:
        """Change the password; other sessions end."""
        member = _member(request)
        if wait := await _attempt(request, sync_database, member):
            return _page(request, settings, password_error=wait, status_code=429)
        try:
            changed = await asyncio.to_thread(accounts.change_password, sync_database, member, data.old, data.new)
        except AccountError as error:
            return _page(request, settings, password_error=str(error), status_code=400)
        await _succeeded(request, sync_database, member)
        await note(request, Activity.CHANGED_PASSWORD, "staff", member.id)
        _go_on(request, changed)
        return _page(request, settings, done="Your password is changed. Everywhere else you are signed out.")

    @get("/second-factor")
    async def second_factor_page(
        self, request: Request[Any, Any, Any], sync_database: Engine, settings: Settings
    ) -> Template | Redirect:
        """The secret to scan, until the first code was entered."""
        return await self._set_up(request, sync_database, settings, None)

    @post("/second-factor")
    async def confirm(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[ConfirmForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        settings: Settings,
    ) -> Template | Redirect:
        """The first code puts it in force, and shows the recovery codes once."""
        member = _member(request)
        codes = await asyncio.to_thread(second_factor.confirm, sync_database, settings.secret_key, member.id, data.code)
        if codes is None:
            error = "This code is not right. Take the one that the app shows now, and check the phone's clock."
            return await self._set_up(request, sync_database, settings, error)
        await note(request, Activity.SET_UP_SECOND_FACTOR, "staff", member.id)
        return Template("recovery_codes.html", context={"codes": codes, "staff": member})

    @post("/second-factor/replace")
    async def replace(
        self,
        request: Request[Any, Any, Any],
        data: Annotated[ReplaceForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        sync_database: Engine,
        settings: Settings,
    ) -> Template | Redirect:
        """Set up another phone: the present second factor ends, a new one begins."""
        member = _member(request)
        if wait := await _attempt(request, sync_database, member):
            return _page(request, settings, factor_error=wait, status_code=429)
        if await asyncio.to_thread(accounts.check_password, sync_database, member.name, data.password) is None:
            return _page(request, settings, factor_error="The password is wrong.", status_code=400)
        await _succeeded(request, sync_database, member)
        await note(request, Activity.RESET_SIGN_IN, "staff", member.id)
        changed = await asyncio.to_thread(accounts.drop_second_factor, sync_database, member.id)
        _go_on(request, changed)
        return Redirect("/staff/account/second-factor", status_code=303)

    async def _set_up(
        self, request: Request[Any, Any, Any], engine: Engine, settings: Settings, error: str | None
    ) -> Template | Redirect:
        member = _member(request)
        begun = await asyncio.to_thread(second_factor.begin, engine, settings.secret_key, member.id)
        if begun is None:
            return Redirect("/staff/account", status_code=303)
        context = {
            "secret": begun.secret,
            "qr_code": Markup(begun.qr_code),  # noqa: S704 - made by us from random letters and the escaped name
            "error": error,
            "required": second_factor.is_required(settings, member.role),
            "staff": member,
        }
        return Template("second_factor.html", context=context, status_code=400 if error else 200)


def _member(request: Request[Any, Any, Any]) -> SignedIn:
    member: SignedIn = request.scope["state"]["staff"]
    return member


def _go_on(request: Request[Any, Any, Any], member: SignedIn) -> None:
    """Keep this session, while all others of the member end."""
    at = time.time()
    request.set_session({"staff": member.id, "generation": member.generation, "since": at, "seen": at})


async def _attempt(request: Request[Any, Any, Any], engine: Engine, member: SignedIn) -> str | None:
    """Count an attempt at the password; returns what to say if it is one too many."""
    keys = sign_in_limits.account_key(member.name), sign_in_limits.address_of(request)
    seconds = await asyncio.to_thread(sign_in_limits.attempt, engine, *keys, now())
    return f"Too many wrong attempts. Please try again in {seconds} seconds." if seconds else None


async def _succeeded(request: Request[Any, Any, Any], engine: Engine, member: SignedIn) -> None:
    keys = sign_in_limits.account_key(member.name), sign_in_limits.address_of(request)
    await asyncio.to_thread(sign_in_limits.succeeded, engine, *keys)


def _page(request: Request[Any, Any, Any], settings: Settings, status_code: int = 200, **said: str) -> Template:
    member = _member(request)
    required = second_factor.is_required(settings, member.role)
    context = {"staff": member, "required": required, "password_error": None, "factor_error": None, "done": None}
    return Template("account.html", context={**context, **said}, status_code=status_code)
