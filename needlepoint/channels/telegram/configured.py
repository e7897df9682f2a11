"""What the settings say of the Telegram channel, checked whole: a wrong or half setting stops the start."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from needlepoint.settings import ENVIRONMENT_PREFIX, Settings, SettingsError

#: What BotFather hands out: the bot's number, a colon, a secret.
_TOKEN = re.compile(r"([0-9]{1,18}):[A-Za-z0-9_-]{20,100}")

#: Where Telegram posts updates to, below the app's address. It holds no secret: addresses end up in logs.
WEBHOOK_PATH = "/telegram/webhook"

#: Names of this machine.
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class TelegramSettings(msgspec.Struct, frozen=True):
    """The channel as it is to run. `token` and `webhook_secret` must never be shown."""

    token: str
    bot: int
    updates: Literal["polling", "webhook"]
    api: str
    #: The whole address of the webhook; empty with polling.
    webhook_url: str
    webhook_secret: str

    def __repr__(self) -> str:
        return f"TelegramSettings(bot={self.bot}, updates={self.updates!r}, api={self.api!r})"


def read_telegram(settings: Settings) -> TelegramSettings | None:
    """The channel's settings, None where no bot token is set. Raises SettingsError, which never repeats the token."""
    if not settings.telegram_bot_token:
        return None
    found = _TOKEN.fullmatch(settings.telegram_bot_token.strip())
    if not found:
        raise SettingsError(
            _name("bot_token") + " is no bot token; copy it whole from BotFather, it looks like 123456789:AAE..."
        )
    webhook_url = ""
    if settings.telegram_updates == "webhook":
        base = _base(settings.telegram_webhook_base_url or settings.public_url, "webhook_base_url")
        # Telegram itself posts over TLS only; a Bot API server of one's own may use a private network.
        if urlsplit(base).scheme != "https" and _is_telegrams_own(settings.telegram_api_base_url):
            raise SettingsError(
                _name("webhook_base_url") + " (or NEEDLEPOINT_PUBLIC_URL) must begin with https://: Telegram posts to "
                "nothing else; without a public address set NEEDLEPOINT_TELEGRAM_UPDATES=polling"
            )
        webhook_url = base + WEBHOOK_PATH
    api = _base(settings.telegram_api_base_url, "api_base_url")
    if urlsplit(api).scheme == "http" and urlsplit(api).hostname not in LOOPBACK:
        raise SettingsError(
            _name("api_base_url") + " must begin with https:// (the token travels in it); http only on this machine"
        )
    return TelegramSettings(
        token=found[0],
        bot=int(found[1]),
        updates=settings.telegram_updates,
        api=api,
        webhook_url=webhook_url,
        webhook_secret=webhook_secret(settings.secret_key, int(found[1])),
    )


def webhook_secret(secret_key: str, bot: int) -> str:
    """What Telegram proves itself with: the same in every process of the clinic, and set nowhere."""
    return hmac.new(_key("telegram-webhook:", secret_key), str(bot).encode(), hashlib.sha256).hexdigest()


def _key(purpose: str, secret_key: str) -> bytes:
    return hashlib.sha256(purpose.encode() + secret_key.encode()).digest()


def _base(url: str, name: str) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in ("https", "http") and parts.hostname and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        valid = False
    if not valid or parts.username or parts.password:
        raise SettingsError(f"{_name(name)} is no address; write it like https://chat.clinic.example")
    return url.strip().rstrip("/")


def _is_telegrams_own(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith("telegram.org")


def _name(field: str) -> str:
    return f"{ENVIRONMENT_PREFIX}TELEGRAM_{field.upper()}"
