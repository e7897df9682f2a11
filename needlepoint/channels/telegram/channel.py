"""The Telegram channel as the app runs it: starts, looks after what is left behind, stops without losing anything."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncEngine
from telegram.error import TelegramError

from needlepoint.channels.telegram import chats, deliveries, inbox
from needlepoint.channels.telegram.arrivals import DATABASE_ERRORS, Arrivals
from needlepoint.channels.telegram.bot_api import retry_after
from needlepoint.channels.telegram.configured import TelegramSettings
from needlepoint.channels.telegram.context import Context
from needlepoint.channels.telegram.polling import poll
from needlepoint.channels.telegram.updates import ALLOWED_UPDATES, COMMANDS
from needlepoint.channels.telegram.work import RENEW_EVERY, Workers
from needlepoint.conversations.reception import Reception
from needlepoint.phrases import Phrases

log = logging.getLogger(__name__)

#: Seconds between looks for what other processes left.
LOOK_EVERY = 1.0

#: Seconds between looks for what may be forgotten.
TIDY_EVERY = 3600.0

#: Seconds after which questions are answered although engine or answers are not there: with an apology.
READY_WITHIN = 60.0

#: Seconds that work under way gets at a stop.
DRAIN = 8.0


class TelegramChannel:
    """Everything between Telegram and the reception."""

    def __init__(
        self,
        settings: TelegramSettings,
        *,
        secret_key: str,
        database: AsyncEngine,
        reception: Reception,
        phrases: Phrases,
        zone: ZoneInfo,
        rate_limit: int,
        ready: Callable[[], Awaitable[bool]],
    ) -> None:
        """`ready`: can questions be answered now? What waited through a restart is not answered before."""
        self.settings = settings
        self._ready = ready
        #: Posts to the webhook without its secret.
        self.refused = 0
        self._context = Context(
            settings,
            secret_key=secret_key,
            database=database,
            reception=reception,
            phrases=phrases,
            zone=zone,
            rate_limit=rate_limit,
        )
        self._workers = Workers(self._context)
        self._arrivals = Arrivals(self._context, self._workers.wake)
        self._tasks: list[asyncio.Task[None]] = []

    async def take_in(self, update: object) -> None:
        """Take an update in. Raises what a database that is away raises."""
        await self._arrivals.take_in(update)

    def wake(self, conversation: str) -> None:
        """Something was committed for this conversation by this process."""
        if (chat := self._context.memory.chat_of(conversation)) is not None:
            self._workers.wake(chat)

    def start(self) -> None:
        """Begin. Waits for nobody: Telegram may be away."""
        self._tasks = [
            asyncio.create_task(self._set_up()),
            asyncio.create_task(_every(LOOK_EVERY, self._workers.look)),
            asyncio.create_task(_every(RENEW_EVERY, self._workers.keep_leases)),
            asyncio.create_task(_every(TIDY_EVERY, self._tidy)),
            asyncio.create_task(self._set_commands()),
            asyncio.create_task(self._open_when_ready()),
        ]

    async def close(self) -> None:
        """Take nothing new in, finish what is under way, leave the rest to others."""
        # The leases are renewed until the last.
        renewing = self._tasks.pop(2) if self._tasks else None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.settings.updates == "polling":
            with suppress(*DATABASE_ERRORS):
                await chats.leave_polling(self._context.database, self.settings.bot, self._context.me)
        await self._arrivals.drain(DRAIN)
        await self._workers.close(DRAIN)
        if renewing is not None:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
        await self._context.api.close()

    async def _open_when_ready(self) -> None:
        """Red flags are answered from the first moment; questions wait for engine and answers, but not for ever."""
        ends = time.monotonic() + READY_WITHIN
        try:
            while time.monotonic() < ends and not await self._ready():  # noqa: ASYNC110 - it is asked of others
                await asyncio.sleep(0.2)
        finally:
            self._workers.open()

    async def _set_up(self) -> None:
        """Have Telegram send updates the way the settings say, and poll where that is set."""
        await _until_it_works("the way updates come", self._set_way)
        if self.settings.updates == "polling":
            await poll(self._context, self._arrivals)

    async def _set_way(self) -> None:
        api, settings = self._context.api, self.settings
        now_set = await api.webhook()
        if settings.updates == "polling":
            if now_set.get("url"):
                log.warning("the bot's webhook is removed: NEEDLEPOINT_TELEGRAM_UPDATES is `polling`")
                await api.delete_webhook()
            return
        # Not set again without need: several processes that start at once would be told to wait.
        refused_us = "403" in str(now_set.get("last_error_message", ""))
        same = now_set.get("url") == settings.webhook_url
        if not same or refused_us or sorted(now_set.get("allowed_updates") or []) != sorted(ALLOWED_UPDATES):
            await api.set_webhook(settings.webhook_url, settings.webhook_secret, ALLOWED_UPDATES)

    async def _set_commands(self) -> None:
        """The menu of commands in each language; the first of them is also for all others."""
        phrases, pause = self._context.phrases, 2.0
        left: list[str | None] = [None, *phrases.languages]
        while left:
            refused = []
            for language in left:
                said = {name: phrases.say(f"telegram_command_{name}", phrases.language(language)) for name in COMMANDS}
                if not await self._context.api.set_commands(said, language):
                    refused.append(language)
            if left := refused:
                log.warning("Telegram did not take the menu of commands; the commands themselves work")
                await asyncio.sleep(pause)
                pause = min(pause * 2, 600.0)

    async def _tidy(self) -> None:
        await inbox.forget_old(self._context.database)
        await deliveries.forget_old(self._context.database)
        await chats.forget_silent(self._context.database)


async def _every(seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await duty()
        except Exception as error:  # mostly: the database is away
            log.debug("Telegram has to wait: %s", type(error).__name__)
        await asyncio.sleep(seconds)


async def _until_it_works(what: str, attempt: Callable[[], Awaitable[None]]) -> None:
    pause = 1.0
    while True:
        try:
            await attempt()
            return
        except TelegramError as error:
            pause = max(pause, retry_after(error) or 0.0)
            log.warning("%s could not be set (%s); again in %.0f s", what, type(error).__name__, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, 60.0)
