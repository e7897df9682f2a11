"""The tables of the record: conversations, messages, turns, the outbox, what needs a person, and who is told of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from needlepoint.db.base import Base

#: Channel of the conversations that staff hold by command: nobody has to be woken for what they try out.
ASKED_BY_STAFF = "ask"


class Conversation(Base):
    """One person's talk with the clinic through one channel, and what the app knows of it."""

    __tablename__ = "conversation"
    __table_args__ = (
        Index("ix_conversation_last_at_id", "last_at", "id"),
        Index("ix_conversation_outcome_last_at_id", "outcome", "last_at", "id"),
        Index("ix_conversation_feedback_last_at_id", "feedback", "last_at", "id"),
        Index("ix_conversation_review_state_last_at_id", "review_state", "last_at", "id"),
        Index("ix_conversation_urgency_last_at_id", "urgency", "last_at", "id"),
        Index("ix_conversation_answer_by", "answer_by"),
        Index("ix_conversation_taken_by_id", "taken_by_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    channel: Mapped[str]
    language: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
    last_at: Mapped[datetime]
    consent: Mapped[str | None]
    consented_at: Mapped[datetime | None]
    #: When the person had the last treatment and will have the next: a span, as exact as they told it.
    had_from: Mapped[datetime | None]
    had_until: Mapped[datetime | None]
    booked_from: Mapped[datetime | None]
    booked_until: Mapped[datetime | None]
    #: Entry that was answered last; a corrected day asks it again.
    about: Mapped[str | None]
    #: Copies of Rasa's slots, sent along with every turn.
    slots: Mapped[dict[str, Any]] = mapped_column(default=dict)
    active_loop: Mapped[dict[str, Any] | None]
    #: Level, cards and findings of the last urgent card, until the person says that it is over.
    urgent_thread: Mapped[dict[str, Any] | None]
    #: Entry ids that the last reply offered as choices.
    open_question: Mapped[list[str]] = mapped_column(default=list)
    #: Number of the next message; counts what was received.
    next_seq: Mapped[int] = mapped_column(default=1)
    #: Number of the last committed turn; an outcome must name the one before its own.
    turn_number: Mapped[int] = mapped_column(default=0)
    #: Number of the last row this conversation has in the outbox.
    last_event: Mapped[int] = mapped_column(default=0)

    # -- what the desk lists, kept in the commits that change it (inbox.py) --
    #: Messages that have their outcome.
    turns: Mapped[int] = mapped_column(default=0)
    #: What became of the last of them: the kind of the reply, or the state where there was no turn.
    outcome: Mapped[str | None]
    #: The most urgent level that a reply of this conversation had.
    urgency: Mapped[str] = mapped_column(default="none")
    lowest_confidence: Mapped[float | None]
    #: `helpful` or `not_helpful`, which counts more.
    feedback: Mapped[str | None]
    #: `none` (nothing asks for a review), `open` or `done`.
    review_state: Mapped[str] = mapped_column(default="none")
    #: Who finished the last review.
    reviewer: Mapped[str | None]

    # -- a person of the clinic answers (stepping_in.py) --
    #: The member of staff who has it, and by what name; the assistant is silent meanwhile.
    taken_by_id: Mapped[int | None]
    taken_by: Mapped[str | None]
    taken_at: Mapped[datetime | None]
    #: Until when somebody of the staff was promised to write; nobody waits while it is None.
    answer_by: Mapped[datetime | None]
    #: Was the person told, since somebody stepped in, that the message is with staff?
    told_waiting: Mapped[bool] = mapped_column(default=False)


class Message(Base):
    """What a person sent, masked. `accepted` until its outcome is committed."""

    __tablename__ = "message"
    __table_args__ = (
        UniqueConstraint("conversation_id", "client_id"),
        UniqueConstraint("conversation_id", "seq"),
        CheckConstraint("state IN ('accepted', 'answered', 'apologised', 'overtaken', 'urgent')", name="state"),
        Index("ix_message_state_lease_until", "state", "lease_until"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    seq: Mapped[int]
    client_id: Mapped[str]
    text: Mapped[str] = mapped_column(Text)
    choice: Mapped[str | None]
    redacted: Mapped[list[str]] = mapped_column(default=list)
    assessment: Mapped[dict[str, Any]] = mapped_column(default=dict)
    accepted_at: Mapped[datetime]
    #: When someone else may conclude that whoever took this message is gone.
    lease_until: Mapped[datetime]
    state: Mapped[str]


class Turn(Base):
    """What the dialogue made of one message. `number` is empty where the turn did not count."""

    __tablename__ = "turn"
    __table_args__ = (UniqueConstraint("conversation_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), unique=True)
    number: Mapped[int | None]
    created_at: Mapped[datetime]
    #: Rasa's events of this turn, to be carried into the next ones.
    events: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    #: Which model, rules, versions and thresholds led to the reply, and why.
    provenance: Mapped[dict[str, Any]] = mapped_column(default=dict)
    #: The reply of a turn that was overtaken: kept for staff, never delivered.
    undelivered: Mapped[dict[str, Any] | None]


class Outgoing(Base):
    """The outbox: whatever must reach a person. Channels deliver it; the row stays as the record of it."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("conversation_id", "event"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    #: Number within the conversation; grows with the order of commits.
    event: Mapped[int]
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), index=True)
    sender: Mapped[str] = mapped_column(default="assistant")
    reply: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]


class Delivery(Base):
    """One part of what a channel sends to a person by itself, and what became of it; staff see it in the transcript.

    `outbox_id` is None for what belongs to no conversation's record, such as the question for consent.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("outbox_id", "part"),
        CheckConstraint("channel IN ('telegram')", name="channel"),
        CheckConstraint("weight IN ('urgent', 'answer', 'optional')", name="weight"),
        CheckConstraint("state IN ('waiting', 'sent', 'unclear', 'failed', 'cancelled')", name="state"),
        Index("ix_delivery_state_next_attempt_at", "state", "next_attempt_at"),
        Index("ix_delivery_address_state", "address", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    outbox_id: Mapped[int | None] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"))
    channel: Mapped[str]
    #: To whom, as the channel names them; never an address that means something outside.
    address: Mapped[str]
    part: Mapped[int]
    parts: Mapped[int]
    weight: Mapped[str]
    #: What is sent, sealed by the channel; emptied as soon as the state is final.
    content: Mapped[bytes | None]
    #: `unclear`: nobody knows whether it arrived, and it is not worth being read twice.
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    #: When the attempt began that is under way, or whose process died.
    begun_at: Mapped[datetime | None]
    #: An earlier attempt may have arrived: what is sent next says so.
    again: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    #: The message's number on the other side.
    remote_id: Mapped[int | None]
    #: Class of the last error, never its words.
    last_error: Mapped[str | None]


class Feedback(Base):
    """What the person said about one reply; the last word counts."""

    __tablename__ = "feedback"
    __table_args__ = (
        CheckConstraint(
            "reason IN ('not_my_question', 'hard_to_understand', 'not_enough', 'seems_wrong')", name="reason"
        ),
    )

    outbox_id: Mapped[int] = mapped_column(ForeignKey("outbox.id", ondelete="CASCADE"), primary_key=True)
    helpful: Mapped[bool]
    reason: Mapped[str | None]
    #: Masked.
    comment: Mapped[str | None] = mapped_column(Text)
    given_at: Mapped[datetime]


class ErasedConversation(Base):
    """Remembers, by hash, that a conversation was erased: a token that is still good must not bring it back."""

    __tablename__ = "erased_conversation"

    id_hash: Mapped[str] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]


class Attention(Base):
    """Something a person of the clinic should look at. Before consent it has no conversation and no text."""

    __tablename__ = "attention"
    __table_args__ = (Index("ix_attention_level_acknowledged_at", "level", "acknowledged_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"))
    reason: Mapped[str]
    level: Mapped[str | None]
    findings: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(index=True)
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]
    #: When the others were told because nobody had acknowledged it; set once.
    escalated_at: Mapped[datetime | None]


class StaffAlert(Base):
    """The staff's outbox: one alert about an urgent message to one recipient through one channel. Holds no text."""

    __tablename__ = "staff_alert"
    __table_args__ = (
        UniqueConstraint("attention_id", "kind", "channel", "recipient"),
        CheckConstraint("channel IN ('email', 'webhook')", name="channel"),
        CheckConstraint("kind IN ('first', 'escalation')", name="kind"),
        CheckConstraint("state IN ('waiting', 'sent', 'failed', 'cancelled')", name="state"),
        Index("ix_staff_alert_state_next_attempt_at", "state", "next_attempt_at"),
    )

    #: Random, and the idempotency key: a number would come again after an erasure (SQLite).
    id: Mapped[str] = mapped_column(primary_key=True)
    attention_id: Mapped[int] = mapped_column(ForeignKey("attention.id", ondelete="CASCADE"))
    channel: Mapped[str]
    kind: Mapped[str]
    #: An e-mail address; of a webhook the host only, because its address may hold a secret.
    recipient: Mapped[str]
    #: `cancelled`: somebody acknowledged the message before this was sent.
    state: Mapped[str]
    #: Attempts begun; whoever records a failure names the one it was.
    attempts: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    #: While this is in the future, somebody is sending it.
    lease_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    #: Class of the last error, never its words.
    last_error: Mapped[str | None]
