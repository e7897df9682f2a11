"""A person of the clinic answers in place of the assistant: taking a conversation, writing in it, giving it back.

The assistant is silent meanwhile, safety is not (reception.py). Whoever waits was promised a time: when it is over
without a word from staff, one honest line says so and the assistant answers again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint.conversations import inbox, record
from needlepoint.conversations.models import Conversation
from needlepoint.conversations.record import UnknownConversationError
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.phrases import Phrases
from needlepoint.reply import Reply


class TakenByOtherError(RuntimeError):
    """Somebody else has the conversation, or nobody has; the text says who."""


#: Nobody has it, nobody is waited for.
_GIVEN_BACK = {"taken_by_id": None, "taken_by": None, "taken_at": None, "answer_by": None, "told_waiting": False}


async def take(engine: AsyncEngine, phrases: Phrases, conversation: str, staff_id: int, name: str) -> None:
    """Give the conversation to this member of staff and tell the person so, once.

    Raises :class:`TakenByOtherError` where somebody else has it, UnknownConversationError where there is none.
    """
    at = now()
    within = timedelta(minutes=phrases.clinic.staff_chat.answer_within)
    async with engine.begin() as connection:
        free = (Conversation.id == conversation, Conversation.taken_by_id.is_(None))
        columns = {
            "taken_by_id": staff_id,
            "taken_by": name,
            "taken_at": at,
            "answer_by": at + within,
            "told_waiting": False,
        }
        row = (
            await connection.execute(
                update(Conversation)
                .where(*free)
                .values(last_event=Conversation.last_event + 1, **columns)
                .returning(Conversation.last_event, Conversation.language)
            )
        ).first()
        if row is None:
            if await _who_has(connection, conversation) != (staff_id, name):
                raise TakenByOtherError(await _who_has_it(connection, conversation))
            return
        await _say(connection, conversation, row.last_event, phrases.say("staff_joined", row.language), "assistant", at)


async def write(engine: AsyncEngine, conversation: str, staff_id: int, name: str, text: str) -> None:
    """Send the person a text of this member of staff, who has the conversation.

    Raises :class:`TakenByOtherError` or UnknownConversationError.
    """
    at = now()
    async with engine.begin() as connection:
        event = await connection.scalar(
            update(Conversation)
            .where(Conversation.id == conversation, Conversation.taken_by_id == staff_id)
            .values(last_event=Conversation.last_event + 1, last_at=at, answer_by=None)
            .returning(Conversation.last_event)
        )
        if event is None:
            raise TakenByOtherError(await _who_has_it(connection, conversation))
        await _say(connection, conversation, event, text, "staff", at, name)


async def give_back(engine: AsyncEngine, phrases: Phrases, conversation: str, staff_id: int) -> None:
    """Let the assistant answer again and tell the person so.

    Raises :class:`TakenByOtherError` or UnknownConversationError.
    """
    async with engine.begin() as connection:
        row = (
            await connection.execute(
                update(Conversation)
                .where(Conversation.id == conversation, Conversation.taken_by_id == staff_id)
                .values(last_event=Conversation.last_event + 1, **_GIVEN_BACK)
                .returning(Conversation.last_event, Conversation.language)
            )
        ).first()
        if row is None:
            raise TakenByOtherError(await _who_has_it(connection, conversation))
        line = phrases.say("staff_left", row.language)
        await _say(connection, conversation, row.last_event, line, "assistant", now())


async def end_what_was_promised(engine: AsyncEngine, phrases: Phrases, at: datetime) -> list[str]:
    """Say the honest line where nobody of the staff wrote in the promised time; returns the conversations."""
    late = (Conversation.answer_by <= at,)
    # Looked for without a lock, because mostly there is nothing.
    async with engine.execution_options(**READS_ONLY).connect() as reading:
        found = (await reading.scalars(select(Conversation.id).where(*late).limit(100))).all()
    ended = []
    for conversation in found:
        async with engine.begin() as connection:
            row = (
                await connection.execute(
                    update(Conversation)
                    .where(Conversation.id == conversation, *late)
                    .values(last_event=Conversation.last_event + 1, **_GIVEN_BACK)
                    .returning(Conversation.last_event, Conversation.language)
                )
            ).first()
            if row is None:  # they wrote, or another process was quicker
                continue
            line = phrases.say("staff_not_there", row.language)
            await _say(connection, conversation, row.last_event, line, "assistant", at, kind="handover")
            await inbox.fill(connection, "person", conversation, None, at)
            ended.append(conversation)
    return ended


async def _say(
    connection: AsyncConnection,
    conversation: str,
    event: int,
    text: str,
    sender: str,
    at: datetime,
    by: str | None = None,
    kind: str = "smalltalk",
) -> None:
    reply = msgspec.to_builtins(Reply(kind="smalltalk", topic="human", text=text, why={"by": by} if by else {}))
    await record.send(connection, conversation, None, event, {**reply, "kind": kind}, at, sender)


async def _who_has(connection: AsyncConnection, conversation: str) -> tuple[int | None, str | None]:
    query = select(Conversation.taken_by_id, Conversation.taken_by).where(Conversation.id == conversation)
    row = (await connection.execute(query)).first()
    if row is None:
        raise UnknownConversationError(conversation)
    return row.taken_by_id, row.taken_by


async def _who_has_it(connection: AsyncConnection, conversation: str) -> str:
    _, name = await _who_has(connection, conversation)
    return f"{name} has this conversation." if name else "Nobody has this conversation; step in first."
