"""Requests to be called back. The number is no part of the conversation: agreed to by itself, encrypted, and deleted
once the person was called."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
import phonenumbers
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import case, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import inbox, record
from needlepoint.conversations.models import Conversation
from needlepoint.conversations.record import UnknownConversationError
from needlepoint.conversations.review_models import CallBack
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY, forget_deleted
from needlepoint.phrases import Phrases
from needlepoint.privacy.redaction import redact
from needlepoint.reply import Reply

#: Version of the sentence that is agreed to (phrase `call_back_consent`); a new number for new words.
CONSENT_VERSION = "2026-11"

State = Literal["new", "in_progress", "not_reached", "done"]


class WrongNumberError(ValueError):
    """This is no phone number."""


class Request(msgspec.Struct, frozen=True):
    """One request as staff handle it. `number` is None once the person was called, or where the key is another."""

    id: int
    conversation: str
    number: str | None
    best_time: str | None
    created_at: datetime
    state: State
    changed_at: datetime | None
    changed_by: str | None
    language: str


def readable(number: str, country: str) -> str:
    """The number in its international form. Raises :class:`WrongNumberError`."""
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        raise WrongNumberError from None
    if not phonenumbers.is_possible_number(parsed):
        raise WrongNumberError
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


async def leave(
    engine: AsyncEngine, secret: str, phrases: Phrases, conversation: str, number: str, best_time: str | None
) -> None:
    """Keep a number to call, in place of one that nobody has called yet, and confirm it in the conversation.

    Raises :class:`WrongNumberError`, or UnknownConversationError.
    """
    country = phrases.clinic.country
    encrypted = _cipher(secret).encrypt(readable(number, country).encode()).decode()
    at = now()
    values = {
        "number": encrypted,
        "best_time": redact(best_time, country).text if best_time else None,
        "consent": CONSENT_VERSION,
        "created_at": at,
        "state": "new",
    }
    async with engine.begin() as connection:
        row = (
            await connection.execute(
                update(Conversation)
                .where(Conversation.id == conversation)
                .values(last_event=Conversation.last_event + 1)
                .returning(Conversation.last_event, Conversation.language)
            )
        ).first()
        if row is None:
            raise UnknownConversationError(conversation)
        open_one = (CallBack.conversation_id == conversation, CallBack.state != "done")
        changed = await connection.execute(update(CallBack).where(*open_one).values(**values))
        if not changed.rowcount:
            await connection.execute(insert(CallBack).values(conversation_id=conversation, **values))
        taken = Reply(kind="smalltalk", topic="human", text=phrases.say("call_back_taken", row.language))
        await record.send(connection, conversation, None, row.last_event, msgspec.to_builtins(taken), at)
        await inbox.fill(connection, "person", conversation, None, at)


async def requests(engine: AsyncEngine, secret: str, conversation: str | None = None, most: int = 100) -> list[Request]:
    """The requests, those that wait first and the oldest of them before; of one conversation, or all."""
    order = case((CallBack.state == "done", 1), else_=0)
    query = select(CallBack, Conversation.language).join(Conversation).order_by(order, CallBack.created_at).limit(most)
    if conversation is not None:
        query = query.where(CallBack.conversation_id == conversation)
    cipher = _cipher(secret)
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        rows = (await connection.execute(query)).all()
    return [
        Request(
            row.id,
            row.conversation_id,
            _decrypted(cipher, row.number),
            row.best_time,
            row.created_at,
            row.state,
            row.changed_at,
            row.changed_by,
            row.language,
        )
        for row in rows
    ]


async def count_waiting(engine: AsyncEngine) -> int:
    """How many wait to be called."""
    query = select(func.count()).select_from(CallBack).where(CallBack.state != "done")
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        return await connection.scalar(query) or 0


async def change(engine: AsyncEngine, request: int, state: State, by: str) -> bool:
    """Note how far it is; with `done` the number is deleted. Returns whether there is such a request."""
    values = {"state": state, "changed_at": now(), "changed_by": by}
    async with engine.begin() as connection:
        done = await connection.execute(
            update(CallBack)
            .where(CallBack.id == request, CallBack.state != "done")
            .values(**values, **({"number": None} if state == "done" else {}))
        )
    if state == "done":
        await forget_deleted(engine)
    return done.rowcount > 0


def masked(number: str | None) -> str | None:
    """All but the last two digits hidden."""
    if number is None:
        return None
    digits = sum(sign.isdigit() for sign in number)
    seen, signs = 0, []
    for sign in number:
        seen += sign.isdigit()
        signs.append("•" if sign.isdigit() and seen <= digits - 2 else sign)
    return "".join(signs)


def _cipher(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"call-back:" + secret.encode()).digest()))


def _decrypted(cipher: Fernet, number: str | None) -> str | None:
    try:
        return cipher.decrypt(number).decode() if number else None
    except InvalidToken:
        return None


STATES: Sequence[State] = ("new", "in_progress", "not_reached", "done")
