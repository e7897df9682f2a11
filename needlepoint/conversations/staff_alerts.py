"""The staff's outbox: writing alerts about urgent messages, taking them for sending, escalating, acknowledging."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint.conversations.models import ASKED_BY_STAFF, Attention, Conversation, StaffAlert
from needlepoint.db.connect import READS_ONLY

#: Levels of which staff are alerted.
URGENT_LEVELS = ("same_day", "emergency_now")

#: How long whoever took an alert has for sending it; longer than any channel takes.
LEASE = timedelta(seconds=90)

#: The first pause after a failure; it doubles with each one up to the longest.
FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=5)

#: How long after it was written an alert is still tried again.
TRIED_FOR = timedelta(hours=2)

Channel = Literal["email", "webhook"]
Kind = Literal["first", "escalation"]


class AlertTo(msgspec.Struct, frozen=True):
    """Somebody to be alerted: an e-mail address, or a webhook's host."""

    channel: Channel
    recipient: str


class Due(msgspec.Struct, frozen=True):
    """An alert that was taken for sending; `attempt` is the number of the attempt that begins with it."""

    id: str
    attempt: int
    kind: Kind
    recipient: str
    written_at: datetime
    level: str
    findings: list[str]
    #: When the message came.
    at: datetime
    #: None before consent.
    conversation: str | None


# -- writing ------------------------------------------------------------------------------------------------------


async def write(
    connection: AsyncConnection, attention: int, kind: Kind, alert_to: Sequence[AlertTo], at: datetime
) -> None:
    """Write the alerts about one attention row, if it is urgent and a patient's, in the caller's transaction."""
    if not alert_to:
        return
    urgent = select(Attention.id).where(Attention.id == attention, _of_patients())
    if await connection.scalar(urgent) is None:
        return
    rows = [
        {
            "id": uuid.uuid4().hex,
            "attention_id": attention,
            "channel": to.channel,
            "kind": kind,
            "recipient": to.recipient,
            "state": "waiting",
            "created_at": at,
            "next_attempt_at": at,
        }
        for to in alert_to
    ]
    await connection.execute(insert(StaffAlert), rows)


def _of_patients() -> ColumnElement[bool]:
    """Condition on attention rows: urgent, and not of what staff asked by command."""
    asked_by_staff = exists().where(
        Conversation.id == Attention.conversation_id, Conversation.channel == ASKED_BY_STAFF
    )
    return and_(Attention.level.in_(URGENT_LEVELS), ~asked_by_staff)


async def escalate(engine: AsyncEngine, alert_to: Sequence[AlertTo], before: datetime, at: datetime) -> int:
    """Write the escalation of what came before `before` and nobody acknowledged, once; returns of how many messages.

    Only what staff were alerted of is escalated: a channel that is set up today does not wake anybody for last year.
    """
    alerted = exists().where(StaffAlert.attention_id == Attention.id)
    late = (
        _of_patients(),
        Attention.acknowledged_at.is_(None),
        Attention.escalated_at.is_(None),
        Attention.created_at <= before,
        alerted,
    )
    # Looked for without a lock, because mostly there is nothing.
    async with _reading(engine) as reading:
        found = (await reading.scalars(select(Attention.id).where(*late).order_by(Attention.id).limit(100))).all()
    count = 0
    for attention in found:
        async with engine.begin() as connection:
            # The row is locked from here on: whoever acknowledges it comes before, or cancels what is written now.
            mine = await connection.execute(
                update(Attention).where(Attention.id == attention, *late).values(escalated_at=at)
            )
            if mine.rowcount:
                await write(connection, attention, "escalation", alert_to, at)
                count += 1
    return count


# -- sending ------------------------------------------------------------------------------------------------------


async def due_to(engine: AsyncEngine, channel: Channel, at: datetime) -> set[tuple[str, str]]:
    """The (kind, recipient) for whom something is due. Takes no lock: mostly there is nothing."""
    query = select(StaffAlert.kind, StaffAlert.recipient).where(*_due(channel, at)).distinct()
    async with _reading(engine) as reading:
        return {(row.kind, row.recipient) for row in await reading.execute(query)}


def _due(channel: Channel, at: datetime) -> list[ColumnElement[bool]]:
    return [
        StaffAlert.state == "waiting",
        StaffAlert.channel == channel,
        StaffAlert.next_attempt_at <= at,
        or_(StaffAlert.lease_until.is_(None), StaffAlert.lease_until <= at),
    ]


async def take(
    engine: AsyncEngine, channel: Channel, at: datetime, most: int, but: Collection[tuple[str, str]] = ()
) -> list[Due]:
    """Take up to `most` alerts of a channel that are due, the oldest first; nobody else gets them during the lease.

    `but` are (kind, recipient) that have to wait.
    """
    due = _due(channel, at)
    due += [or_(StaffAlert.kind != kind, StaffAlert.recipient != recipient) for kind, recipient in but]
    async with engine.begin() as connection:
        ids = (
            await connection.scalars(
                select(StaffAlert.id)
                .where(*due)
                .order_by(StaffAlert.next_attempt_at, StaffAlert.id)
                .limit(most)
                .with_for_update(skip_locked=True)
            )
        ).all()
        if not ids:  # another process was quicker
            return []
        await connection.execute(
            update(StaffAlert)
            .where(StaffAlert.id.in_(ids))
            .values(lease_until=at + LEASE, attempts=StaffAlert.attempts + 1)
        )
        rows = await connection.execute(
            select(
                StaffAlert.id,
                StaffAlert.attempts.label("attempt"),
                StaffAlert.kind,
                StaffAlert.recipient,
                StaffAlert.created_at.label("written_at"),
                Attention.level,
                Attention.findings,
                Attention.created_at.label("at"),
                Attention.conversation_id.label("conversation"),
            )
            .join(Attention)
            .where(StaffAlert.id.in_(ids))
            .order_by(Attention.created_at, StaffAlert.id)
        )
        return [msgspec.convert(row._asdict(), Due) for row in rows]


async def still_waiting(engine: AsyncEngine, ids: Collection[str]) -> set[str]:
    """Those of the alerts that are to be sent: not acknowledged, erased or sent meanwhile."""
    query = select(StaffAlert.id).where(StaffAlert.id.in_(ids), StaffAlert.state == "waiting")
    async with _reading(engine) as reading:
        return set(await reading.scalars(query))


async def note_sent(engine: AsyncEngine, due: Sequence[Due], at: datetime) -> None:
    """Record that these alerts were sent, whatever became of them meanwhile: it is the truth."""
    async with engine.begin() as connection:
        await connection.execute(
            update(StaffAlert)
            .where(StaffAlert.id.in_([one.id for one in due]), StaffAlert.state != "sent")
            .values(state="sent", sent_at=at, lease_until=None, last_error=None)
        )


async def note_failed(engine: AsyncEngine, due: Sequence[Due], error: str, at: datetime) -> list[Due]:
    """Record that an attempt failed, and when the next one is; returns those that are given up."""
    given_up = []
    async with engine.begin() as connection:
        for one in due:
            again = next_attempt(one.attempt, one.written_at, at)
            values = {"state": "failed"} if again is None else {"next_attempt_at": again}
            done = await connection.execute(
                update(StaffAlert)
                .where(StaffAlert.id == one.id, StaffAlert.attempts == one.attempt, StaffAlert.state == "waiting")
                .values(lease_until=None, last_error=error, **values)
            )
            if again is None and done.rowcount:
                given_up.append(one)
    return given_up


def next_attempt(attempt: int, written_at: datetime, at: datetime) -> datetime | None:
    """When to try again after attempt number `attempt` failed at `at`; None when it was tried long enough."""
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(attempt - 1, 10), LONGEST_PAUSE)
    # An alert that waited for the app itself is still tried a few times.
    if at + pause > written_at + TRIED_FOR and attempt >= 5:
        return None
    return at + pause


async def sendings(engine: AsyncEngine, channel: Channel, since: datetime) -> dict[tuple[str, str], list[datetime]]:
    """When each (kind, recipient) of a channel was sent something since then; alerts sent together count once."""
    query = (
        select(StaffAlert.kind, StaffAlert.recipient, StaffAlert.sent_at)
        .where(StaffAlert.state == "sent", StaffAlert.channel == channel, StaffAlert.sent_at >= since)
        .distinct()
    )
    found: dict[tuple[str, str], list[datetime]] = {}
    async with _reading(engine) as reading:
        for row in await reading.execute(query):
            found.setdefault((row.kind, row.recipient), []).append(row.sent_at)
    return found


# -- what the desk shows ------------------------------------------------------------------------------------------


class Open(msgspec.Struct, frozen=True):
    """What nobody has acknowledged: how many urgent messages, since when, and how many alerts could not be sent."""

    count: int
    oldest: datetime | None
    failed: int


class Delivery(msgspec.Struct, frozen=True):
    """One alert and what became of it."""

    channel: str
    kind: str
    recipient: str
    state: str
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    sent_at: datetime | None
    last_error: str | None


class UrgentMessage(msgspec.Struct, frozen=True):
    """An urgent message as staff handle it. Without consent there is no conversation."""

    id: int
    conversation: str | None
    level: str
    findings: list[str]
    at: datetime
    escalated_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    deliveries: list[Delivery]


async def nobody_acknowledged(engine: AsyncEngine) -> Open:
    """What every page of the desk says on top."""
    waiting = (_of_patients(), Attention.acknowledged_at.is_(None))
    messages = select(func.count(), func.min(Attention.created_at)).where(*waiting)
    failed = select(func.count()).select_from(StaffAlert).join(Attention).where(StaffAlert.state == "failed", *waiting)
    async with _reading(engine) as reading:
        count, oldest = (await reading.execute(messages)).one()
        return Open(count, oldest, await reading.scalar(failed) or 0 if count else 0)


async def open_messages(engine: AsyncEngine, most: int) -> list[UrgentMessage]:
    """Urgent messages that nobody has acknowledged, the oldest first."""
    query = select(Attention).where(_of_patients(), Attention.acknowledged_at.is_(None))
    return await _messages(engine, query.order_by(Attention.created_at, Attention.id).limit(most))


async def acknowledged_messages(engine: AsyncEngine, most: int) -> list[UrgentMessage]:
    """Urgent messages that somebody acknowledged, the latest first."""
    query = select(Attention).where(_of_patients(), Attention.acknowledged_at.is_not(None))
    return await _messages(engine, query.order_by(Attention.created_at.desc(), Attention.id.desc()).limit(most))


async def messages_of(engine: AsyncEngine, conversation: str) -> list[UrgentMessage]:
    """All urgent messages of one conversation, also of what staff asked, the oldest first."""
    query = select(Attention).where(Attention.conversation_id == conversation, Attention.level.in_(URGENT_LEVELS))
    return await _messages(engine, query.order_by(Attention.created_at, Attention.id))


async def _messages(engine: AsyncEngine, query: Any) -> list[UrgentMessage]:
    async with _reading(engine) as reading:
        rows = (await reading.execute(query)).all()
        deliveries: dict[int, list[Delivery]] = {}
        for one in await reading.execute(
            select(
                StaffAlert.attention_id,
                *(getattr(StaffAlert, name) for name in Delivery.__struct_fields__),
            )
            .where(StaffAlert.attention_id.in_([row.id for row in rows]))
            .order_by(StaffAlert.created_at, StaffAlert.kind.desc(), StaffAlert.channel, StaffAlert.recipient)
        ):
            deliveries.setdefault(one.attention_id, []).append(Delivery(*one[1:]))
    return [
        UrgentMessage(
            row.id,
            row.conversation_id,
            row.level,
            row.findings,
            row.created_at,
            row.escalated_at,
            row.acknowledged_at,
            row.acknowledged_by,
            deliveries.get(row.id, []),
        )
        for row in rows
    ]


async def acknowledge(engine: AsyncEngine, message: int, came_at: datetime, by: str, at: datetime) -> str | None:
    """Record, once, that `by` looks after an urgent message, and cancel what was not sent yet.

    `came_at` names it too, because SQLite gives the number of an erased row to a later one. Returns its conversation,
    or "" where it has none; None when there is no such message any more.
    """
    this = (Attention.id == message, Attention.created_at == came_at, Attention.level.in_(URGENT_LEVELS))
    async with engine.begin() as connection:
        first = await connection.execute(
            update(Attention)
            .where(*this, Attention.acknowledged_at.is_(None))
            .values(acknowledged_at=at, acknowledged_by=by)
        )
        if first.rowcount:
            await connection.execute(
                update(StaffAlert)
                .where(StaffAlert.attention_id == message, StaffAlert.state == "waiting")
                .values(state="cancelled", lease_until=None)
            )
        found = (await connection.execute(select(Attention.conversation_id).where(*this))).first()
    return None if found is None else found.conversation_id or ""


async def acknowledge_all(
    connection: AsyncConnection, conversation: str | None, attention: int | None, by: str, at: datetime
) -> None:
    """The same in the caller's transaction for all that is urgent in a conversation; without one, for this row."""
    # Before consent there is no conversation, and the others from before consent are other people's.
    these = Attention.id == attention if conversation is None else Attention.conversation_id == conversation
    found = await connection.scalars(
        update(Attention)
        .where(these, Attention.level.in_(URGENT_LEVELS), Attention.acknowledged_at.is_(None))
        .values(acknowledged_at=at, acknowledged_by=by)
        .returning(Attention.id)
    )
    await connection.execute(
        update(StaffAlert)
        .where(StaffAlert.attention_id.in_(list(found)), StaffAlert.state == "waiting")
        .values(state="cancelled", lease_until=None)
    )


def _reading(engine: AsyncEngine) -> Any:
    return engine.execution_options(**READS_ONLY).connect()
