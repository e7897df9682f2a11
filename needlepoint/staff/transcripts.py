"""Reading one conversation for staff: both sides as the person saw them, and what led to each reply."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from needlepoint.conversations import reviewing
from needlepoint.conversations.models import Attention, Conversation, Feedback, Message, Outgoing, Turn
from needlepoint.conversations.record import Delivered, deliveries
from needlepoint.conversations.reviewing import Found
from needlepoint.db.connect import READS_ONLY
from needlepoint.reply import Reply


class Said(msgspec.Struct, frozen=True):
    """What the person wrote, masked."""

    text: str
    at: datetime
    redacted: list[str]


class TurnView(msgspec.Struct, frozen=True, kw_only=True):
    """One message and everything about its outcome."""

    message: int
    number: int | None
    state: str
    #: It was left to the member of staff who had the conversation.
    with_staff: bool
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
    app: str | None
    revision: int | None
    thresholds: dict[str, Any]
    #: The last treatment and the next as the assistant took them to be before this message.
    had: tuple[datetime, datetime] | None
    booked: tuple[datetime, datetime] | None
    error: str | None
    flags: list[str]
    findings: list[Found]
    #: How the reply reached the person, where the channel sends by itself.
    delivered: Delivered | None


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the person was told without having asked: by staff, or about who answers."""

    at: datetime
    reply: Reply
    #: Name of the member of staff who wrote it; None for the assistant's own lines.
    by: str | None
    #: As of a turn.
    delivered: Delivered | None


class ConversationView(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the conversation itself."""

    id: str
    channel: str
    language: str
    started_at: datetime
    consent: str | None
    consented_at: datetime | None
    #: The first and the last day on which the last treatment can have been, and the next, as far as the person told.
    had: tuple[date, date] | None
    booked: tuple[date, date] | None
    slots: dict[str, Any]
    #: Who of the staff answers in place of the assistant, since when, and until when the person was promised a word.
    taken_by_id: int | None
    taken_by: str | None
    taken_at: datetime | None
    answer_by: datetime | None
    review_state: str
    reviewer: str | None
    #: Changes with everything that is said.
    stamp: str
    #: Findings about the conversation as a whole.
    findings: list[Found]


def stamp(next_seq: int, last_event: int, taken_by_id: int | None) -> str:
    """What an open page compares to know whether anything was said since."""
    return f"{next_seq}.{last_event}.{taken_by_id or 0}"


async def current_stamp(engine: AsyncEngine, conversation_id: str) -> str | None:
    """The stamp of a conversation as it is now; None if there is none."""
    query = select(Conversation.next_seq, Conversation.last_event, Conversation.taken_by_id)
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        row = (await connection.execute(query.where(Conversation.id == conversation_id))).first()
    return None if row is None else stamp(*row)


async def conversation(
    engine: AsyncEngine, zone: ZoneInfo, conversation_id: str
) -> tuple[ConversationView, list[TurnView | LineView]] | None:
    """One conversation and what was said in it in order, times in the clinic's zone; None if there is none."""
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
        unasked = await session.scalars(
            select(Outgoing)
            .where(Outgoing.conversation_id == conversation_id, Outgoing.message_id.is_(None))
            .order_by(Outgoing.event)
        )
        delivered = await deliveries(engine, conversation_id)
        lines = [_line(one, zone, delivered.get(one.event)) for one in unasked]
        reasons: dict[int, list[str]] = {}
        for flag in await session.scalars(
            select(Attention).where(Attention.conversation_id == conversation_id).order_by(Attention.id)
        ):
            if flag.message_id is not None:
                reasons.setdefault(flag.message_id, []).append(flag.reason)
    by_message: dict[int | None, list[Found]] = {}
    for one in await reviewing.findings(engine, conversation_id):
        local = msgspec.structs.replace(one, at=one.at.astimezone(zone))
        by_message.setdefault(one.finding.message, []).append(local)
    turns: list[TurnView | LineView] = [
        _turn(
            *row,
            zone,
            reasons.get(row.Message.id, []),
            by_message.get(row.Message.id, []),
            delivered.get(row.Outgoing.event) if row.Outgoing else None,
        )
        for row in rows
    ]
    said = sorted([*turns, *lines], key=lambda one: one.person.at if isinstance(one, TurnView) else one.at)
    return _view(found, zone, by_message.get(None, [])), said


def _view(found: Conversation, zone: ZoneInfo, findings: list[Found]) -> ConversationView:
    return ConversationView(
        id=found.id,
        channel=found.channel,
        language=found.language,
        started_at=found.created_at.astimezone(zone),
        consent=found.consent,
        consented_at=found.consented_at.astimezone(zone) if found.consented_at else None,
        had=_days(found.had_from, found.had_until, zone),
        booked=_days(found.booked_from, found.booked_until, zone),
        slots=found.slots,
        taken_by_id=found.taken_by_id,
        taken_by=found.taken_by,
        taken_at=found.taken_at.astimezone(zone) if found.taken_at else None,
        answer_by=found.answer_by.astimezone(zone) if found.answer_by else None,
        review_state=found.review_state,
        reviewer=found.reviewer,
        stamp=stamp(found.next_seq, found.last_event, found.taken_by_id),
        findings=findings,
    )


def _span(start: datetime | None, end: datetime | None, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    return (start.astimezone(zone), end.astimezone(zone)) if start is not None and end is not None else None


def _days(start: datetime | None, end: datetime | None, zone: ZoneInfo) -> tuple[date, date] | None:
    """The first and the last day of the clinic's zone in this span, whose end is no longer part of it."""
    span = _span(start, end, zone)
    return span and (span[0].date(), max(span[0], span[1] - timedelta(microseconds=1)).date())


def _told_span(written: list[str] | None, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    if not written:
        return None
    return _span(datetime.fromisoformat(written[0]), datetime.fromisoformat(written[1]), zone)


def _line(sent: Outgoing, zone: ZoneInfo, delivered: Delivered | None) -> LineView:
    reply = msgspec.convert(sent.reply, Reply)
    by = str(reply.why.get("by", "staff")) if sent.sender == "staff" else None
    return LineView(at=sent.created_at.astimezone(zone), reply=reply, by=by, delivered=delivered)


def _turn(
    message: Message,
    turn: Turn | None,
    sent: Outgoing | None,
    feedback: Feedback | None,
    zone: ZoneInfo,
    flags: list[str],
    findings: list[Found],
    delivered: Delivered | None,
) -> TurnView:
    provenance = turn.provenance if turn else {}
    stored = sent.reply if sent else (turn.undelivered if turn else None)
    reply = msgspec.convert(stored, Reply) if stored else None
    treatment = provenance.get("treatment") or {}
    return TurnView(
        message=message.id,
        number=turn.number if turn else None,
        state=message.state,
        with_staff=bool(provenance.get("with_staff")),
        person=Said(message.text, message.accepted_at.astimezone(zone), message.redacted),
        reply=reply,
        replied_at=sent.created_at.astimezone(zone) if sent else None,
        feedback=feedback,
        intent=provenance.get("intent"),
        ranking=provenance.get("intent_ranking", [])[:3],
        entities=_entities(message.text, provenance.get("entities", [])),
        safety=message.assessment,
        why=reply.why if reply else {},
        confidence=reply.confidence if reply else None,
        latency_ms=provenance.get("latency_ms"),
        model=provenance.get("model"),
        app=provenance.get("app"),
        revision=provenance.get("revision"),
        thresholds=provenance.get("thresholds", {}),
        had=_told_span(treatment.get("had"), zone),
        booked=_told_span(treatment.get("booked"), zone),
        error=provenance.get("error"),
        flags=flags,
        findings=findings,
        delivered=delivered,
    )


def _entities(text: str, stored: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was recognised in a message with the words it was recognised by, each once however often it was said."""
    found: list[dict[str, Any]] = []
    for one in stored:
        if "start" in one and "end" in one:
            said = {"entity": one.get("entity"), "value": one.get("value"), "text": text[one["start"] : one["end"]]}
            if said not in found:
                found.append(said)
    return found
