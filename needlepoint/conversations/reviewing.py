"""Working on the inbox: what waits, taking an item so that nobody else does, putting it off, being done, findings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint.conversations import inbox, staff_alerts
from needlepoint.conversations.models import Attention, Conversation, Message
from needlepoint.conversations.review_models import Review, ReviewItem
from needlepoint.db.connect import READS_ONLY

#: How long an item is somebody's who took it; an open page renews it.
LEASE = timedelta(minutes=5)

Severity = Literal["none", "minor", "could_harm"]


class NotYoursError(RuntimeError):
    """Somebody else works on the item, it is done, or it is gone; the text says which."""


class Who(msgspec.Struct, frozen=True):
    """A member of staff, as far as this room knows them."""

    id: int
    name: str


class Queue(msgspec.Struct, frozen=True):
    """How much waits in a queue, and since when."""

    name: str
    count: int
    oldest: datetime | None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a queue. Without a conversation it is an urgent message from before consent."""

    id: int
    queue: str
    conversation: str | None
    times: int
    created_at: datetime
    snoozed_until: datetime | None
    assigned_to_id: int | None
    assigned_to: str | None
    #: Who works on it at this moment; None once the lease is over.
    held_by_id: int | None
    held_by: str | None
    held_until: datetime | None
    done_at: datetime | None
    done_by: str | None
    channel: str | None
    language: str | None
    turns: int | None
    last_at: datetime | None
    #: What the person wrote that put it here, masked.
    text: str | None
    level: str | None
    findings: list[str]
    #: An urgent message of it waits to be acknowledged.
    pressing: bool


def _open(at: datetime) -> list[ColumnElement[bool]]:
    snoozed_no_more = or_(ReviewItem.snoozed_until.is_(None), ReviewItem.snoozed_until <= at)
    return [ReviewItem.done_at.is_(None), snoozed_no_more]


def _free_for(who: Who, at: datetime) -> ColumnElement[bool]:
    return or_(ReviewItem.held_by_id.is_(None), ReviewItem.held_by_id == who.id, ReviewItem.held_until <= at)


async def queues(engine: AsyncEngine, at: datetime) -> list[Queue]:
    """All queues in the order in which they are worked on."""
    query = select(ReviewItem.queue, func.count(), func.min(ReviewItem.created_at)).where(*_open(at))
    async with _reading(engine) as connection:
        rows = (await connection.execute(query.group_by(ReviewItem.queue))).all()
        found = {name: Queue(name, count, oldest) for name, count, oldest in rows}
    return [found.get(name, Queue(name, 0, None)) for name in inbox.QUEUES]


def _items(at: datetime) -> Any:
    waits = or_(
        inbox.unacknowledged(ReviewItem.conversation_id),
        and_(ReviewItem.conversation_id.is_(None), Attention.acknowledged_at.is_(None)),
    )
    return (
        select(
            ReviewItem,
            Conversation.channel,
            Conversation.language,
            Conversation.turns,
            Conversation.last_at,
            Message.text,
            Attention.level,
            Attention.findings,
            and_(ReviewItem.queue == "urgent", waits).label("pressing"),
        )
        .outerjoin(Conversation, Conversation.id == ReviewItem.conversation_id)
        .outerjoin(Message, Message.id == ReviewItem.message_id)
        .outerjoin(Attention, Attention.id == ReviewItem.attention_id)
    )


def _item(row: Any, at: datetime) -> Item:
    held = row.held_until is not None and row.held_until > at
    return Item(
        id=row.id,
        queue=row.queue,
        conversation=row.conversation_id,
        times=row.times,
        created_at=row.created_at,
        snoozed_until=row.snoozed_until,
        assigned_to_id=row.assigned_to_id,
        assigned_to=row.assigned_to,
        held_by_id=row.held_by_id if held else None,
        held_by=row.held_by if held else None,
        held_until=row.held_until if held else None,
        done_at=row.done_at,
        done_by=row.done_by,
        channel=row.channel,
        language=row.language,
        turns=row.turns,
        last_at=row.last_at,
        text=row.text,
        level=row.level,
        findings=row.findings or [],
        pressing=bool(row.pressing),
    )


async def waiting(engine: AsyncEngine, queue: str, at: datetime, most: int) -> list[Item]:
    """What waits in a queue, the oldest first."""
    query = _items(at).where(ReviewItem.queue == queue, *_open(at))
    return await _read(engine, query.order_by(ReviewItem.created_at, ReviewItem.id).limit(most), at)


async def snoozed(engine: AsyncEngine, queue: str, at: datetime, most: int) -> list[Item]:
    """What was put off, what comes back first before."""
    query = _items(at).where(ReviewItem.queue == queue, ReviewItem.done_at.is_(None), ReviewItem.snoozed_until > at)
    return await _read(engine, query.order_by(ReviewItem.snoozed_until).limit(most), at)


async def of_conversation(engine: AsyncEngine, conversation: str, at: datetime) -> list[Item]:
    """The items of one conversation that are not done."""
    query = _items(at).where(ReviewItem.conversation_id == conversation, ReviewItem.done_at.is_(None))
    return await _read(engine, query.order_by(ReviewItem.id), at)


async def item(engine: AsyncEngine, item_id: int, at: datetime) -> Item | None:
    """One item, done or not."""
    found = await _read(engine, _items(at).where(ReviewItem.id == item_id), at)
    return found[0] if found else None


async def _read(engine: AsyncEngine, query: Any, at: datetime) -> list[Item]:
    async with _reading(engine) as connection:
        return [_item(row, at) for row in await connection.execute(query)]


# -- taking -------------------------------------------------------------------------------------------------------


async def take(engine: AsyncEngine, item_id: int, who: Who, at: datetime) -> None:
    """Take one item for :data:`LEASE`, or renew it. Raises :class:`NotYoursError`."""
    async with engine.begin() as connection:
        await _mine(connection, item_id, who, at, held_by_id=who.id, held_by=who.name, held_until=at + LEASE)


async def take_next(engine: AsyncEngine, queue: str, who: Who, at: datetime, but: Sequence[int] = ()) -> int | None:
    """Take the oldest free item of a queue, one's own before, and let go of all others; None when there is none.

    Two members never get the same: a row that another is taking at this moment is passed over.
    """
    async with engine.begin() as connection:
        await _let_go(connection, who)
        assigned_elsewhere = and_(ReviewItem.assigned_to_id.is_not(None), ReviewItem.assigned_to_id != who.id)
        found: int | None = await connection.scalar(
            select(ReviewItem.id)
            .where(ReviewItem.queue == queue, *_open(at), _free_for(who, at), ~assigned_elsewhere)
            .where(ReviewItem.id.not_in(but))
            .order_by(case((ReviewItem.assigned_to_id == who.id, 0), else_=1), ReviewItem.created_at, ReviewItem.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if found is not None:
            held = {"held_by_id": who.id, "held_by": who.name, "held_until": at + LEASE}
            await connection.execute(update(ReviewItem).where(ReviewItem.id == found).values(**held))
        return found


async def let_go(engine: AsyncEngine, who: Who) -> None:
    """Give up whatever this member holds."""
    async with engine.begin() as connection:
        await _let_go(connection, who)


async def _let_go(connection: AsyncConnection, who: Who) -> None:
    await connection.execute(
        update(ReviewItem)
        .where(ReviewItem.held_by_id == who.id, ReviewItem.done_at.is_(None))
        .values(held_by_id=None, held_by=None, held_until=None)
    )


async def _mine(connection: AsyncConnection, item_id: int, who: Who, at: datetime, **values: Any) -> Any:
    """Change an item that nobody else works on; returns the row. Raises :class:`NotYoursError`."""
    row = (
        await connection.execute(
            update(ReviewItem)
            .where(ReviewItem.id == item_id, ReviewItem.done_at.is_(None), _free_for(who, at))
            .values(**values)
            .returning(ReviewItem.conversation_id, ReviewItem.attention_id, ReviewItem.queue)
        )
    ).first()
    if row is not None:
        return row
    query = select(ReviewItem.done_at, ReviewItem.done_by, ReviewItem.held_by).where(ReviewItem.id == item_id)
    now_is = (await connection.execute(query)).first()
    if now_is is None:
        raise NotYoursError("This item is gone; its conversation may have been erased.")
    if now_is.done_at is not None:
        raise NotYoursError(f"{now_is.done_by} has finished this already.")
    raise NotYoursError(f"{now_is.held_by} is looking at this just now.")


# -- acting -------------------------------------------------------------------------------------------------------

_FREE: dict[str, Any] = {"held_by_id": None, "held_by": None, "held_until": None}


async def finish(engine: AsyncEngine, item_id: int, times: int, who: Who, at: datetime) -> None:
    """Be done with an item of which `times` occurrences were seen; what is urgent in it is acknowledged with that.

    Raises :class:`NotYoursError`, also where something came since.
    """
    async with engine.begin() as connection:
        # The conversation is locked first, as everywhere: an outcome that joins the item must come before or after.
        of_item = select(ReviewItem.conversation_id).where(ReviewItem.id == item_id)
        conversation = await connection.scalar(of_item)
        if conversation is not None:
            await connection.execute(select(Conversation.id).where(Conversation.id == conversation).with_for_update())
        seen = await connection.scalar(select(ReviewItem.times).where(ReviewItem.id == item_id))
        if seen is not None and seen != times:
            raise NotYoursError("Something came since you opened this; please look again.")
        row = await _mine(connection, item_id, who, at, done_at=at, done_by=who.name, **_FREE)
        if row.queue == "urgent":
            await staff_alerts.acknowledge_all(connection, row.conversation_id, row.attention_id, who.name, at)
        if row.conversation_id is not None:
            await inbox.note_reviewed(connection, row.conversation_id, who.name)


async def snooze(engine: AsyncEngine, item_id: int, until: datetime, who: Who, at: datetime) -> None:
    """Put an item off; it comes back by itself, or when something new joins it. Raises :class:`NotYoursError`."""
    async with engine.begin() as connection:
        await _mine(connection, item_id, who, at, snoozed_until=until, **_FREE)


async def assign(engine: AsyncEngine, item_id: int, to: Who | None, who: Who, at: datetime) -> None:
    """Leave an item to a member of staff, or to whoever comes. Raises :class:`NotYoursError`."""
    values = {"assigned_to_id": to.id if to else None, "assigned_to": to.name if to else None}
    if to is not None and to.id != who.id:
        values |= _FREE
    async with engine.begin() as connection:
        await _mine(connection, item_id, who, at, **values)


# -- findings -----------------------------------------------------------------------------------------------------


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody found about a turn, or about the whole conversation where `message` is None."""

    message: int | None = None
    right_topic: str | None = None
    right_entry: str | None = None
    right_answer: str | None = None
    missed_red_flag: bool = False
    severity: Severity | None = None
    tags: list[str] = []
    note: str | None = None


class Found(msgspec.Struct, frozen=True):
    """A finding, by whom and when."""

    by: str
    at: datetime
    finding: Finding


async def add_finding(engine: AsyncEngine, conversation: str, finding: Finding, who: Who, at: datetime) -> bool:
    """Keep a finding; returns False where conversation or message are not there (any more)."""
    async with engine.begin() as connection:
        there = select(Conversation.id).where(Conversation.id == conversation)
        if finding.message is not None:
            there = select(Message.id).where(Message.id == finding.message, Message.conversation_id == conversation)  # type: ignore[assignment]
        if await connection.scalar(there) is None:
            return False
        values = msgspec.structs.asdict(finding)
        message = values.pop("message")
        await connection.execute(
            insert(Review).values(
                conversation_id=conversation, message_id=message, by_id=who.id, by=who.name, at=at, **values
            )
        )
    return True


async def findings(engine: AsyncEngine, conversation: str) -> list[Found]:
    """What was found about a conversation, the oldest first."""
    query = select(Review).where(Review.conversation_id == conversation).order_by(Review.id)
    async with _reading(engine) as connection:
        rows = (await connection.execute(query)).all()
    return [
        Found(
            row.by,
            row.at,
            Finding(
                message=row.message_id,
                right_topic=row.right_topic,
                right_entry=row.right_entry,
                right_answer=row.right_answer,
                missed_red_flag=row.missed_red_flag,
                severity=row.severity,
                tags=row.tags,
                note=row.note,
            ),
        )
        for row in rows
    ]


def _reading(engine: AsyncEngine) -> Any:
    return engine.execution_options(**READS_ONLY).connect()
