"""What people say about the replies they got: one word for each reply, the last one counts."""

from __future__ import annotations

from typing import Literal

import msgspec
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import inbox, models
from needlepoint.conversations.models import Conversation, Outgoing
from needlepoint.conversations.record import UnknownConversationError
from needlepoint.db.base import now
from needlepoint.privacy.redaction import redact

#: Why a reply did not help, in the order in which it is offered.
Reason = Literal["not_my_question", "hard_to_understand", "not_enough", "seems_wrong"]


class Feedback(msgspec.Struct, frozen=True):
    """Whether a reply helped; why not, and what the person added."""

    helpful: bool
    reason: str | None = None
    comment: str | None = None


async def give(engine: AsyncEngine, conversation: str, event: int, feedback: Feedback, country: str) -> None:
    """Store it for the reply with this event number, in place of what was said before; the comment is masked.

    Raises :class:`~needlepoint.conversations.record.UnknownConversationError` where there is no such reply.
    """
    comment = redact(feedback.comment, country).text if feedback.comment else None
    at = now()
    async with engine.begin() as connection:
        # The conversation is locked first, as everywhere: two clicks at once must not meet at the insert.
        await connection.execute(select(Conversation.id).where(Conversation.id == conversation).with_for_update())
        row = await connection.scalar(
            select(Outgoing.id).where(Outgoing.conversation_id == conversation, Outgoing.event == event)
        )
        if row is None:
            raise UnknownConversationError(conversation)
        await connection.execute(delete(models.Feedback).where(models.Feedback.outbox_id == row))
        await connection.execute(
            insert(models.Feedback).values(
                outbox_id=row, helpful=feedback.helpful, reason=feedback.reason, comment=comment, given_at=at
            )
        )
        await inbox.note_feedback(connection, conversation, row, at)
