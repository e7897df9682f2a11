"""Working for chats: one chat's updates in their order, many chats side by side; then what is to be sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec

from needlepoint.channels.telegram import chats, deliveries, handling, inbox, keyboards
from needlepoint.channels.telegram.arrivals import DATABASE_ERRORS
from needlepoint.channels.telegram.bot_api import Result
from needlepoint.channels.telegram.chats import Chat
from needlepoint.channels.telegram.context import Content, Context, Fate
from needlepoint.channels.telegram.deliveries import CARD_UNKNOWN_AFTER, News, ToSend
from needlepoint.channels.telegram.handling import Handled, Say
from needlepoint.channels.telegram.inbox import MOST_ATTEMPTS, Waiting
from needlepoint.channels.telegram.rendering import render, render_text
from needlepoint.channels.telegram.sealing import SealError
from needlepoint.channels.telegram.updates import Inbound
from needlepoint.conversations.reception import ConsentNeededError
from needlepoint.conversations.record import TooManyWaitingError, UnknownConversationError
from needlepoint.db.base import now
from needlepoint.reply import Reply

log = logging.getLogger(__name__)

#: Chats that one process works for at a time; more wait a moment. SQLite has one writer, for whom all have to wait.
AT_A_TIME = 16
AT_A_TIME_ON_SQLITE = 4

#: Seconds a person waits before they see that an answer is on its way, and between showing it again.
TYPING_AFTER = 1.0
TYPING_EVERY = 4.5

#: Seconds between renewals of the leases.
RENEW_EVERY = 5.0

_LONGEST_WAIT = 3600.0


class Workers:
    """One worker a chat, while there is something to do for it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._working: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        on_sqlite = context.database.dialect.name == "sqlite"
        self._at_a_time = asyncio.Semaphore(AT_A_TIME_ON_SQLITE if on_sqlite else AT_A_TIME)
        self._later: dict[str, asyncio.TimerHandle] = {}
        self._open = False
        self._closing = False

    def open(self) -> None:
        """Begin to work. What came before is found by the next look."""
        self._open = True

    def wake(self, chat: str) -> None:
        """There may be something to do for this chat."""
        if self._closing or not self._open:
            return
        if chat in self._working:
            self._again.add(chat)
            return
        if (timer := self._later.pop(chat, None)) is not None:
            timer.cancel()
        task = asyncio.create_task(self._work(chat))
        self._working[chat] = task
        task.add_done_callback(lambda _: self._finished(chat))

    def _finished(self, chat: str) -> None:
        self._working.pop(chat, None)
        if chat in self._again:
            self._again.discard(chat)
            self.wake(chat)

    def _wake_at(self, chat: str, moment: datetime) -> None:
        seconds = min(max((moment - now()).total_seconds(), 0.05), _LONGEST_WAIT)
        if (timer := self._later.pop(chat, None)) is not None:
            timer.cancel()
        self._later[chat] = asyncio.get_running_loop().call_later(seconds, self.wake, chat)

    async def look(self) -> None:
        """Find what other processes left or put there. Raises what the database raises."""
        if not self._open:
            return
        database, bot = self._context.database, self._context.settings.bot
        for found in (
            await inbox.chats_waiting(database, bot, 100),
            await deliveries.chats_due(database, 100),
            await chats.with_news(database, 100),
        ):
            for chat in found:
                if chat not in self._working:
                    self.wake(chat)

    async def keep_leases(self) -> None:
        """Renew the leases of the chats that are worked for. Raises what the database raises."""
        if self._working:
            await chats.renew(self._context.database, list(self._working), self._context.me)

    async def close(self, seconds: float) -> None:
        """Take nothing new on, wait for what is under way; what is not done stays in the database."""
        self._closing = True
        for timer in self._later.values():
            timer.cancel()
        if working := list(self._working.values()):
            _, late = await asyncio.wait(working, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _work(self, name: str) -> None:
        context = self._context
        try:
            async with self._at_a_time:
                chat = await chats.lease(context.database, name, context.me)
                if chat is None:
                    await self._without_chat(name)
                    return
                try:
                    await self._for_chat(chat)
                finally:
                    await chats.release(context.database, name, context.me)
        except DATABASE_ERRORS as error:
            log.warning("a chat has to wait for the database: %s", type(error).__name__)
        except Exception as error:  # whatever it is, the other chats go on, and the next look comes
            log.error("working for a chat failed: %s", type(error).__name__, exc_info=_without_words(error))

    async def _without_chat(self, name: str) -> None:
        """No lease: another process works for it, or it was deleted; then nothing of it may wait."""
        if await chats.find(self._context.database, name) is None:
            database, bot = self._context.database, self._context.settings.bot
            while (waiting := await inbox.following(database, bot, name)) is not None:
                await inbox.done(database, bot, waiting.update_id)

    async def _for_chat(self, chat: Chat) -> None:
        """Work on one update after the other, and send after each what is to be sent."""
        context = self._context
        first = True
        while True:
            waiting = None if self._closing else await inbox.following(context.database, context.settings.bot, chat.id)
            if waiting is not None:
                after = await self._update(chat, waiting)
                if after is None:
                    return
                chat = after
            elif not first:
                return
            fed = await self._feed(chat)
            await self._deliver(chat, expected=fed)
            first = False

    # -- updates ---------------------------------------------------------------------------------------------------

    async def _update(self, chat: Chat, waiting: Waiting) -> Chat | None:
        """Work on one update; returns the chat as it is then, None where it is gone."""
        context = self._context
        done = partial(inbox.done, context.database, context.settings.bot, waiting.update_id)
        try:
            inbound = msgspec.json.decode(context.sealing.open(waiting.content), type=Inbound)
        except (SealError, msgspec.DecodeError) as error:
            log.error("an update cannot be read and is dropped: %s", error)
            return await done(chat=chat.id)
        try:
            async with self._typing(inbound):
                if inbound.urgent is not None:
                    return await done(await self._left_behind(chat, inbound), chat.id)
                handled = await handling.handle(context, chat, inbound)
        except ConsentNeededError:
            handled = Handled([handling.ask_for_consent(context, chat)])
        except (UnknownConversationError, TooManyWaitingError) as error:
            log.info("an update came to nothing: %s", type(error).__name__)
            handled = Handled()
        except DATABASE_ERRORS:
            raise  # it stays in the inbox until the database is back
        except Exception as error:
            if await inbox.failed(context.database, context.settings.bot, waiting.update_id) < MOST_ATTEMPTS:
                raise
            log.error("an update failed for good: %s", type(error).__name__, exc_info=_without_words(error))
            handled = Handled([Say(context.phrases.say("engine_apology", chat.language))])
        if handled.gone:
            await self._say_without_trace(inbound, handled.says, chat.language)
        to_send = [] if handled.gone else [one for say in handled.says for one in self._said(chat, say)]
        return await done(to_send, chat.id)

    async def _left_behind(self, chat: Chat, inbound: Inbound) -> list[ToSend]:
        """A red flag before consent whose card nobody knows to have been sent: once more, and saying so."""
        context = self._context
        assert inbound.urgent is not None
        reply = await context.reception.urgent_again(chat.language, inbound.urgent)
        parts = render(reply, context.phrases, chat.language, context.zone)
        return [
            ToSend(chat.id, context.seal(part, []), "urgent", part=number, parts=len(parts), again=True)
            for number, part in enumerate(parts, 1)
        ]

    def _said(self, chat: Chat, say: Say) -> list[ToSend]:
        parts = render_text(say.text)
        return [
            ToSend(
                chat.id,
                self._context.seal(part, say.keyboard if number == len(parts) else []),
                say.weight,
                part=number,
                parts=len(parts),
            )
            for number, part in enumerate(parts, 1)
        ]

    async def _say_without_trace(self, inbound: Inbound, says: list[Say], language: str) -> None:
        """Say something to somebody of whom nothing may be kept; tried a few times, in memory."""
        for content in (Content(part.html, part.plain) for say in says for part in render_text(say.text)):
            shown = content
            for attempt in range(6):
                result = await self._context.api.send(inbound.chat_id, shown.part, [])
                if result.state in ("sent", "blocked", "refused"):
                    break
                if result.state == "unclear":
                    shown = self._context.sent_again(content, language)
                await asyncio.sleep(min(result.seconds, 30.0) if result.state == "later" else 0.5 * 2**attempt)

    @asynccontextmanager
    async def _typing(self, inbound: Inbound) -> AsyncIterator[None]:
        """Show that an answer is on its way as long as one is being made, if that takes more than a moment."""
        if inbound.kind not in ("text", "attachment", "command", "press"):
            yield
            return

        async def show() -> None:
            await asyncio.sleep(TYPING_AFTER)
            while True:
                await self._context.api.typing(inbound.chat_id)
                await asyncio.sleep(TYPING_EVERY)

        showing = asyncio.create_task(show())
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    # -- what the outbox holds -------------------------------------------------------------------------------------

    async def _feed(self, chat: Chat) -> bool:
        """Put what the outbox holds for a chat into the deliveries; returns whether something was put there to send."""
        context = self._context
        if chat.newest_event <= chat.last_event:
            return False
        complete, fed, last = True, False, chat.last_event
        for one in await deliveries.news(context.database, chat.conversation, chat.last_event):
            fate = self._fate(chat, one)
            if fate is not None and fate.state == "on_its_way":
                complete = False
                self._wake_at(chat.id, one.created_at + CARD_UNKNOWN_AFTER + timedelta(seconds=1))
                continue
            reply = msgspec.convert(one.reply, Reply)
            to_send = self._parts(chat, one, reply, fate)
            changed: dict[str, Any] = {"open_choices": one.event} if reply.choices else {}
            if complete:
                last = changed["last_event"] = one.event
            await deliveries.store(context.database, chat.id, to_send, **changed)
            fed = fed or any(part.result is None and part.cancelled is None for part in to_send)
            if one.client_id is not None:
                context.memory.cards.pop((chat.conversation, one.client_id), None)
        if complete and last < chat.newest_event:  # what was sent outside the order has its deliveries already
            await chats.change(context.database, chat.id, last_event=chat.newest_event)
        return fed

    def _fate(self, chat: Chat, one: News) -> Fate | None:
        """What became of an urgent card outside the chat's order; None for everything else."""
        if one.state != "urgent" or one.client_id is None:
            return None
        known = self._context.memory.cards.get((chat.conversation, one.client_id))
        if known is not None:
            return known
        # Another process may be sending it now; later it may have died, before or after.
        if now() - one.created_at < CARD_UNKNOWN_AFTER:
            return Fate("on_its_way")
        return Fate("not_sent", again=True)

    def _parts(self, chat: Chat, one: News, reply: Reply, fate: Fate | None) -> list[ToSend]:
        context = self._context
        said_in = reply.answers[0].language if reply.answers else chat.language
        corrected = one.client_id is not None and one.client_id.startswith("tg-e") and one.state == "answered"
        before = context.phrases.say("telegram_correction", chat.language) if corrected else ""
        parts = render(reply, context.phrases, said_in, context.zone, before)
        unasked = one.client_id is None
        cancelled = chat.state if chat.state == "blocked" or (unasked and chat.state == "stopped") else None
        weight: deliveries.Weight = "optional" if unasked and one.sender == "assistant" else "answer"
        buttons = keyboards.for_reply(reply, one.event, context.phrases, chat.language)
        results = fate.results if fate is not None and fate.state == "sent" else []
        return [
            ToSend(
                chat.id,
                context.seal(part, buttons if number == len(parts) else []),
                "urgent" if fate is not None else weight,
                outbox_id=one.outbox_id,
                part=number,
                parts=len(parts),
                again=fate is not None and fate.again,
                result=results[number - 1] if number <= len(results) else None,
                cancelled=cancelled if fate is None else None,
            )
            for number, part in enumerate(parts, 1)
        ]

    # -- sending ---------------------------------------------------------------------------------------------------

    async def _deliver(self, chat: Chat, *, expected: bool) -> None:
        """Send what is due for a chat, one part after the other."""
        context = self._context
        while True:
            begun = await deliveries.begin(context.database, chat.id, expected=expected)
            if begun is None:
                return
            if isinstance(begun, datetime):
                if begun > now():
                    self._wake_at(chat.id, begun)
                    return
                continue
            try:
                content, chat_id = context.unseal(begun.content), context.chat_id(chat)
            except (SealError, msgspec.DecodeError) as error:
                log.error("a message that waits cannot be read: %s", error)
                result = Result("refused", error="SealError")
            else:
                shown = context.sent_again(content, chat.language) if begun.again else content
                result = await context.api.send(chat_id, shown.part, shown.keyboard)
            if result.state == "refused":
                log.error("Telegram refused a message (%s); staff see it in the transcript", result.error)
            if not await deliveries.note(context.database, chat.id, begun, result):
                return


def _without_words(error: BaseException) -> BaseException | None:
    """The error with its trace where it cannot carry what a person wrote; those of the database are told not to."""
    return error if not isinstance(error, msgspec.ValidationError) else None
