"""Who did what at the desk: one row each, never changed, and never a word of a patient's."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.staff.models import StaffActivity, StaffMember

if TYPE_CHECKING:  # commands change answers too, and need no web framework for it
    from litestar.connection import ASGIConnection


class Activity(StrEnum):
    """What somebody did; the value is stored, so add to these and never rename one."""

    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    SIGN_IN_REFUSED = "sign_in_refused"
    READ_INBOX = "read_inbox"
    READ_CONVERSATION = "read_conversation"
    READ_UNANSWERED = "read_unanswered"
    SEARCHED_CONVERSATIONS = "searched_conversations"
    REVIEWED_CONVERSATION = "reviewed_conversation"
    CORRECTED_TOPIC = "corrected_topic"
    TAGGED = "tagged"
    WROTE_NOTE = "wrote_note"
    SNOOZED = "snoozed"
    MARKED_DONE = "marked_done"
    ASSIGNED = "assigned"
    TOOK_OVER = "took_over"
    REPLIED = "replied"
    GAVE_BACK = "gave_back"
    ACKNOWLEDGED_URGENT = "acknowledged_urgent"
    EXPORTED = "exported"
    ERASED = "erased"
    SAW_NUMBER = "saw_number"
    CHANGED_CALL_BACK = "changed_call_back"
    EDITED_ANSWER = "edited_answer"
    TESTED_ANSWER = "tested_answer"
    SUBMITTED_ANSWER = "submitted_answer"
    RETURNED_ANSWER = "returned_answer"
    APPROVED_ANSWER = "approved_answer"
    RETIRED_ANSWER = "retired_answer"
    ROLLED_BACK_ANSWER = "rolled_back_answer"
    WITHDREW_ANSWER = "withdrew_answer"
    RESUMED_ANSWER = "resumed_answer"
    WITHDREW_ASSISTANT = "withdrew_assistant"
    RESUMED_ASSISTANT = "resumed_assistant"
    ADDED_STAFF = "added_staff"
    CHANGED_ROLE = "changed_role"
    RESET_SIGN_IN = "reset_sign_in"
    ENDED_SESSIONS = "ended_sessions"
    DEACTIVATED_STAFF = "deactivated_staff"
    REACTIVATED_STAFF = "reactivated_staff"
    CHANGED_PASSWORD = "changed_password"  # noqa: S105 - no password
    SET_UP_SECOND_FACTOR = "set_up_second_factor"
    USED_RECOVERY_CODE = "used_recovery_code"


async def note(request: ASGIConnection[Any, Any, Any, Any], what: Activity, kind: str, object_id: str | int) -> None:
    """Record that the member who is signed in on `request` did `what` to the object `kind` with this id.

    Call it before what is read goes out or is changed: whatever cannot be recorded is not done (the database's error
    goes up). `object_id` is an id of ours or of an answer, never what a patient wrote.
    """
    await note_by(
        request.app.state.database, request.scope["state"]["staff"].id, request.scope["state"]["staff"].name,
        what, kind, object_id,
    )  # fmt: skip


async def note_by(
    database: AsyncEngine, staff_id: int | None, name: str, what: Activity, kind: str, object_id: str | int
) -> None:
    """The same for where nobody is signed in yet: `staff_id` is None for a name that is no account."""
    async with database.begin() as connection:
        await connection.execute(insert(StaffActivity).values(_row(staff_id, name, what, kind, object_id)))


def note_within(
    connection: Connection, staff_id: int | None, name: str, what: Activity, kind: str, object_id: str | int
) -> None:
    """The same in the caller's own transaction, for changes that must not stand without their record."""
    connection.execute(insert(StaffActivity).values(_row(staff_id, name, what, kind, object_id)))


def _row(staff_id: int | None, name: str, what: Activity, kind: str, object_id: str | int) -> dict[str, Any]:
    return {
        "at": now(), "staff_id": staff_id, "staff_name": name[:80], "what": what.value,
        "object_kind": kind, "object_id": str(object_id)[:120],
    }  # fmt: skip


class Happened(msgspec.Struct, frozen=True):
    """One line of the record."""

    id: int
    at: datetime
    staff_name: str
    what: str
    object_kind: str
    object_id: str


async def happened(
    database: AsyncEngine,
    most: int,
    *,
    by: str | None = None,
    what: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    before: int | None = None,
) -> list[Happened]:
    """At most `most` lines, the latest first; `start` is included, `end` is not; `before` is the id to go on from."""
    query = (
        select(
            StaffActivity.id,
            StaffActivity.at,
            StaffActivity.staff_name,
            StaffActivity.what,
            StaffActivity.object_kind,
            StaffActivity.object_id,
        )
        .order_by(StaffActivity.id.desc())
        .limit(most)
    )
    if by:
        query = query.where(StaffActivity.staff_name == by)
    if what:
        query = query.where(StaffActivity.what == what)
    if start:
        query = query.where(StaffActivity.at >= start)
    if end:
        query = query.where(StaffActivity.at < end)
    if before:
        query = query.where(StaffActivity.id < before)
    async with database.execution_options(**READS_ONLY).connect() as connection:
        return [Happened(*row) for row in await connection.execute(query)]


async def names(database: AsyncEngine) -> dict[str, str]:
    """Members of staff by their number as the record writes it."""
    async with database.execution_options(**READS_ONLY).connect() as connection:
        rows = await connection.execute(select(StaffMember.id, StaffMember.name))
        return {str(member): name for member, name in rows}


async def people(database: AsyncEngine) -> list[str]:
    """Everybody in the record, by name, also who is no longer on the staff."""
    async with database.execution_options(**READS_ONLY).connect() as connection:
        query = select(StaffActivity.staff_name).distinct().order_by(StaffActivity.staff_name)
        return list(await connection.scalars(query))
