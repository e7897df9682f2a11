"""`needlepoint telegram doctor`: what is configured, what Telegram says, and what to mend."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from telegram.error import InvalidToken, TelegramError

from needlepoint.channels.telegram import deliveries, inbox
from needlepoint.channels.telegram.bot_api import BotApi
from needlepoint.channels.telegram.configured import TelegramSettings
from needlepoint.channels.telegram.updates import ALLOWED_UPDATES

#: More updates than these waiting at Telegram mean that nobody fetches them.
MANY_WAITING = 50


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor; a `problem` says what to mend, a `note` what to know."""

    kind: Literal["good", "note", "problem"]
    text: str


async def examine(settings: TelegramSettings | None, database: AsyncEngine) -> list[Finding]:
    """Look at everything, in the order in which one would mend it. Never shows the token."""
    if settings is None:
        return [
            Finding("problem", "no bot: make one with @BotFather in Telegram and set NEEDLEPOINT_TELEGRAM_BOT_TOKEN")
        ]
    where = f"posted to {settings.webhook_url}" if settings.updates == "webhook" else "asked for (polling)"
    found = [Finding("good", f"bot number {settings.bot} at {settings.api}; updates are {where}")]
    api = BotApi(settings)
    try:
        found += [one async for one in _telegram(api, settings)]
    finally:
        await api.close()
    return [*found, *await _database(database)]


async def _telegram(api: BotApi, settings: TelegramSettings) -> Any:
    try:
        me = await api.me()
        webhook = await api.webhook()
    except InvalidToken:
        yield Finding(
            "problem", "Telegram does not know this token: copy it again from @BotFather (/mybots, API Token)"
        )
        return
    except TelegramError as error:
        if "token" in str(error).lower() or type(error).__name__ == "EndPointNotFound":
            yield Finding("problem", "Telegram does not know this token: copy it again from @BotFather")
        else:
            yield Finding(
                "problem",
                f"Telegram cannot be reached at {settings.api} ({type(error).__name__}): look at the network, a proxy "
                "(HTTPS_PROXY) or NEEDLEPOINT_TELEGRAM_API_BASE_URL",
            )
        return
    yield Finding("good", f"Telegram knows the bot as @{me.get('username')}: https://t.me/{me.get('username')}")
    if me.get("can_join_groups"):
        yield Finding("note", "the bot may be added to groups, where it only says to write privately; /setjoingroups")
    for finding in _webhook(webhook, settings):
        yield finding


def _webhook(webhook: dict[str, Any], settings: TelegramSettings) -> Iterator[Finding]:
    url, waiting = str(webhook.get("url") or ""), int(webhook.get("pending_update_count") or 0)
    if settings.updates == "polling" and url:
        yield Finding(
            "problem",
            f"a webhook is set ({url}), so polling gets nothing: start the app, which removes it, or set "
            "NEEDLEPOINT_TELEGRAM_UPDATES=webhook; if it belongs to another installation, use a bot of its own",
        )
    elif settings.updates == "webhook" and url != settings.webhook_url:
        is_set = f"Telegram posts to {url}" if url else "no webhook is set"
        yield Finding(
            "problem", f"{is_set}, not to {settings.webhook_url}: start the app, which sets it, and look at its log"
        )
    else:
        yield Finding("good", f"the webhook is {'set' if url else 'not set'}, as it should be")
    if url and sorted(webhook.get("allowed_updates") or []) != sorted(ALLOWED_UPDATES):
        yield Finding(
            "problem", "Telegram is asked for other kinds of updates than ours: start the app, which sets them"
        )
    if waiting > MANY_WAITING:
        yield Finding("problem", f"{waiting} updates wait at Telegram: is the app running, and reachable?")
    else:
        yield Finding("good", f"{waiting} updates wait at Telegram")
    if said := webhook.get("last_error_message"):
        at = datetime.fromtimestamp(int(webhook.get("last_error_date") or 0), tz=UTC)
        mend = "the secret differs: restart the app" if "403" in said else "look at proxy, certificate and firewall"
        yield Finding("problem", f"Telegram could not post at {at:%Y-%m-%d %H:%M} UTC: {said}; {mend}")


async def _database(database: AsyncEngine) -> list[Finding]:
    try:
        counts = await deliveries.counts(database)
        waiting = await inbox.waiting(database)
    except SQLAlchemyError as error:
        return [Finding("problem", f"the database cannot be read ({type(error).__name__}): run `needlepoint up` once")]
    found = [Finding("good", f"{counts.get('sent', 0)} messages were delivered")]
    if waiting or counts.get("waiting"):
        found.append(
            Finding("note", f"{waiting} updates wait to be answered, {counts.get('waiting', 0)} messages to go")
        )
    if lost := {state: counts[state] for state in ("failed", "unclear", "cancelled") if counts.get(state)}:
        said = ", ".join(f"{count} {state}" for state, count in lost.items())
        found.append(Finding("note", f"not known to have arrived: {said}; the conversations at the desk show which"))
    return found
