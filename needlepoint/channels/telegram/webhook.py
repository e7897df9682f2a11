"""The address that Telegram posts updates to. Only who knows the secret is heard; the answer is 200 at once."""

from __future__ import annotations

import hmac
import json
import logging
from typing import Any

from litestar import Request, Response, post

from needlepoint.channels.telegram.arrivals import DATABASE_ERRORS
from needlepoint.channels.telegram.channel import TelegramChannel
from needlepoint.channels.telegram.configured import WEBHOOK_PATH

log = logging.getLogger(__name__)

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105 - the name of the header

#: Largest update in bytes: a text of 4,096 characters with as many entities, and what it replies to.
LARGEST_UPDATE = 1024 * 1024


@post(WEBHOOK_PATH, status_code=200, request_max_body_size=LARGEST_UPDATE, include_in_schema=False)
async def telegram_webhook(request: Request[Any, Any, Any], telegram: TelegramChannel) -> Response[None]:
    """Take an update in. 200 for whatever Telegram sends, so that it never repeats what was taken; 503 while the
    database is away, so that it does repeat what was not."""
    given = request.headers.get(SECRET_HEADER, "")
    if not hmac.compare_digest(given.encode(), telegram.settings.webhook_secret.encode()):
        telegram.refused += 1
        if telegram.refused & (telegram.refused - 1) == 0:  # the first, second, fourth ...: nobody may fill our log
            log.warning("a post to the Telegram webhook without its secret was refused (number %d)", telegram.refused)
        return Response(None, status_code=403)
    try:
        update = json.loads(await request.body())
    except (ValueError, RecursionError):
        log.warning("Telegram sent something that is no JSON")
        return Response(None, status_code=200)
    try:
        await telegram.take_in(update)
    except DATABASE_ERRORS:
        return Response(None, status_code=503)
    return Response(None, status_code=200)
