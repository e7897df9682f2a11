"""Replies as server-sent events: each open stream is woken by this process and looks for others' work by itself."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from litestar.response import ServerSentEventMessage
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import record
from needlepoint.conversations.record import Said
from needlepoint.reply import Reply, for_patient

#: Seconds between looks for what another process sent into the same conversation.
LOOK_EVERY = 1.0

#: Looks without news after which a comment keeps proxies from closing the stream.
KEEP_ALIVE_AFTER = 15


class Streams:
    """The open streams of this process, by conversation."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._closing = asyncio.Event()

    def wake(self, conversation: str) -> None:
        """Something new was committed for this conversation."""
        for event in self._waiting.get(conversation, ()):
            event.set()

    def close(self) -> None:
        """End all streams; clients come back to another process and resume."""
        self._closing.set()
        for conversation in list(self._waiting):
            self.wake(conversation)

    async def events(
        self, database: AsyncEngine, conversation: str, after: int
    ) -> AsyncIterator[ServerSentEventMessage]:
        """What is sent to this conversation after event `after`, for as long as the client listens."""
        woken = asyncio.Event()
        self._waiting[conversation].add(woken)
        quiet = 0
        try:
            while not self._closing.is_set():
                woken.clear()
                said: list[Said] = []
                with suppress(SQLAlchemyError, OSError):  # the database is away: keep the stream, look again
                    said = await record.events_after(database, conversation, after)
                for one in said:
                    assert one.event is not None
                    after = one.event
                    yield ServerSentEventMessage(data=_data(one), event="reply", id=str(one.event))
                if said:
                    quiet = 0
                    with suppress(SQLAlchemyError, OSError):
                        await record.delivered(database, conversation, after)
                quiet += 1
                if quiet > KEEP_ALIVE_AFTER:
                    quiet = 0
                    yield ServerSentEventMessage(comment="still here")
                with suppress(TimeoutError):
                    await asyncio.wait_for(woken.wait(), LOOK_EVERY)
        finally:
            self._waiting[conversation].discard(woken)
            if not self._waiting[conversation]:
                del self._waiting[conversation]


def _data(said: Said) -> str:
    reply = for_patient(msgspec.convert(said.reply, Reply))
    event = {
        "event_id": said.event,
        "message_id": said.client_id,
        "from": said.sender,
        "reply": reply,
        "at": said.at,
    }
    return msgspec.json.encode(event).decode()
