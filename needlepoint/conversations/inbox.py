"""What the desk knows of the record, kept in the very commits that change it: the list, the words, the queues.

Every function here works in the caller's transaction, so that nothing is in a queue that is not in the record, and
nothing is in the record that should be in a queue and is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, get_args

from sqlalchemy import ColumnElement, case, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from needlepoint.conversations.models import ASKED_BY_STAFF, Attention, Conversation, Feedback, Message, Outgoing
from needlepoint.conversations.review_models import ConversationFact, ReviewItem, SaidText
from needlepoint.reply import Urgency

#: The queues in the order in which they are worked on.
QUEUES = ("urgent", "missed", "person", "failure", "thumbs_down", "declined", "rephrased", "clarified", "sample")

#: The queue that each reason for attention leads to.
_BY_REASON = {
    "urgent": "urgent",
    "urgent_card_disputed": "urgent",
    "possibly_missed_urgent": "missed",
    "wants_a_person": "person",
    "nobody_joined": "person",
    "engine_failure": "failure",
    "database_unavailable": "failure",
    "asked_for_a_value_not_set": "declined",
    "asked_for_a_withheld_answer": "declined",
}

#: Of a hundred conversations so many are read whatever became of them.
SAMPLE_PERCENT = 5

#: Whoever asks the same within this time asks again because the answer was not it.
REPHRASED_WITHIN = timedelta(minutes=15)

#: Least likeness of two messages that ask the same in other words: shared letter trigrams (Jaccard).
_ALIKE = 0.4


def is_sampled(conversation: str) -> bool:
    """Does this conversation belong to the sample? The same answer every time, and nobody can choose it."""
    return int.from_bytes(hashlib.sha256(conversation.encode()).digest()[:4], "big") % 100 < SAMPLE_PERCENT


# -- words --------------------------------------------------------------------------------------------------------


def words_of(reply: Mapping[str, Any]) -> str:
    """The words of a stored reply as the person read them, without its buttons."""
    parts = [reply.get("text")]
    for answer in reply.get("answers") or []:
        parts += [answer.get("question"), answer.get("in_your_case"), answer.get("text"), answer.get("when_to_contact")]
    parts.append(reply.get("then"))
    return "\n\n".join(part for part in parts if part)


async def keep_words(connection: AsyncConnection, conversation: str, side: str, text: str) -> None:
    """Make what somebody said findable."""
    if text.strip():
        await connection.execute(insert(SaidText).values(conversation_id=conversation, side=side, text=text))


# -- the list -----------------------------------------------------------------------------------------------------


def listed(outcome: str, urgency: str, confidence: float | None) -> dict[str, Any]:
    """The columns of a conversation that change with an outcome; they go into the commit's own update."""
    changes: dict[str, Any] = {"turns": Conversation.turns + 1, "outcome": outcome}
    levels: tuple[Urgency, ...] = get_args(Urgency)
    if urgency in levels[1:]:
        lower = levels[: levels.index(urgency)]
        changes["urgency"] = case((Conversation.urgency.in_(lower), urgency), else_=Conversation.urgency)
    if confidence is not None:
        lowest = Conversation.lowest_confidence
        changes["lowest_confidence"] = case((or_(lowest.is_(None), lowest > confidence), confidence), else_=lowest)
    return changes


async def keep_facts(
    connection: AsyncConnection, conversation: str, reply: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Remember what the list is filtered by: intent, entities, entries and their versions."""
    facts = {("intent", (provenance.get("intent") or {}).get("name"))}
    facts |= {("entity", one.get("entity")) for one in provenance.get("entities") or []}
    for answer in reply.get("answers") or []:
        entry, version = answer.get("entry_id"), answer.get("version")
        facts |= {("entry", entry), ("version", f"{entry} {version}")}
    rows = [
        {"kind": kind, "value": value, "conversation_id": conversation}
        for kind, value in sorted(facts, key=str)
        if value
    ]
    if rows:
        added = postgres_insert if connection.dialect.name == "postgresql" else sqlite_insert
        await connection.execute(added(ConversationFact).on_conflict_do_nothing(), rows)


# -- the queues ---------------------------------------------------------------------------------------------------


async def fill(
    connection: AsyncConnection,
    queue: str,
    conversation: str | None,
    message: int | None,
    at: datetime,
    attention: int | None = None,
) -> None:
    """Put a conversation into a queue; an item that is open there already wakes up and counts once more.

    The caller has locked the conversation. What staff ask by command is nobody's to review.
    """
    if conversation is not None:
        mine = select(Conversation.channel).where(Conversation.id == conversation)
        if await connection.scalar(mine) == ASKED_BY_STAFF:
            return
        joined = await connection.execute(
            update(ReviewItem)
            .where(ReviewItem.conversation_id == conversation, ReviewItem.queue == queue, ReviewItem.done_at.is_(None))
            .values(
                times=ReviewItem.times + 1,
                message_id=message,
                attention_id=func.coalesce(attention, ReviewItem.attention_id),
                snoozed_until=None,
            )
        )
        if joined.rowcount:
            return
        await connection.execute(
            update(Conversation).where(Conversation.id == conversation).values(review_state="open")
        )
    await connection.execute(
        insert(ReviewItem).values(
            queue=queue, conversation_id=conversation, message_id=message, attention_id=attention, created_at=at
        )
    )


async def fill_for_reason(
    connection: AsyncConnection,
    reason: str,
    conversation: str | None,
    message: int | None,
    at: datetime,
    attention: int | None,
) -> None:
    """The same for a row of `attention`; a reason that no queue is for goes to those that failed."""
    await fill(connection, _BY_REASON.get(reason, "failure"), conversation, message, at, attention)


async def fill_for_outcome(
    connection: AsyncConnection,
    conversation: str,
    message: int,
    turns: int,
    state: str,
    reply: Mapping[str, Any] | None,
    at: datetime,
) -> None:
    """Put a conversation into the queues that follow from the reply itself. `turns` counts this message too."""
    if reply is not None and state == "answered":
        kind = reply.get("kind")
        if kind == "decline":
            await fill(connection, "declined", conversation, message, at)
        if kind == "clarify":
            await fill(connection, "clarified", conversation, message, at)
        if kind in ("answer", "decline", "clarify") and await _is_rephrased(connection, conversation, reply):
            await fill(connection, "rephrased", conversation, message, at)
    if turns == 1 and is_sampled(conversation):
        await fill(connection, "sample", conversation, message, at)


async def _is_rephrased(connection: AsyncConnection, conversation: str, reply: Mapping[str, Any]) -> bool:
    """Was the same asked just before in other words, or does a typed question get the same answer again?"""
    query = (
        select(Message.text, Message.choice, Message.accepted_at, Outgoing.reply)
        .outerjoin(Outgoing, Outgoing.message_id == Message.id)
        .where(Message.conversation_id == conversation)
        .order_by(Message.seq.desc())
        .limit(2)
    )
    rows = (await connection.execute(query)).all()
    if len(rows) < 2:
        return False
    mine, before = rows
    if mine.choice or before.choice or mine.accepted_at - before.accepted_at > REPHRASED_WITHIN:
        return False
    return are_alike(mine.text, before.text) or bool(_entries(reply) & _entries(before.reply))


def _entries(reply: Mapping[str, Any] | None) -> set[str]:
    return {one["entry_id"] for one in (reply or {}).get("answers") or []}


def are_alike(one: str, other: str) -> bool:
    """Do two messages look like the same question in other words?"""
    first, second = _trigrams(one), _trigrams(other)
    if min(len(first), len(second)) < 6:  # "yes", "ok", "RF?"
        return False
    return len(first & second) / len(first | second) >= _ALIKE


def _trigrams(text: str) -> set[str]:
    plain = " ".join("".join(sign if sign.isalnum() else " " for sign in text.lower()).split())
    return {plain[at : at + 3] for at in range(len(plain) - 2)}


async def note_feedback(connection: AsyncConnection, conversation: str, outbox: int, at: datetime) -> None:
    """After somebody rated the reply `outbox`: what the list shows, and the queue of those who were not helped."""
    of_this = (Outgoing.conversation_id == conversation, Outgoing.id == Feedback.outbox_id)
    not_helped = bool(await connection.scalar(select(exists().where(*of_this, Feedback.helpful.is_(False)))))
    await connection.execute(
        update(Conversation)
        .where(Conversation.id == conversation)
        .values(feedback="not_helpful" if not_helped else "helpful")
    )
    rated = select(Outgoing.message_id).where(*of_this, Outgoing.id == outbox, Feedback.helpful.is_(False))
    for message in await connection.scalars(rated):
        await fill(connection, "thumbs_down", conversation, message, at)


# -- after a review -----------------------------------------------------------------------------------------------


async def note_reviewed(connection: AsyncConnection, conversation: str, by: str) -> None:
    """After an item was finished: the conversation's state of review and who reviewed it last."""
    still_open = exists().where(ReviewItem.conversation_id == conversation, ReviewItem.done_at.is_(None))
    await connection.execute(
        update(Conversation)
        .where(Conversation.id == conversation)
        .values(review_state=case((still_open, "open"), else_="done"), reviewer=by)
    )


def unacknowledged(conversation: ColumnElement[Any] | Any) -> ColumnElement[bool]:
    """Is there an urgent message in this conversation that nobody has acknowledged?"""
    urgent = aliased(Attention)
    return exists().where(
        urgent.conversation_id == conversation, urgent.reason == "urgent", urgent.acknowledged_at.is_(None)
    )


def reasons_without_queue(reasons: Iterable[str]) -> set[str]:
    """Reasons for attention that only land among the failures because nobody gave them a queue; for a test."""
    return set(reasons) - set(_BY_REASON)
