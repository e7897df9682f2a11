"""The chats' queries: meeting somebody, whose turn it is to work for a chat, language, subscription, invitations."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from needlepoint.channels.telegram.models import TelegramChat, TelegramLink, TelegramPolling
from needlepoint.conversations import record
from needlepoint.conversations.models import Conversation, Message, Outgoing
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY

CHANNEL = "telegram"

#: How long a process has a chat for itself; it renews that while it works, so this is what a dead one holds up.
LEASE = timedelta(seconds=15)

#: Chats whose owner never agreed and has not written for so long are forgotten.
KEPT_WITHOUT_CONSENT = timedelta(days=30)


class Chat(msgspec.Struct, frozen=True):
    """A chat and what its conversation knows. `consent` is the version of the privacy notice agreed to, if any."""

    id: str
    address: bytes
    conversation: str
    consent: str | None
    language: str
    state: str
    #: Every row of the outbox up to this event has its deliveries.
    last_event: int
    #: The event of the conversation's newest row in the outbox.
    newest_event: int
    open_choices: int | None
    last_album: str | None


def _columns() -> Any:
    return select(
        TelegramChat.id,
        TelegramChat.address,
        TelegramChat.conversation_id.label("conversation"),
        Conversation.consent,
        TelegramChat.language,
        TelegramChat.state,
        TelegramChat.last_event,
        Conversation.last_event.label("newest_event"),
        TelegramChat.open_choices,
        TelegramChat.last_album,
    ).join(Conversation, Conversation.id == TelegramChat.conversation_id)


async def find(engine: AsyncEngine, chat: str) -> Chat | None:
    """The chat with this name, if we have met it."""
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return await read(connection, chat)


async def read(connection: AsyncConnection, chat: str) -> Chat | None:
    """The same within a transaction."""
    row = (await connection.execute(_columns().where(TelegramChat.id == chat))).first()
    return None if row is None else Chat(**row._asdict())


async def meet(engine: AsyncEngine, chat: str, address: bytes, language: str) -> Chat:
    """The chat with this name; a new one gets a conversation, still without consent."""
    found = await find(engine, chat)
    if found is not None:
        return found
    at = now()
    conversation = record.new_id()
    try:
        async with engine.begin() as connection:
            await connection.execute(
                insert(Conversation).values(
                    id=conversation,
                    channel=CHANNEL,
                    language=language,
                    created_at=at,
                    last_at=at,
                    slots={},
                    open_question=[],
                )
            )
            await connection.execute(
                insert(TelegramChat).values(
                    id=chat,
                    address=address,
                    conversation_id=conversation,
                    language=language,
                    state="active",
                    created_at=at,
                )
            )
    except IntegrityError:  # another process met it at the same moment
        pass
    found = await find(engine, chat)
    if found is None:
        raise LookupError("a chat vanished while it was met")
    return found


# -- whose turn it is ---------------------------------------------------------------------------------------------


async def lease(engine: AsyncEngine, chat: str, mine: str) -> Chat | None:
    """Take a chat for this process alone; None while another one has it, or where there is none."""
    at = now()
    async with engine.begin() as connection:
        done = await connection.execute(
            update(TelegramChat)
            .where(TelegramChat.id == chat, _free(at, mine))
            .values(lease_by=mine, lease_until=at + LEASE)
        )
        return await read(connection, chat) if done.rowcount else None


def _free(at: datetime, mine: str | None = None) -> ColumnElement[bool]:
    free = or_(TelegramChat.lease_until.is_(None), TelegramChat.lease_until <= at)
    return free if mine is None else or_(free, TelegramChat.lease_by == mine)


async def renew(engine: AsyncEngine, chats: Collection[str], mine: str) -> None:
    """Keep the chats that this process works for."""
    async with engine.begin() as connection:
        await connection.execute(
            update(TelegramChat)
            .where(TelegramChat.id.in_(chats), TelegramChat.lease_by == mine)
            .values(lease_until=now() + LEASE)
        )


async def release(engine: AsyncEngine, chat: str, mine: str) -> None:
    """Let others work for a chat."""
    async with engine.begin() as connection:
        await connection.execute(
            update(TelegramChat)
            .where(TelegramChat.id == chat, TelegramChat.lease_by == mine)
            .values(lease_by=None, lease_until=None)
        )


async def with_news(engine: AsyncEngine, most: int) -> list[str]:
    """Chats nobody works for whose conversation has something that is not in the deliveries yet."""
    query = (
        select(TelegramChat.id)
        .join(Conversation, Conversation.id == TelegramChat.conversation_id)
        .where(Conversation.last_event > TelegramChat.last_event, _free(now()))
        .limit(most)
    )
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return list(await connection.scalars(query))


async def chat_of(engine: AsyncEngine, conversation: str) -> str | None:
    """The chat that a conversation is held in."""
    query = select(TelegramChat.id).where(TelegramChat.conversation_id == conversation)
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        found: str | None = await connection.scalar(query)
    return found


# -- what people decide -------------------------------------------------------------------------------------------


async def change(engine: AsyncEngine, chat: str, **values: Any) -> None:
    """Set columns of a chat."""
    async with engine.begin() as connection:
        await connection.execute(update(TelegramChat).where(TelegramChat.id == chat).values(**values))


async def set_language(engine: AsyncEngine, chat: Chat, language: str) -> None:
    """The chat and its conversation speak this language from now on."""
    async with engine.begin() as connection:
        await connection.execute(
            update(Conversation).where(Conversation.id == chat.conversation).values(language=language)
        )
        await connection.execute(update(TelegramChat).where(TelegramChat.id == chat.id).values(language=language))


async def reply_of(engine: AsyncEngine, conversation: str, event: int) -> dict[str, Any] | None:
    """The reply with this event number."""
    query = select(Outgoing.reply).where(Outgoing.conversation_id == conversation, Outgoing.event == event)
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        found: dict[str, Any] | None = await connection.scalar(query)
    return found


async def said(engine: AsyncEngine, conversation: str, client_id: str) -> str | None:
    """What the record has of a message."""
    query = select(Message.text).where(Message.conversation_id == conversation, Message.client_id == client_id)
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        found: str | None = await connection.scalar(query)
    return found


async def forget_silent(engine: AsyncEngine) -> None:
    """Forget those who never agreed and have not been heard of for long; of them there is nothing but the chat."""
    silent = (
        select(TelegramChat.conversation_id)
        .join(Conversation)
        .where(Conversation.consent.is_(None), Conversation.last_at < now() - KEPT_WITHOUT_CONSENT)
    )
    async with engine.begin() as connection:
        await connection.execute(delete(Conversation).where(Conversation.id.in_(silent.scalar_subquery())))


# -- invitations --------------------------------------------------------------------------------------------------


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def new_link(engine: AsyncEngine, label: str, language: str | None) -> str:
    """Make an invitation; returns its token, of which only a hash is kept."""
    token = secrets.token_urlsafe(12)
    async with engine.begin() as connection:
        await connection.execute(
            insert(TelegramLink).values(token_hash=_hash(token), label=label, language=language, created_at=now())
        )
    return token


async def use_link(engine: AsyncEngine, token: str) -> str | None:
    """Count that an invitation was followed; returns the language it is printed in, if it is ours and has one."""
    async with engine.begin() as connection:
        language: str | None = await connection.scalar(
            update(TelegramLink)
            .where(TelegramLink.token_hash == _hash(token))
            .values(uses=TelegramLink.uses + 1, last_used_at=now())
            .returning(TelegramLink.language)
        )
    return language


async def links(engine: AsyncEngine) -> list[tuple[str, str | None, datetime, int]]:
    """All invitations: label, language, since when, how often followed."""
    columns = (TelegramLink.label, TelegramLink.language, TelegramLink.created_at, TelegramLink.uses)
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        rows = await connection.execute(select(*columns).order_by(TelegramLink.created_at))
    return [(row.label, row.language, row.created_at, row.uses) for row in rows]


# -- who polls ----------------------------------------------------------------------------------------------------


async def take_polling(engine: AsyncEngine, bot: int, mine: str, seconds: float) -> bool:
    """Become, or stay, the one process that asks for this bot's updates."""
    at = now()
    until = at + timedelta(seconds=seconds)
    async with engine.begin() as connection:
        taken = await connection.execute(
            update(TelegramPolling)
            .where(TelegramPolling.bot == bot, or_(TelegramPolling.held_by == mine, TelegramPolling.until <= at))
            .values(held_by=mine, until=until)
        )
        if taken.rowcount:
            return True
        if await connection.scalar(select(func.count()).where(TelegramPolling.bot == bot)):
            return False
    try:
        async with engine.begin() as connection:
            await connection.execute(insert(TelegramPolling).values(bot=bot, held_by=mine, until=until))
    except IntegrityError:  # another process was quicker
        return False
    return True


async def leave_polling(engine: AsyncEngine, bot: int, mine: str) -> None:
    """Let another process poll at once."""
    async with engine.begin() as connection:
        await connection.execute(
            update(TelegramPolling)
            .where(TelegramPolling.bot == bot, TelegramPolling.held_by == mine)
            .values(held_by=None, until=now())
        )
