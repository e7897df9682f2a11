"""Members of staff as the conversations know them: a number and a name."""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations.reviewing import Who
from needlepoint.db.connect import READS_ONLY
from needlepoint.staff.models import StaffMember
from needlepoint.staff.roles import ROLE_PERMISSIONS, Permission, roles_with


def who_is(connection: ASGIConnection[Any, Any, Any, Any]) -> Who:
    """The member who is signed in."""
    staff = connection.scope["state"]["staff"]
    return Who(staff.id, staff.name)


def may(connection: ASGIConnection[Any, Any, Any, Any], permission: Permission) -> bool:
    """May the member who is signed in do this? For what a page offers; routes have their own guards."""
    return permission in ROLE_PERMISSIONS[connection.scope["state"]["staff"].role]


async def who_may(database: AsyncEngine, permission: Permission) -> list[Who]:
    """Everybody who may do this, by name."""
    query = (
        select(StaffMember.id, StaffMember.name)
        .where(StaffMember.deactivated_at.is_(None), StaffMember.role.in_(roles_with(permission)))
        .order_by(func.lower(StaffMember.name))
    )
    async with database.execution_options(**READS_ONLY).connect() as connection:
        return [Who(*row) for row in await connection.execute(query)]
