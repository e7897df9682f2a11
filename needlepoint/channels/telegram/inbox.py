"""The inbox's queries: an update is taken in once, waits sealed, is worked on in its chat's order, and is emptied."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
from sqlalchemy import delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.channels.telegram import chats, deliveries
from needlepoint.channels.telegram.chats import Chat
from needlepoint.channels.telegram.deliveries import ToSend
from needlepoint.channels.telegram.models import TelegramChat, TelegramUpdate
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY

#: How long whoever answers an urgent message at once has for it, before it is taken up in the chat's order.
AT_ONCE = timedelta(seconds=20)

#: After so many failures an update gets an apology in place of its answer.
MOST_ATTEMPTS = 4

#: Telegram repeats an update for a day at most.
KNOWN_FOR = timedelta(days=3)


class Waiting(msgspec.Struct, frozen=True):
    """An update that waits; `attempts` have failed so far."""

    update_id: int
    content: bytes
    attempts: int


async def put(engine: AsyncEngine, bot: int, update_id: int, chat: str, content: bytes, *, at_once: bool) -> bool:
    """Take an update in; False where it is known. `at_once`: whoever puts it answers it outside the chat's order."""
    at = now()
    try:
        async with engine.begin() as connection:
            await connection.execute(
                insert(TelegramUpdate).values(
                    bot=bot,
                    update_id=update_id,
                    chat=chat,
                    content=content,
                    received_at=at,
                    lease_until=at + AT_ONCE if at_once else None,
                )
            )
    except IntegrityError:
        return False
    return True


async def following(engine: AsyncEngine, bot: int, chat: str) -> Waiting | None:
    """The oldest update of a chat that is to be worked on."""
    query = (
        select(TelegramUpdate.update_id, TelegramUpdate.content, TelegramUpdate.attempts)
        .where(
            TelegramUpdate.bot == bot,
            TelegramUpdate.chat == chat,
            TelegramUpdate.done_at.is_(None),
            or_(TelegramUpdate.lease_until.is_(None), TelegramUpdate.lease_until <= now()),
        )
        .order_by(TelegramUpdate.update_id)
        .limit(1)
    )
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        row = (await connection.execute(query)).first()
    return None if row is None else Waiting(row.update_id, row.content or b"", row.attempts)


async def done(
    engine: AsyncEngine, bot: int, update_id: int, to_send: Sequence[ToSend] = (), chat: str = ""
) -> Chat | None:
    """Empty an update, and put what it is answered with into the deliveries, in one commit, if it was not done before.

    Returns the chat as it is then, if asked for and still there.
    """
    at = now()
    async with engine.begin() as connection:
        first = await connection.execute(
            update(TelegramUpdate)
            .where(TelegramUpdate.bot == bot, TelegramUpdate.update_id == update_id, TelegramUpdate.done_at.is_(None))
            .values(chat=None, content=None, lease_until=None, done_at=at)
        )
        if first.rowcount:
            await deliveries.add(connection, to_send, at)
        return await chats.read(connection, chat) if chat else None


async def failed(engine: AsyncEngine, bot: int, update_id: int) -> int:
    """Note that working on an update failed; returns how often it has."""
    async with engine.begin() as connection:
        attempts = await connection.scalar(
            update(TelegramUpdate)
            .where(TelegramUpdate.bot == bot, TelegramUpdate.update_id == update_id)
            .values(attempts=TelegramUpdate.attempts + 1)
            .returning(TelegramUpdate.attempts)
        )
    return int(attempts or 0)


async def chats_waiting(engine: AsyncEngine, bot: int, most: int) -> list[str]:
    """Chats with updates that nobody works on."""
    at = now()
    busy = exists().where(TelegramChat.id == TelegramUpdate.chat, TelegramChat.lease_until > at)
    query = (
        select(TelegramUpdate.chat)
        .where(
            TelegramUpdate.bot == bot,
            TelegramUpdate.chat.is_not(None),
            TelegramUpdate.done_at.is_(None),
            or_(TelegramUpdate.lease_until.is_(None), TelegramUpdate.lease_until <= at),
            ~busy,
        )
        .distinct()
        .limit(most)
    )
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return [chat for chat in await connection.scalars(query) if chat is not None]


async def empty(engine: AsyncEngine, bot: int, chat: str, but: int) -> None:
    """Empty all updates of a chat but this one: the person wants everything deleted."""
    async with engine.begin() as connection:
        await connection.execute(
            update(TelegramUpdate)
            .where(TelegramUpdate.bot == bot, TelegramUpdate.chat == chat, TelegramUpdate.update_id != but)
            .values(chat=None, content=None, lease_until=None, done_at=now())
        )


async def forget_old(engine: AsyncEngine) -> None:
    """Forget the numbers of updates that Telegram cannot send again."""
    before = now() - KNOWN_FOR
    async with engine.begin() as connection:
        await connection.execute(
            delete(TelegramUpdate).where(TelegramUpdate.received_at < before, TelegramUpdate.done_at.is_not(None))
        )


async def waiting(engine: AsyncEngine) -> int:
    """How many updates wait."""
    query = select(func.count()).select_from(TelegramUpdate).where(TelegramUpdate.done_at.is_(None))
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return int(await connection.scalar(query) or 0)
