"""The deliveries' queries: what is to be sent to a chat, in order, urgent first; and what became of each part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from sqlalchemy import case, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint.channels.telegram.bot_api import SEND_WITHIN, Result
from needlepoint.channels.telegram.chats import CHANNEL
from needlepoint.channels.telegram.models import TelegramChat
from needlepoint.conversations.models import Delivery, Message, Outgoing
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.metrics import DELIVERIES

Weight = Literal["urgent", "answer", "optional"]

#: A delivery that was begun so long ago and not noted belongs to a process that died in between.
ABANDONED_AFTER = timedelta(seconds=SEND_WITHIN + 5)

#: The first pause after a failure; it doubles with each one up to the longest.
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=2)

#: How long it is tried to reach somebody: an answer of yesterday may not fit today.
TRIED_FOR = timedelta(hours=24)

#: Quiet that Telegram asks for is believed up to here.
LONGEST_QUIET = 3600.0

#: An urgent card whose sending nobody knows of is sent (again) when it is so old: its sender is then gone.
CARD_UNKNOWN_AFTER = timedelta(seconds=20)


class ToSend(msgspec.Struct, frozen=True):
    """One part that is to be sent; `content` is sealed. `result` where it was sent already."""

    address: str
    content: bytes
    weight: Weight = "answer"
    outbox_id: int | None = None
    part: int = 1
    parts: int = 1
    again: bool = False
    result: Result | None = None
    #: Why it is not to be sent: `stopped` or `blocked`.
    cancelled: str | None = None


class Begun(msgspec.Struct, frozen=True):
    """A part whose attempt begins now. `again`: it may have arrived before, and says so."""

    id: int
    outbox_id: int | None
    part: int
    content: bytes
    weight: Weight
    attempt: int
    again: bool
    created_at: datetime


class News(msgspec.Struct, frozen=True):
    """A row of the outbox that has no deliveries yet."""

    outbox_id: int
    event: int
    reply: dict[str, Any]
    created_at: datetime
    #: The person's message it answers, and that one's state; None for what nobody asked for.
    client_id: str | None
    state: str | None
    sender: str


async def add(connection: AsyncConnection, to_send: Sequence[ToSend], at: datetime) -> None:
    """Put parts into the deliveries, in the caller's transaction."""
    rows = []
    for one in to_send:
        known = one.result
        final = known is not None and known.state == "sent"
        rows.append(
            {
                "outbox_id": one.outbox_id,
                "channel": CHANNEL,
                "address": one.address,
                "part": one.part,
                "parts": one.parts,
                "weight": one.weight,
                "content": None if final or one.cancelled else one.content,
                "state": "sent" if final else "cancelled" if one.cancelled else "waiting",
                "attempts": 1 if final else 0,
                "again": one.again,
                "created_at": at,
                "next_attempt_at": at,
                "sent_at": at if final else None,
                "remote_id": known.remote_id if known else None,
                "last_error": one.cancelled,
            }
        )
    if rows:
        await connection.execute(insert(Delivery), rows)


async def news(engine: AsyncEngine, conversation: str, after: int) -> list[News]:
    """What the outbox holds for a conversation behind an event and has no deliveries for, oldest first."""
    delivered = exists().where(Delivery.outbox_id == Outgoing.id)
    query = (
        select(
            Outgoing.id.label("outbox_id"),
            Outgoing.event,
            Outgoing.reply,
            Outgoing.created_at,
            Message.client_id,
            Message.state,
            Outgoing.sender,
        )
        .outerjoin(Message, Message.id == Outgoing.message_id)
        .where(Outgoing.conversation_id == conversation, Outgoing.event > after, ~delivered)
        .order_by(Outgoing.event)
    )
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return [News(**row._asdict()) for row in await connection.execute(query)]


async def store(engine: AsyncEngine, chat: str, to_send: Sequence[ToSend], **changed: Any) -> None:
    """Put the parts of one row of the outbox into the deliveries, and change the chat, in one commit."""
    at = now()
    async with engine.begin() as connection:
        await add(connection, to_send, at)
        if changed:
            await connection.execute(update(TelegramChat).where(TelegramChat.id == chat).values(**changed))
        for outbox_id in {one.outbox_id for one in to_send if one.result is not None}:
            await _note_delivered(connection, outbox_id, at)


async def begin(engine: AsyncEngine, address: str, *, expected: bool) -> Begun | datetime | None:
    """Begin the next attempt for a chat: what is urgent first, else in order. `expected`: there surely is one.

    Returns when to look again where the next part has to wait, and None where nothing is left. What was begun by a
    process that died may have arrived: it is sent again and says so, unless it is optional; then it is left.
    """
    at = now()
    urgent_first = case((Delivery.weight == "urgent", 0), else_=1)
    columns = (
        *(Delivery.id, Delivery.outbox_id, Delivery.part, Delivery.content, Delivery.weight, Delivery.attempts),
        *(Delivery.again, Delivery.created_at, Delivery.begun_at, Delivery.next_attempt_at),
    )
    query = (
        select(*columns)
        .where(Delivery.address == address, Delivery.state == "waiting")
        .order_by(urgent_first, Delivery.id)
        .limit(1)
    )
    if not expected:
        async with engine.execution_options(**READS_ONLY).connect() as reading:
            if (await reading.execute(query)).first() is None:  # mostly, and without a lock
                return None
    async with engine.begin() as connection:
        row = (await connection.execute(query.with_for_update())).first()
        if row is None:
            return None
        if row.begun_at is not None and row.begun_at + ABANDONED_AFTER > at:
            return _moment(row.begun_at + ABANDONED_AFTER)
        if row.begun_at is None and row.next_attempt_at > at:
            return _moment(row.next_attempt_at)
        again = row.again or row.begun_at is not None
        if row.begun_at is not None and row.weight == "optional":
            await connection.execute(
                update(Delivery)
                .where(Delivery.id == row.id)
                .values(state="unclear", content=None, begun_at=None, last_error="abandoned")
            )
            return at
        await connection.execute(
            update(Delivery)
            .where(Delivery.id == row.id)
            .values(begun_at=at, attempts=Delivery.attempts + 1, again=again)
        )
        return Begun(
            row.id, row.outbox_id, row.part, row.content or b"", row.weight, row.attempts + 1, again, row.created_at
        )


def _moment(value: Any) -> datetime:
    assert isinstance(value, datetime)
    return value


async def note(engine: AsyncEngine, address: str, begun: Begun, result: Result) -> bool:
    """Record what is known after an attempt; returns whether more waits for this chat."""
    at = now()
    after = _after(begun, result, at)
    DELIVERIES.labels(after.get("state", "tried_again")).inc()
    async with engine.begin() as connection:
        await connection.execute(
            update(Delivery)
            .where(Delivery.id == begun.id, Delivery.address == address, Delivery.state == "waiting")
            .values(begun_at=None, **after)
        )
        if result.state == "sent" and begun.outbox_id is not None:
            await _note_delivered(connection, begun.outbox_id, at)
        if result.state != "blocked":
            more = select(Delivery.id).where(Delivery.address == address, Delivery.state == "waiting").limit(1)
            return await connection.scalar(more) is not None
        await _cancel(connection, address, result.error)
        await connection.execute(update(TelegramChat).where(TelegramChat.id == address).values(state="blocked"))
    return False


def _after(begun: Begun, result: Result, at: datetime) -> dict[str, Any]:
    match result.state:
        case "sent":
            final: dict[str, Any] = {"state": "sent", "sent_at": at, "remote_id": result.remote_id}
            return {**final, "content": None, "last_error": None}
        case "blocked" | "refused":
            return {"state": "failed", "content": None, "last_error": result.error}
        case "later":
            quiet = timedelta(seconds=min(result.seconds, LONGEST_QUIET))
            return {"next_attempt_at": at + quiet, "last_error": result.error}
        case "unclear" if begun.weight == "optional":
            return {"state": "unclear", "content": None, "last_error": result.error}
    pause: timedelta = min(FIRST_PAUSE * 2 ** min(begun.attempt - 1, 10), LONGEST_PAUSE)
    if at + pause > begun.created_at + TRIED_FOR:
        return {"state": "failed", "content": None, "last_error": result.error}
    again = begun.again or result.state == "unclear"
    return {"next_attempt_at": at + pause, "last_error": result.error, "again": again}


async def _note_delivered(connection: AsyncConnection, outbox_id: int | None, at: datetime) -> None:
    missing = exists().where(Delivery.outbox_id == Outgoing.id, Delivery.state != "sent")
    await connection.execute(
        update(Outgoing)
        .where(Outgoing.id == outbox_id, Outgoing.delivered_at.is_(None), ~missing)
        .values(delivered_at=at)
    )


async def _cancel(connection: AsyncConnection, address: str, error: str | None) -> None:
    await connection.execute(
        update(Delivery)
        .where(Delivery.address == address, Delivery.state == "waiting")
        .values(state="cancelled", content=None, begun_at=None, last_error=error)
    )


async def chats_due(engine: AsyncEngine, most: int) -> list[str]:
    """Chats nobody works for with something to send now."""
    at = now()
    busy = exists().where(TelegramChat.id == Delivery.address, TelegramChat.lease_until > at)
    query = (
        select(Delivery.address)
        .where(Delivery.channel == CHANNEL, Delivery.state == "waiting", Delivery.next_attempt_at <= at, ~busy)
        .distinct()
        .limit(most)
    )
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return list(await connection.scalars(query))


async def forget(engine: AsyncEngine, address: str) -> None:
    """Delete what belongs to no conversation's record; the rest goes with the conversation."""
    async with engine.begin() as connection:
        await connection.execute(delete(Delivery).where(Delivery.address == address, Delivery.outbox_id.is_(None)))


async def forget_old(engine: AsyncEngine) -> None:
    """Forget old deliveries that belong to no conversation's record, and those of chats that are gone."""
    before = now() - TRIED_FOR
    gone = ~exists().where(TelegramChat.id == Delivery.address)
    async with engine.begin() as connection:
        await connection.execute(
            delete(Delivery).where(
                Delivery.channel == CHANNEL,
                Delivery.outbox_id.is_(None),
                (Delivery.created_at < before) & (Delivery.state != "waiting") | gone,
            )
        )


async def counts(engine: AsyncEngine) -> dict[str, int]:
    """How many parts are in which state."""
    query = select(Delivery.state, func.count()).where(Delivery.channel == CHANNEL).group_by(Delivery.state)
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return {row[0]: row[1] for row in await connection.execute(query)}
