"""The guard that every page of the desk has: who is signed in, and may they do this?"""

from __future__ import annotations

import time
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import staff_alerts
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.settings import Settings
from needlepoint.staff.accounts import SignedIn
from needlepoint.staff.models import StaffMember
from needlepoint.staff.notices import urgent_notice
from needlepoint.staff.roles import ROLE_PERMISSIONS, Permission, roles_with
from needlepoint.staff.second_factor import is_required

__all__ = ["ROLE_PERMISSIONS", "Permission", "SecondFactorMissingError", "member_of", "needs", "signed_in"]

#: A page that stays open asks this by itself; that is no sign of a person.
_ASKED_BY_PAGES = ("/notice", "/news", "/renew")


class SecondFactorMissingError(NotAuthorizedException):
    """Signed in, but the role needs a second factor that is not set up yet; leads to the page that does it."""


async def member_of(connection: ASGIConnection[Any, Any, Any, Any]) -> SignedIn | None:
    """Who is signed in on this connection, checked against the database so that an ended session ends at once."""
    session = connection.session
    settings: Settings = connection.app.state.settings
    at = time.time()
    if not session or "staff" not in session or session_is_over(session, at, settings):
        return None
    database: AsyncEngine = connection.app.state.database
    async with database.execution_options(**READS_ONLY).connect() as reading:
        row = (
            await reading.execute(
                select(
                    StaffMember.id,
                    StaffMember.name,
                    StaffMember.role,
                    StaffMember.session_generation,
                    StaffMember.totp_confirmed_at.is_not(None),
                ).where(StaffMember.id == session["staff"], StaffMember.deactivated_at.is_(None))
            )
        ).first()
    if row is None or row.session_generation != session.get("generation"):
        return None
    if not connection.url.path.rstrip("/").endswith(_ASKED_BY_PAGES):
        session["seen"] = at
    return SignedIn(*row)


def session_is_over(session: dict[str, Any], at: float, settings: Settings) -> bool:
    """Did it begin too long ago, or has nobody used it for too long, at `at` seconds since 1970?"""
    since = session.get("since", 0)
    return not (
        0 <= at - since < settings.staff_session_hours * 3600
        and 0 <= at - session.get("seen", since) < settings.staff_idle_minutes * 60
    )


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard for the pages of one's own account: lets pass everybody who is signed in."""
    member = await member_of(connection)
    if member is None:
        raise NotAuthorizedException("please sign in")
    connection.scope["state"]["staff"] = member
    # Read now, not once a second: who pressed the button must see that it counted.
    open_ones = await staff_alerts.nobody_acknowledged(connection.app.state.database)
    connection.scope["state"]["urgent"] = urgent_notice(open_ones, connection.app.state.zone, now())


def needs(permission: Permission) -> Guard:
    """A guard: lets pass who may do `permission`, and puts the member into `scope["state"]["staff"]`.

    The guard carries `permission` as an attribute, so that a test can hold the table of routes and roles.
    """

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        await signed_in(connection, handler)
        member: SignedIn = connection.scope["state"]["staff"]
        if is_required(connection.app.state.settings, member.role) and not member.second_factor:
            raise SecondFactorMissingError("please set up your second factor first")
        if permission not in ROLE_PERMISSIONS[member.role]:
            raise PermissionDeniedException(
                f"To {permission} you need to be {' or '.join(roles_with(permission))}; you are {member.role}."
                " An administrator can change that."
            )

    guard.permission = permission  # type: ignore[attr-defined]
    return guard
