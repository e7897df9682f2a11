"""What people asked lately and which entry they got for it: real words to try a change of the answers with."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from needlepoint.conversations.models import ASKED_BY_STAFF, Conversation, Feedback, Message, Outgoing
from needlepoint.conversations.review_models import ConversationFact

#: Conversations of an entry, the latest first, that are looked through.
MOST_CONVERSATIONS = 60


def lately_answered(session: Session, entry: str, most: int) -> list[str]:
    """At most `most` first messages of conversations, masked, each once, the latest first, that got this entry alone.

    Only first messages, because what came later may lean on what was said before; and none that the person did not find
    helped.
    """
    latest = (
        select(Conversation.id)
        .join(ConversationFact, ConversationFact.conversation_id == Conversation.id)
        .where(
            ConversationFact.kind == "entry", ConversationFact.value == entry, Conversation.channel != ASKED_BY_STAFF
        )
        .order_by(Conversation.last_at.desc())
        .limit(MOST_CONVERSATIONS)
    )
    rows = session.execute(
        select(Message.text, Outgoing.reply)
        .join(Outgoing, Outgoing.message_id == Message.id)
        .outerjoin(Feedback, Feedback.outbox_id == Outgoing.id)
        .where(
            Message.conversation_id.in_(latest),
            Message.seq == 1,
            Message.state == "answered",
            Message.choice.is_(None),
            func.length(Message.text) > 0,
            or_(Feedback.helpful.is_(None), Feedback.helpful),
        )
        .order_by(Message.accepted_at.desc())
    )
    texts = (text for text, reply in rows if _entries(reply.get("answers") or []) == [entry])
    return list(dict.fromkeys(texts))[:most]


def _entries(answers: Sequence[dict[str, object]]) -> list[object]:
    return [one.get("entry_id") for one in answers]
