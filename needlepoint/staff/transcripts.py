"""Reading the record for staff: the list of conversations, and one of them whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from needlepoint.conversations.models import Attention, Conversation, Feedback, Message, Outgoing, Turn
from needlepoint.conversations.record import Delivered, deliveries
from needlepoint.db.connect import READS_ONLY
from needlepoint.reply import Reply, most_urgent

#: Conversations a page.
PAGE_SIZE = 50


class ListedConversation(msgspec.Struct, frozen=True):
    """A line of the list. `outcome` is what became of the last message; `flags` is what wants attention."""

    id: str
    started_at: datetime
    channel: str
    language: str
    turns: int
    last_at: datetime
    outcome: str
    urgency: str
    flags: list[str]


class Said(msgspec.Struct, frozen=True):
    """What the person wrote, masked."""

    text: str
    at: datetime
    redacted: list[str]


class TurnView(msgspec.Struct, frozen=True, kw_only=True):
    """One message and everything about its outcome."""

    number: int | None
    state: str
    person: Said
    reply: Reply | None
    replied_at: datetime | None
    #: What the person said about the reply.
    feedback: Feedback | None
    intent: dict[str, Any] | None
    ranking: list[dict[str, Any]]
    entities: list[dict[str, Any]]
    safety: dict[str, Any]
    why: dict[str, Any]
    confidence: float | None
    latency_ms: float | None
    model: str | None
    thresholds: dict[str, Any]
    error: str | None
    flags: list[str]
    #: How the reply reached the person, where the channel sends by itself.
    delivered: Delivered | None = None


class ConversationView(msgspec.Struct, frozen=True):
    """What is known of the conversation itself."""

    id: str
    channel: str
    language: str
    started_at: datetime
    consent: str | None
    consented_at: datetime | None
    #: The last treatment and the next, as spans in the clinic's zone, as far as the person told.
    had: tuple[datetime, datetime] | None
    booked: tuple[datetime, datetime] | None
    slots: dict[str, Any]


async def conversations(engine: AsyncEngine, zone: ZoneInfo, page: int) -> tuple[list[ListedConversation], bool]:
    """Page `page` (from 0) of the conversations, the latest first, and whether there are older ones."""
    last = (
        select(Message.conversation_id, func.max(Message.id).label("row"), func.count().label("turns"))
        .group_by(Message.conversation_id)
        .subquery()
    )
    query = (
        select(Conversation, last.c.turns, Message.state, Outgoing.reply)
        .outerjoin(last, last.c.conversation_id == Conversation.id)
        .outerjoin(Message, Message.id == last.c.row)
        .outerjoin(Outgoing, Outgoing.message_id == Message.id)
        .order_by(Conversation.last_at.desc(), Conversation.id)
        .limit(PAGE_SIZE + 1)
        .offset(page * PAGE_SIZE)
    )
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        rows = (await connection.execute(query)).all()
        found = rows[:PAGE_SIZE]
        flags = await connection.execute(
            select(Attention.conversation_id, Attention.reason, Attention.level)
            .where(Attention.conversation_id.in_([row.id for row in found]), Attention.acknowledged_at.is_(None))
            .order_by(Attention.id)
        )
        by_conversation: dict[str, list[tuple[str, str | None]]] = {}
        for flag in flags:
            by_conversation.setdefault(flag.conversation_id, []).append((flag.reason, flag.level))
    listed = [
        ListedConversation(
            id=row.id,
            started_at=row.created_at.astimezone(zone),
            channel=row.channel,
            language=row.language,
            turns=row.turns or 0,
            last_at=row.last_at.astimezone(zone),
            outcome=_outcome(row.state, row.reply),
            urgency=most_urgent(level for _, level in by_conversation.get(row.id, [])),
            flags=list(dict.fromkeys(reason for reason, _ in by_conversation.get(row.id, []))),
        )
        for row in found
    ]
    return listed, len(rows) > PAGE_SIZE


async def conversation(
    engine: AsyncEngine, zone: ZoneInfo, conversation_id: str
) -> tuple[ConversationView, list[TurnView]] | None:
    """One conversation and its turns in the order of receipt, times in the clinic's zone; None if there is none."""
    query = (
        select(Message, Turn, Outgoing, Feedback)
        .outerjoin(Turn, Turn.message_id == Message.id)
        .outerjoin(Outgoing, Outgoing.message_id == Message.id)
        .outerjoin(Feedback, Feedback.outbox_id == Outgoing.id)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.seq)
    )
    async with AsyncSession(engine.execution_options(**READS_ONLY)) as session:
        found = await session.get(Conversation, conversation_id)
        if found is None:
            return None
        rows = (await session.execute(query)).all()
        reasons: dict[int, list[str]] = {}
        for flag in await session.scalars(
            select(Attention).where(Attention.conversation_id == conversation_id).order_by(Attention.id)
        ):
            if flag.message_id is not None:
                reasons.setdefault(flag.message_id, []).append(flag.reason)
    view = ConversationView(
        id=found.id,
        channel=found.channel,
        language=found.language,
        started_at=found.created_at.astimezone(zone),
        consent=found.consent,
        consented_at=found.consented_at.astimezone(zone) if found.consented_at else None,
        had=_span(found.had_from, found.had_until, zone),
        booked=_span(found.booked_from, found.booked_until, zone),
        slots=found.slots,
    )
    delivered = await deliveries(engine, conversation_id)
    turns = [_turn(*row, zone, reasons.get(row.Message.id, [])) for row in rows]
    return view, [
        msgspec.structs.replace(turn, delivered=delivered.get(row.Outgoing.event) if row.Outgoing else None)
        for turn, row in zip(turns, rows, strict=True)
    ]


def _span(start: datetime | None, end: datetime | None, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    return (start.astimezone(zone), end.astimezone(zone)) if start is not None and end is not None else None


def _turn(
    message: Message,
    turn: Turn | None,
    sent: Outgoing | None,
    feedback: Feedback | None,
    zone: ZoneInfo,
    flags: list[str],
) -> TurnView:
    provenance = turn.provenance if turn else {}
    stored = sent.reply if sent else (turn.undelivered if turn else None)
    reply = msgspec.convert(stored, Reply) if stored else None
    ranking = provenance.get("intent_ranking", [])
    return TurnView(
        number=turn.number if turn else None,
        state=message.state,
        person=Said(message.text, message.accepted_at.astimezone(zone), message.redacted),
        reply=reply,
        replied_at=sent.created_at.astimezone(zone) if sent else None,
        feedback=feedback,
        intent=provenance.get("intent"),
        ranking=ranking[1:3],
        entities=[
            {"entity": one.get("entity"), "value": one.get("value"), "text": message.text[one["start"] : one["end"]]}
            for one in provenance.get("entities", [])
            if "start" in one and "end" in one
        ],
        safety=message.assessment,
        why=reply.why if reply else {},
        confidence=reply.confidence if reply else None,
        latency_ms=provenance.get("latency_ms"),
        model=provenance.get("model"),
        thresholds=provenance.get("thresholds", {}),
        error=provenance.get("error"),
        flags=flags,
    )


def _outcome(state: str | None, reply: dict[str, Any] | None) -> str:
    if state is None:
        return "no message"
    return str(reply["kind"]) if state == "answered" and reply else state
