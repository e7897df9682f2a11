"""Calls to the Bot API, and of each message that is sent what is known of its arrival: yes, no, or nobody knows."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec
from telegram import Bot, BotCommand, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions
from telegram.error import BadRequest, Forbidden, InvalidToken, NetworkError, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from needlepoint.channels.telegram.configured import LOOPBACK, TelegramSettings
from needlepoint.channels.telegram.keyboards import Keyboard
from needlepoint.channels.telegram.rendering import Part

log = logging.getLogger(__name__)

#: Seconds that one attempt to send may take in all; a delivery that began longer ago is nobody's any more.
SEND_WITHIN = 15.0

#: Seconds that Telegram holds a request for updates open while there are none.
POLL_SECONDS = 10

#: Calls at once; more wait a moment.
_CONNECTIONS = 32

#: What Telegram says where it will never take anything for this chat.
_GONE = ("chat not found", "user is deactivated", "peer_id_invalid", "bot was blocked", "have no rights")

#: These write each address they call, and the bot's token stands in it.
for _name in ("httpx", "httpcore", "telegram"):
    logging.getLogger(_name).setLevel(logging.WARNING)


# That call is made raw on purpose: see `BotApi.updates`.
warnings.filterwarnings("ignore", message=r"Please use 'Bot\.getUpdates'")


class UnclearAnswerError(NetworkError):
    """Something between us and Telegram answered in its place."""


class Result(msgspec.Struct, frozen=True):
    """What is known of a message after an attempt to send it.

    `later`: Telegram wants `seconds` of quiet. `not_arrived`: it is sure that nothing arrived. `unclear`: it may have.
    `blocked`: this person cannot be reached. `refused`: Telegram will never take it as it is.
    """

    state: Literal["sent", "later", "not_arrived", "unclear", "blocked", "refused"]
    remote_id: int | None = None
    seconds: float = 0.0
    error: str | None = None


class _Request(HTTPXRequest):
    """Tells apart who answered: the Bot API speaks JSON in every error, a proxy in front of it does not."""

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        code, payload = await super().do_request(*args, **kwargs)
        if code >= 500:
            answer = None
            with suppress(ValueError):
                answer = json.loads(payload)
            if not isinstance(answer, dict) or answer.get("ok") is not False:
                raise UnclearAnswerError(f"HTTP {code}")
        return code, payload


class BotApi:
    """The bot, as the channel uses it."""

    def __init__(self, settings: TelegramSettings) -> None:
        limits: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 10, "write_timeout": 5, "pool_timeout": 5}
        if urlsplit(settings.api).hostname in LOOPBACK:  # no proxy leads to this machine
            limits["httpx_kwargs"] = {"trust_env": False}
        self._request = _Request(connection_pool_size=_CONNECTIONS, **limits)
        self._polling = _Request(connection_pool_size=2, **limits)
        # Not initialised: that would ask Telegram who we are, and a start must not hang on that.
        self._bot = Bot(
            settings.token,
            base_url=f"{settings.api}/bot",
            base_file_url=f"{settings.api}/file/bot",
            request=self._request,
            get_updates_request=self._polling,
        )

    async def close(self) -> None:
        """Close the connections."""
        for request in (self._request, self._polling):
            await request.shutdown()

    # -- sending ---------------------------------------------------------------------------------------------------

    async def send(self, chat_id: int, part: Part, keyboard: Keyboard) -> Result:
        """Send one message. Never raises for what Telegram or the network does."""
        result = await self._send(chat_id, part.html, "HTML", keyboard)
        if result.state == "refused" and "parse entities" in (result.error or ""):
            log.error("Telegram did not take our HTML; the message goes as plain text")
            result = await self._send(chat_id, part.plain, None, keyboard)
        return result

    async def _send(self, chat_id: int, text: str, parse_mode: str | None, keyboard: Keyboard) -> Result:
        try:
            async with asyncio.timeout(SEND_WITHIN):
                message = await self._bot.send_message(
                    chat_id,
                    text,
                    parse_mode=parse_mode,
                    reply_markup=_markup(keyboard),
                    link_preview_options=LinkPreviewOptions(is_disabled=True),
                )
        except RetryAfter as error:
            return Result("later", seconds=_seconds(error), error="RetryAfter")
        except Forbidden:
            return Result("blocked", error="Forbidden")
        except BadRequest as error:
            said = error.message.lower()
            if any(words in said for words in _GONE):
                return Result("blocked", error="ChatNotFound")
            return Result("refused", error="can't parse entities" if "parse entities" in said else "BadRequest")
        except InvalidToken:
            log.error("Telegram does not know this bot token; `needlepoint telegram doctor` says more")
            return Result("not_arrived", error="InvalidToken")
        except (TelegramError, TimeoutError) as error:
            name = type(error.__cause__ or error).__name__
            return Result("not_arrived" if _surely_not_arrived(error) else "unclear", error=name)
        return Result("sent", remote_id=message.message_id)

    # -- what may fail without harm --------------------------------------------------------------------------------

    async def typing(self, chat_id: int) -> None:
        """Show for a few seconds that an answer is on its way."""
        await self._optional(self._bot.send_chat_action(chat_id, "typing"))

    async def answer_press(self, press_id: str, text: str = "") -> None:
        """Take the waiting sign from a pressed button, with a line for the person where there is something to say."""
        await self._optional(self._bot.answer_callback_query(press_id, text=text[:200] or None, show_alert=bool(text)))

    async def change_keyboard(self, chat_id: int, message_id: int, keyboard: Keyboard) -> None:
        """Replace the buttons below a message."""
        await self._optional(self._bot.edit_message_reply_markup(chat_id, message_id, reply_markup=_markup(keyboard)))

    async def _optional(self, call: Any) -> bool:
        try:
            async with asyncio.timeout(SEND_WITHIN):
                await call
        except (TelegramError, TimeoutError) as error:
            log.debug("an optional call failed: %s", type(error).__name__)
            return False
        return True

    # -- setting up ------------------------------------------------------------------------------------------------

    async def me(self) -> dict[str, Any]:
        """What Telegram says of the bot. Raises TelegramError."""
        return (await self._bot.get_me()).to_dict()

    async def webhook(self) -> dict[str, Any]:
        """Where Telegram posts updates to, and how that goes. Raises TelegramError."""
        return (await self._bot.get_webhook_info()).to_dict()

    async def set_webhook(self, url: str, secret: str, allowed: list[str]) -> None:
        """Have updates posted to this address. Raises TelegramError."""
        await self._bot.set_webhook(url, secret_token=secret, allowed_updates=allowed)

    async def delete_webhook(self) -> None:
        """Have no updates posted; those that wait are kept. Raises TelegramError."""
        await self._bot.delete_webhook(drop_pending_updates=False)

    async def set_commands(self, commands: dict[str, str], language: str | None) -> bool:
        """Register the menu of commands for a language, or for all others; returns whether Telegram took it."""
        named = [BotCommand(name, said) for name, said in commands.items()]
        return await self._optional(self._bot.set_my_commands(named, language_code=language))

    async def updates(self, after: int | None, allowed: list[str]) -> list[Any]:
        """The next updates as they are, waiting a while where there are none. Raises TelegramError."""
        # Raw: an update that the library cannot read must not stop those behind it.
        asked: dict[str, Any] = {"timeout": POLL_SECONDS, "limit": 100, "allowed_updates": allowed}
        if after is not None:
            asked["offset"] = after + 1
        found = await self._bot.do_api_request("getUpdates", api_kwargs=asked, read_timeout=POLL_SECONDS + 3)
        return list(found) if isinstance(found, list) else []


def retry_after(error: TelegramError) -> float | None:
    """The seconds of quiet that Telegram asks for, None where it asks for none."""
    return _seconds(error) if isinstance(error, RetryAfter) else None


def _seconds(error: RetryAfter) -> float:
    # The library gives a number now and a timedelta soon.
    asked: Any = error.retry_after
    return float(asked.total_seconds() if hasattr(asked, "total_seconds") else asked)


def _surely_not_arrived(error: Exception) -> bool:
    cause = error.__cause__
    if isinstance(cause, httpx.HTTPError):
        return isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError)
    # An answer in the Bot API's own words that it failed; anything else is unclear.
    return type(error) is NetworkError and cause is None


def _markup(keyboard: Keyboard) -> InlineKeyboardMarkup | None:
    if not keyboard:
        return None
    rows = [[InlineKeyboardButton(title, callback_data=data) for title, data in row] for row in keyboard]
    return InlineKeyboardMarkup(rows)
