"""Replies as server-sent events: each open stream is woken by this process and looks for others' work by itself."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

import msgspec
from litestar.response import ServerSentEventMessage
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import record
from needlepoint.conversations.record import Said
from needlepoint.db.base import now
from needlepoint.reply import Reply, for_patient

#: Seconds between looks for what another process sent into the same conversation.
LOOK_EVERY = 1.0

#: Streams one process keeps open, well below the files a process may have; beyond, clients ask for the history.
MOST_STREAMS = 500

#: Streams one conversation may have open (tabs, a phone); the oldest ends for a new one.
MOST_OF_ONE = 4

#: Looks without news after which a comment keeps proxies from closing the stream.
KEEP_ALIVE_AFTER = 15


#: Milliseconds after which clients come back to another process when this one stops.
COME_BACK_AFTER = (500, 3000)


class _Listener:
    """One open stream: set `woken` to make it look, `leave` to make it end."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.leave = False


class Streams:
    """The open streams of this process, by conversation."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Listener]] = defaultdict(list)
        self._closing = asyncio.Event()

    def wake(self, conversation: str) -> None:
        """Something new was committed for this conversation."""
        for listener in self._waiting.get(conversation, ()):
            listener.woken.set()

    def has_room(self) -> bool:
        """May another stream be opened?"""
        return self.count() < MOST_STREAMS

    def count(self) -> int:
        """How many are open."""
        return sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """End all streams; clients come back to another process and resume."""
        self._closing.set()
        for conversation in list(self._waiting):
            self.wake(conversation)

    async def events(
        self, database: AsyncEngine, conversation: str, after: int, until: datetime
    ) -> AsyncIterator[ServerSentEventMessage]:
        """What is sent to this conversation after event `after`.

        Ends when the client leaves, at `until` (the end of its token), or when the conversation is erased.
        """
        listener = _Listener()
        listeners = self._waiting[conversation]
        listeners.append(listener)
        for oldest in listeners[:-MOST_OF_ONE]:
            oldest.leave = True
            oldest.woken.set()
        quiet = 0
        try:
            while not self._closing.is_set() and not listener.leave and now() < until:
                listener.woken.clear()
                said: list[Said] = []
                with suppress(SQLAlchemyError, OSError):  # the database is away: keep the stream, look again
                    said = await record.events_after(database, conversation, after)
                    if not said and quiet % KEEP_ALIVE_AFTER == 0 and await record.is_erased(database, conversation):
                        break
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
                    await asyncio.wait_for(listener.woken.wait(), LOOK_EVERY)
            if self._closing.is_set():
                # Spread out, so that not everybody comes back in the same moment.
                pause = random.randint(*COME_BACK_AFTER)  # noqa: S311 - nothing secret
                yield ServerSentEventMessage(comment="stopping", retry=pause)
        finally:
            listeners.remove(listener)
            if not listeners:
                self._waiting.pop(conversation, None)


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
