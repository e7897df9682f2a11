"""Conversation tokens: signed, expiring, and checkable without the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import msgspec

from needlepoint.db.base import now

_ALGORITHM = "HS256"
_AUDIENCE = "needlepoint-conversation"


class TokenError(ValueError):
    """The token is not ours, not whole, or past its time; the message says which, without the token."""


class Token(msgspec.Struct, frozen=True):
    """What a token vouches for: the conversation, its language, and the privacy notice that was agreed to, if any."""

    conversation: str
    language: str
    consent: str | None
    expires_at: datetime
    #: Given out while the database was away: the conversation is stored with its first message.
    unrecorded: bool = False


def issue(
    secret: str, conversation: str, language: str, consent: str | None, hours: int, unrecorded: bool = False
) -> tuple[str, datetime]:
    """A token good for `hours`, and when it ends."""
    expires_at = (now() + timedelta(hours=hours)).replace(microsecond=0)
    claims: dict[str, Any] = {
        "aud": _AUDIENCE,
        "sub": conversation,
        "lang": language,
        "consent": consent,
        "exp": expires_at,
    }
    if unrecorded:
        claims["unrecorded"] = True
    return jwt.encode(claims, secret, algorithm=_ALGORITHM), expires_at


def read(secret: str, token: str) -> Token:
    """Check a token. Raises :class:`TokenError`."""
    try:
        claims = jwt.decode(
            token, secret, algorithms=[_ALGORITHM], audience=_AUDIENCE, options={"require": ["exp", "sub"]}
        )
    except jwt.ExpiredSignatureError:
        raise TokenError("this conversation has ended; start a new one") from None
    except jwt.InvalidTokenError:
        raise TokenError("the conversation token is not valid; start a new conversation") from None
    return Token(
        conversation=claims["sub"],
        language=claims["lang"],
        consent=claims["consent"],
        expires_at=datetime.fromtimestamp(claims["exp"], tz=UTC),
        unrecorded=claims.get("unrecorded", False),
    )
