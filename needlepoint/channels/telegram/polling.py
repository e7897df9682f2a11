"""Asking Telegram for updates: one process of all does, and it asks on only when what came is stored."""

from __future__ import annotations

import asyncio
import logging

from telegram.error import Conflict, TelegramError

from needlepoint.channels.telegram import chats
from needlepoint.channels.telegram.arrivals import DATABASE_ERRORS, Arrivals
from needlepoint.channels.telegram.bot_api import POLL_SECONDS, retry_after
from needlepoint.channels.telegram.context import Context
from needlepoint.channels.telegram.updates import ALLOWED_UPDATES, update_number

log = logging.getLogger(__name__)

#: Seconds that a poll may be under way before another process may take over.
HELD_FOR = POLL_SECONDS + 5.0

_LONGEST_PAUSE = 30.0


async def poll(context: Context, arrivals: Arrivals) -> None:
    """Poll until cancelled, whenever this process is the one that does."""
    last: int | None = None
    pause = 1.0
    while True:
        try:
            if not await chats.take_polling(context.database, context.settings.bot, context.me, HELD_FOR):
                await asyncio.sleep(1.0)
                continue
            async with asyncio.timeout(HELD_FOR - 1):
                updates = await context.api.updates(last, ALLOWED_UPDATES)
            for update in updates:
                await arrivals.take_in(update)
                # Telegram forgets what is below the number we ask on from: not before it is stored.
                if (number := update_number(update)) is not None:
                    last = number
            pause = 1.0
            continue
        except Conflict:
            log.error(
                "another program asks for this bot's updates, or a webhook is set; stop it, or use a bot of its own "
                "(`needlepoint telegram doctor` says more)"
            )
        except TelegramError as error:
            pause = max(pause, retry_after(error) or 0.0)
            log.warning("no updates from Telegram (%s); asking again in %.0f s", type(error).__name__, pause)
        except DATABASE_ERRORS as error:
            # A time-out of the poll itself comes here too; both times the same updates are asked for again.
            log.warning("updates have to wait: %s", type(error).__name__)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
