"""The record's queries: taking messages in, committing outcomes, reading back. All of them for one conversation."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

import msgspec
from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint.conversations import inbox, search, staff_alerts
from needlepoint.conversations.carried import CARRIED_TURNS
from needlepoint.conversations.models import (
    Attention,
    Conversation,
    Delivery,
    ErasedConversation,
    Feedback,
    Message,
    Outgoing,
    Turn,
)
from needlepoint.conversations.staff_alerts import AlertTo
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY, forget_deleted

#: Messages that may wait in one conversation; whoever sends more is told to wait.
MOST_WAITING = 20


class UnknownConversationError(LookupError):
    """There is no such conversation, or it was erased."""


class HandedBackError(RuntimeError):
    """The member of staff whom a message was left to no longer has the conversation; the assistant answers it."""


class TooManyWaitingError(RuntimeError):
    """A conversation has as many unanswered messages as it may have."""


class Taken(msgspec.Struct, frozen=True):
    """A message that was accepted: `row` is its id, `seq` its place in the conversation."""

    row: int
    seq: int


class Known(msgspec.Struct, frozen=True):
    """A message id that was seen before: what became of it; `reply` is None while it is still being answered."""

    row: int
    state: str
    event: int | None
    at: datetime
    reply: dict[str, Any] | None


class State(msgspec.Struct, frozen=True):
    """What a turn starts from. The times are those of the last and of the next treatment, as far as told."""

    created_at: datetime
    language: str
    slots: dict[str, Any]
    active_loop: dict[str, Any] | None
    open_question: list[str]
    turn_number: int
    had_from: datetime | None
    had_until: datetime | None
    booked_from: datetime | None
    booked_until: datetime | None
    about: str | None
    urgent_thread: dict[str, Any] | None
    taken_by_id: int | None
    told_waiting: bool
    turns: list[list[dict[str, Any]]]

    @classmethod
    def of_new_conversation(cls, at: datetime, language: str) -> State:
        """That of a conversation in which nothing was said yet."""
        return cls(
            created_at=at,
            language=language,
            slots={},
            active_loop=None,
            open_question=[],
            turn_number=0,
            had_from=None,
            had_until=None,
            booked_from=None,
            booked_until=None,
            about=None,
            urgent_thread=None,
            taken_by_id=None,
            told_waiting=False,
            turns=[],
        )


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed for one message. Without a reply a person of the clinic answers it."""

    state: str
    reply: dict[str, Any] | None
    events: list[dict[str, Any]] = []
    provenance: dict[str, Any] = {}
    slots: dict[str, Any] | None = None
    active_loop: dict[str, Any] | None = None
    open_question: list[str] = []
    attention: list[str] = []
    #: Queues of the inbox beside those that attention and reply lead to.
    queues: list[str] = []
    #: The message is left to the member of staff who has the conversation: it must still be theirs.
    with_staff: bool = False
    #: What the conversation is to remember of the person's treatment, by column.
    remember: dict[str, Any] = {}


def new_id() -> str:
    """A conversation id that cannot be guessed."""
    return secrets.token_urlsafe(16)


async def start(
    engine: AsyncEngine, channel: str, language: str, consent: str | None, conversation: str | None = None
) -> str:
    """Open a conversation, under an id that was given out already or a new one; returns the id."""
    conversation = conversation or new_id()
    at = now()
    async with engine.begin() as connection:
        erased = select(ErasedConversation.id_hash).where(ErasedConversation.id_hash == _hash(conversation))
        if await connection.scalar(erased):
            raise UnknownConversationError(conversation)
        await connection.execute(
            insert(Conversation).values(
                id=conversation,
                channel=channel,
                language=language,
                created_at=at,
                last_at=at,
                consent=consent,
                consented_at=at if consent else None,
                slots={},
                open_question=[],
            )
        )
    return conversation


async def agree(engine: AsyncEngine, conversation: str, consent: str) -> None:
    """Note that the person agreed to this version of the privacy notice."""
    async with engine.begin() as connection:
        done = await connection.execute(
            update(Conversation).where(Conversation.id == conversation).values(consent=consent, consented_at=now())
        )
        if done.rowcount == 0:
            raise UnknownConversationError(conversation)


async def accept(
    engine: AsyncEngine,
    conversation: str,
    client_id: str,
    text: str,
    choice: str | None,
    redacted: list[str],
    assessment: dict[str, Any],
    patience: timedelta,
    most: int | None = MOST_WAITING,
) -> Taken | Known:
    """Store a message as accepted, in one commit, or say what became of it if its id is known.

    `patience` is how long one turn may take; the message's lease allows for those waiting before it. With `most` or
    more waiting, :class:`TooManyWaitingError` is raised.
    """
    at = now()
    try:
        async with engine.begin() as connection:
            seq = await _next_seq(connection, conversation, at)
            mine = (Message.conversation_id == conversation, Message.client_id == client_id)
            if await connection.scalar(select(Message.id).where(*mine)):
                raise _SeenBeforeError
            waiting = await connection.scalar(
                select(func.count()).where(Message.conversation_id == conversation, Message.state == "accepted")
            )
            if most is not None and (waiting or 0) >= most:
                raise TooManyWaitingError(conversation)
            row = await _insert_message(
                connection,
                conversation_id=conversation,
                seq=seq,
                client_id=client_id,
                text=text,
                choice=choice,
                redacted=redacted,
                assessment=assessment,
                accepted_at=at,
                lease_until=at + patience * ((waiting or 0) + 1),
                state="accepted",
            )
            return Taken(row, seq)
    except _SeenBeforeError:
        known = await find(engine, conversation, client_id)
        if known is None:
            raise UnknownConversationError(conversation) from None
        return known


async def take_up(engine: AsyncEngine, conversation: str, client_id: str, patience: timedelta) -> Taken | None:
    """A message that was accepted and has no outcome yet, for whoever works on it now; None where it has one."""
    mine = (Message.conversation_id == conversation, Message.client_id == client_id, Message.state == "accepted")
    async with engine.begin() as connection:
        row = (
            await connection.execute(
                update(Message).where(*mine).values(lease_until=now() + patience).returning(Message.id, Message.seq)
            )
        ).first()
    return None if row is None else Taken(*row)


class _SeenBeforeError(Exception):
    """Undoes the transaction that had begun for a message id that is known."""


async def _insert_message(connection: AsyncConnection, **values: Any) -> int:
    row: int | None = await connection.scalar(insert(Message).values(**values).returning(Message.id))
    assert row is not None
    await inbox.keep_words(connection, values["conversation_id"], "person", values["text"])
    return row


async def _next_seq(connection: AsyncConnection, conversation: str, at: datetime) -> int:
    """Take the next number; also what makes simultaneous arrivals of one conversation queue for a moment."""
    following = await connection.scalar(
        update(Conversation)
        .where(Conversation.id == conversation)
        .values(next_seq=Conversation.next_seq + 1, last_at=at)
        .returning(Conversation.next_seq)
    )
    if following is None:
        raise UnknownConversationError(conversation)
    return int(following) - 1


async def find(engine: AsyncEngine, conversation: str, client_id: str) -> Known | None:
    """What became of the message with this id of the client's."""
    query = (
        select(Message.id, Message.state, Message.accepted_at, Outgoing.event, Outgoing.reply, Outgoing.created_at)
        .outerjoin(Outgoing, Outgoing.message_id == Message.id)
        .where(Message.conversation_id == conversation, Message.client_id == client_id)
    )
    async with _reading(engine) as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        return None
    return Known(row.id, row.state, row.event, row.created_at or row.accepted_at, row.reply)


async def is_next(engine: AsyncEngine, conversation: str, seq: int) -> bool:
    """Have all messages before `seq` their outcome?"""
    earlier = exists().where(Message.conversation_id == conversation, Message.state == "accepted", Message.seq < seq)
    async with _reading(engine) as connection:
        return not await connection.scalar(select(earlier))


async def state_of(engine: AsyncEngine, conversation: str) -> State:
    """What the next turn starts from."""
    async with _reading(engine) as connection:
        row = (
            await connection.execute(
                select(
                    Conversation.created_at,
                    Conversation.language,
                    Conversation.slots,
                    Conversation.active_loop,
                    Conversation.open_question,
                    Conversation.turn_number,
                    Conversation.had_from,
                    Conversation.had_until,
                    Conversation.booked_from,
                    Conversation.booked_until,
                    Conversation.about,
                    Conversation.urgent_thread,
                    Conversation.taken_by_id,
                    Conversation.told_waiting,
                ).where(Conversation.id == conversation)
            )
        ).first()
        if row is None:
            raise UnknownConversationError(conversation)
        turns = await connection.scalars(
            select(Turn.events)
            .where(Turn.conversation_id == conversation, Turn.number.is_not(None))
            .order_by(Turn.number.desc())
            .limit(CARRIED_TURNS)
        )
        return State(turns=list(reversed(turns.all())), **row._asdict())


async def commit(
    engine: AsyncEngine, conversation: str, taken: Taken, turn_number: int | None, outcome: Outcome
) -> Known | None:
    """Commit a message's outcome: reply, events and outbox together, once.

    `turn_number` is the turn the outcome follows on; None for an outcome that is no turn (an apology). Returns None
    when the message already had its outcome (an urgent message overtook it, or it was given up): then the turn is
    kept for staff and nothing is sent.
    """
    at = now()
    # The conversation is named too: SQLite gives the number of an erased row to a later one.
    this_message = (Message.id == taken.row, Message.conversation_id == conversation)
    async with engine.begin() as connection:
        # Everybody locks the conversation before its messages; the other way round two of us could wait for each other.
        await connection.execute(select(Conversation.id).where(Conversation.id == conversation).with_for_update())
        done = await connection.execute(
            update(Message).where(*this_message, Message.state == "accepted").values(state=outcome.state)
        )
        if done.rowcount == 0:
            # An erased conversation has no message left to keep anything for.
            if await connection.scalar(select(Message.id).where(*this_message)):
                await _keep_turn(connection, conversation, taken, None, outcome, at, undelivered=outcome.reply)
            return None
        reply = outcome.reply
        changes = _listed(outcome)
        if reply is not None:
            changes["last_event"] = Conversation.last_event + 1
        where = [Conversation.id == conversation]
        if outcome.with_staff:
            where.append(Conversation.taken_by_id.is_not(None))
        if turn_number is not None:
            changes |= {
                "turn_number": turn_number + 1,
                "slots": outcome.slots,
                "active_loop": outcome.active_loop,
                "open_question": outcome.open_question,
                **outcome.remember,
            }
            where.append(Conversation.turn_number == turn_number)
        counted = (
            await connection.execute(
                update(Conversation)
                .where(*where)
                .values(**changes)
                .returning(Conversation.last_event, Conversation.turns, Conversation.taken_by_id)
            )
        ).first()
        if counted is None:
            if outcome.with_staff and not await _is_taken(connection, conversation):
                raise HandedBackError(conversation)
            raise RuntimeError("two turns of one conversation were handled at once; the order of messages is broken")
        await _keep_turn(connection, conversation, taken, None if turn_number is None else turn_number + 1, outcome, at)
        if reply is not None:
            await send(connection, conversation, taken.row, counted.last_event, reply, at)
        for reason in outcome.attention:
            await _call_attention(connection, conversation, taken.row, reason, at)
        for queue in outcome.queues:
            await inbox.fill(connection, queue, conversation, taken.row, at)
        await inbox.keep_facts(connection, conversation, reply or {}, outcome.provenance)
        await inbox.fill_for_outcome(connection, conversation, taken.row, counted.turns, outcome.state, reply, at)
    return Known(taken.row, outcome.state, counted.last_event if reply is not None else None, at, reply)


def _listed(outcome: Outcome) -> dict[str, Any]:
    """What the desk's list shows of a conversation after this outcome."""
    reply = outcome.reply or {}
    became = outcome.state if outcome.state != "answered" else str(reply.get("kind", "with_staff"))
    return inbox.listed(became, reply.get("urgency", "none"), reply.get("confidence"))


async def _is_taken(connection: AsyncConnection, conversation: str) -> bool:
    taken = select(Conversation.id).where(Conversation.id == conversation, Conversation.taken_by_id.is_not(None))
    return await connection.scalar(taken) is not None


async def _keep_turn(
    connection: AsyncConnection,
    conversation: str,
    taken: Taken,
    number: int | None,
    outcome: Outcome,
    at: datetime,
    undelivered: dict[str, Any] | None = None,
) -> None:
    already = await connection.scalar(select(Turn.id).where(Turn.message_id == taken.row))
    values = {
        "number": number,
        "created_at": at,
        "events": outcome.events,
        "provenance": outcome.provenance,
        "undelivered": undelivered,
    }
    if already is None:
        await connection.execute(insert(Turn).values(conversation_id=conversation, message_id=taken.row, **values))
    else:
        # The apology of a turn that was given up; what came of it late is worth more to staff.
        await connection.execute(update(Turn).where(Turn.id == already).values(**values))


async def send(
    connection: AsyncConnection,
    conversation: str,
    row: int | None,
    event: int,
    reply: dict[str, Any],
    at: datetime,
    sender: str = "assistant",
) -> None:
    """Put a reply into the outbox, in the caller's transaction; `row` is the message it answers, None for none."""
    await connection.execute(
        insert(Outgoing).values(
            conversation_id=conversation, event=event, message_id=row, sender=sender, reply=reply, created_at=at
        )
    )
    await inbox.keep_words(connection, conversation, sender, inbox.words_of(reply))


async def _call_attention(
    connection: AsyncConnection,
    conversation: str | None,
    row: int | None,
    reason: str,
    at: datetime,
    level: str | None = None,
    findings: list[str] | None = None,
    alert_to: Sequence[AlertTo] = (),
) -> None:
    attention = await connection.scalar(
        insert(Attention)
        .values(
            conversation_id=conversation,
            message_id=row,
            reason=reason,
            level=level,
            findings=findings or [],
            created_at=at,
        )
        .returning(Attention.id)
    )
    assert attention is not None
    await inbox.fill_for_reason(connection, reason, conversation, row, at, attention)
    await staff_alerts.write(connection, attention, "first", alert_to, now())


async def store_urgent(
    engine: AsyncEngine,
    conversation: str,
    client_id: str,
    text: str,
    choice: str | None,
    redacted: list[str],
    assessment: dict[str, Any],
    reply: dict[str, Any],
    thread: dict[str, Any],
    at: datetime,
    alert_to: Sequence[AlertTo] = (),
    provenance: dict[str, Any] | None = None,
) -> Known:
    """Record an urgent message with its card, and the alerts to staff.

    It uses no turn number; the turn it overtook is not delivered. `thread` is the urgent thread that the
    conversation is in from now on.
    """
    try:
        async with engine.begin() as connection:
            seq = await _next_seq(connection, conversation, at)
            await connection.execute(
                update(Message)
                .where(Message.conversation_id == conversation, Message.state == "accepted")
                .values(state="overtaken")
            )
            row = await _insert_message(
                connection,
                conversation_id=conversation,
                seq=seq,
                client_id=client_id,
                text=text,
                choice=choice,
                redacted=redacted,
                assessment=assessment,
                accepted_at=at,
                lease_until=at,
                state="urgent",
            )
            outcome = Outcome(state="urgent", reply=reply, provenance={"safety": assessment, **(provenance or {})})
            counted = (
                await connection.execute(
                    update(Conversation)
                    .where(Conversation.id == conversation)
                    .values(last_event=Conversation.last_event + 1, urgent_thread=thread, **_listed(outcome))
                    .returning(Conversation.last_event, Conversation.turns)
                )
            ).one()
            await _keep_turn(connection, conversation, Taken(row, seq), None, outcome, at)
            await send(connection, conversation, row, counted.last_event, reply, at)
            level, findings = assessment.get("level"), _finding_ids(assessment)
            await _call_attention(connection, conversation, row, "urgent", at, level, findings, alert_to)
            await inbox.keep_facts(connection, conversation, reply, outcome.provenance)
            await inbox.fill_for_outcome(connection, conversation, row, counted.turns, "urgent", reply, at)
            return Known(row, "urgent", counted.last_event, at, reply)
    except IntegrityError:
        known = await find(engine, conversation, client_id)
        if known is None:
            raise
        return known


async def alert_without_consent(
    engine: AsyncEngine, assessment: dict[str, Any], at: datetime, alert_to: Sequence[AlertTo] = ()
) -> None:
    """Tell staff that somebody who had not agreed to be recorded was shown an urgent card: level, finding and time."""
    async with engine.begin() as connection:
        level, findings = assessment.get("level"), _finding_ids(assessment)
        await _call_attention(connection, None, None, "urgent", at, level, findings, alert_to)


def _finding_ids(assessment: dict[str, Any]) -> list[str]:
    return [finding["id"] for finding in assessment.get("findings", [])]


async def store_apologised(
    engine: AsyncEngine,
    conversation: str,
    client_id: str,
    text: str,
    choice: str | None,
    redacted: list[str],
    assessment: dict[str, Any],
    reply: dict[str, Any],
    at: datetime,
) -> None:
    """Record a message that was answered with an apology while the database was away."""
    taken = await accept(
        engine, conversation, client_id, text, choice, redacted, assessment, timedelta(minutes=1), most=None
    )
    if isinstance(taken, Taken):
        outcome = Outcome(
            state="apologised",
            reply=reply,
            provenance={"error": "database unavailable", "at": at.isoformat()},
            attention=["database_unavailable"],
        )
        await commit(engine, conversation, taken, None, outcome)


class Abandoned(msgspec.Struct, frozen=True):
    """A message whose taker is gone."""

    row: int
    conversation: str
    seq: int
    language: str


async def abandoned(engine: AsyncEngine, at: datetime) -> list[Abandoned]:
    """Accepted messages whose lease has run out, oldest first."""
    query = (
        select(Message.id, Message.conversation_id, Message.seq, Conversation.language)
        .join(Conversation)
        .where(Message.state == "accepted", Message.lease_until < at)
        .order_by(Message.id)
        .limit(100)
    )
    async with _reading(engine) as connection:
        return [Abandoned(*row) for row in await connection.execute(query)]


class Said(msgspec.Struct, frozen=True):
    """One line of a conversation as the person saw it."""

    sender: str
    at: datetime
    text: str = ""
    client_id: str | None = None
    event: int | None = None
    reply: dict[str, Any] | None = None
    #: What the person said about this reply.
    feedback: dict[str, Any] | None = None


async def history(engine: AsyncEngine, conversation: str) -> list[Said]:
    """Both sides of a conversation in the order in which they were said."""
    async with _reading(engine) as connection:
        if not await connection.scalar(select(Conversation.id).where(Conversation.id == conversation)):
            raise UnknownConversationError(conversation)
        messages = await connection.execute(
            select(Message.client_id, Message.text, Message.accepted_at)
            .where(Message.conversation_id == conversation)
            .order_by(Message.seq)
        )
        asked = [Said("person", row.accepted_at, text=row.text, client_id=row.client_id) for row in messages]
        answered = await _events(connection, conversation, 0)
    return sorted([*_never_back(asked), *_never_back(answered)], key=lambda one: one.at)


def _never_back(said: list[Said]) -> list[Said]:
    """The same lines in the same order, with times that never go back: the clocks of two processes may differ."""
    latest = accumulate((one.at for one in said), max)
    return [msgspec.structs.replace(one, at=at) for one, at in zip(said, latest, strict=True)]


async def events_after(engine: AsyncEngine, conversation: str, event: int) -> list[Said]:
    """What was sent to the person after `event`, oldest first."""
    async with _reading(engine) as connection:
        return await _events(connection, conversation, event)


async def _events(connection: AsyncConnection, conversation: str, event: int) -> list[Said]:
    rows = await connection.execute(
        select(
            Outgoing.event,
            Outgoing.sender,
            Outgoing.reply,
            Outgoing.created_at,
            Message.client_id,
            Feedback.helpful,
            Feedback.reason,
            Feedback.comment,
        )
        .outerjoin(Message, Message.id == Outgoing.message_id)
        .outerjoin(Feedback, Feedback.outbox_id == Outgoing.id)
        .where(Outgoing.conversation_id == conversation, Outgoing.event > event)
        .order_by(Outgoing.event)
    )
    return [
        Said(
            row.sender,
            row.created_at,
            client_id=row.client_id,
            event=row.event,
            reply=row.reply,
            feedback=None
            if row.helpful is None
            else {"helpful": row.helpful, "reason": row.reason, "comment": row.comment},
        )
        for row in rows
    ]


async def delivered(engine: AsyncEngine, conversation: str, up_to: int) -> None:
    """Note that the person has everything up to this event."""
    async with engine.begin() as connection:
        await connection.execute(
            update(Outgoing)
            .where(Outgoing.conversation_id == conversation, Outgoing.event <= up_to, Outgoing.delivered_at.is_(None))
            .values(delivered_at=now())
        )


async def erase(engine: AsyncEngine, conversation: str) -> bool:
    """Delete everything about a conversation; returns whether there was anything."""
    async with engine.begin() as connection:
        done = await connection.execute(delete(Conversation).where(Conversation.id == conversation))
        already = ErasedConversation.id_hash == _hash(conversation)
        if not await connection.scalar(select(ErasedConversation.id_hash).where(already)):
            await connection.execute(insert(ErasedConversation).values(id_hash=_hash(conversation), erased_at=now()))
        await search.forget_deleted(connection)
    await forget_deleted(engine)
    return done.rowcount > 0


async def is_erased(engine: AsyncEngine, conversation: str) -> bool:
    """Was this conversation erased?"""
    erased = exists().where(ErasedConversation.id_hash == _hash(conversation))
    async with _reading(engine) as connection:
        return bool(await connection.scalar(select(erased)))


def _hash(conversation: str) -> str:
    return hashlib.sha256(conversation.encode()).hexdigest()


class Offered(msgspec.Struct, frozen=True):
    """A choice that was offered: the entry behind it and what its button said."""

    entry: str
    title: str


async def offered(engine: AsyncEngine, conversation: str, seq: int) -> list[Offered]:
    """What the reply to message `seq` offered as choices, in their order."""
    async with _reading(engine) as connection:
        provenance = await connection.scalar(
            select(Turn.provenance)
            .join(Message, Message.id == Turn.message_id)
            .where(Message.conversation_id == conversation, Message.seq == seq)
        )
    return msgspec.convert((provenance or {}).get("offered", []), list[Offered])


class Delivered(msgspec.Struct, frozen=True):
    """How one reply reached the person through a channel that sends by itself: how many of its parts are in which
    state, whether it may have come twice, and the class of the last error."""

    channel: str
    states: dict[str, int]
    again: bool
    error: str | None


async def deliveries(engine: AsyncEngine, conversation: str) -> dict[int, Delivered]:
    """What became of the replies of a conversation, by event; nothing of channels that are asked for them."""
    query = (
        select(Outgoing.event, Delivery.channel, Delivery.state, Delivery.again, Delivery.last_error)
        .join(Outgoing, Outgoing.id == Delivery.outbox_id)
        .where(Outgoing.conversation_id == conversation)
        .order_by(Outgoing.event, Delivery.part)
    )
    found: dict[int, Delivered] = {}
    async with _reading(engine) as connection:
        for row in await connection.execute(query):
            before = found.get(row.event, Delivered(row.channel, {}, again=False, error=None))
            states = {**before.states, row.state: before.states.get(row.state, 0) + 1}
            found[row.event] = Delivered(row.channel, states, before.again or row.again, row.last_error or before.error)
    return found


def _reading(engine: AsyncEngine) -> Any:
    return engine.execution_options(**READS_ONLY).connect()
