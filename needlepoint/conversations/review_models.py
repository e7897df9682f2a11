"""The tables of the staff's work on the record: what waits for whom, what they found, who wants to be called back."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from needlepoint.db.base import Base


class ReviewItem(Base):
    """One conversation in one queue of the inbox, until somebody is done with it. What comes later joins an open item.

    Before consent an urgent message has no conversation; its item then stands for the row of `attention` alone.
    """

    __tablename__ = "review_item"
    __table_args__ = (
        CheckConstraint(
            "queue IN ('urgent', 'missed', 'person', 'failure', 'thumbs_down', 'declined', 'rephrased', 'clarified', "
            "'sample')",
            name="queue",
        ),
        Index("ix_review_item_queue_done_at_created_at", "queue", "done_at", "created_at"),
        Index("ix_review_item_conversation_id_queue", "conversation_id", "queue"),
        # A page that is open for long must not act on a later item that got the number of an erased one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    queue: Mapped[str]
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    #: The message that last put it here.
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"))
    attention_id: Mapped[int | None] = mapped_column(ForeignKey("attention.id", ondelete="CASCADE"))
    #: How often something put it here; whoever finishes it names what was seen, so that nothing newer is missed.
    times: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    #: Not shown before then.
    snoozed_until: Mapped[datetime | None]
    assigned_to_id: Mapped[int | None]
    assigned_to: Mapped[str | None]
    #: Who looks at it just now; nobody else may act on it until the lease is over.
    held_by_id: Mapped[int | None]
    held_by: Mapped[str | None]
    held_until: Mapped[datetime | None]
    done_at: Mapped[datetime | None]
    done_by: Mapped[str | None]


class Review(Base):
    """What a member of staff found about one turn, or about a whole conversation. Rows are added, never changed."""

    __tablename__ = "review"
    __table_args__ = (CheckConstraint("severity IN ('none', 'minor', 'could_harm')", name="severity"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), index=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), index=True)
    by_id: Mapped[int]
    by: Mapped[str]
    at: Mapped[datetime]
    #: What the message was about.
    right_topic: Mapped[str | None]
    #: The entry that answers it, or words for what the right answer was.
    right_entry: Mapped[str | None]
    right_answer: Mapped[str | None] = mapped_column(Text)
    missed_red_flag: Mapped[bool] = mapped_column(default=False)
    severity: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(default=list)
    #: Masked.
    note: Mapped[str | None] = mapped_column(Text)


class SaidText(Base):
    """The words of one message or reply, for full-text search. The database keeps the index (migration 0009)."""

    __tablename__ = "said_text"
    __table_args__ = (
        CheckConstraint("side IN ('person', 'assistant', 'staff')", name="side"),
        Index("ix_said_text_conversation_id_id", "conversation_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    side: Mapped[str]
    text: Mapped[str] = mapped_column(Text)


class ConversationFact(Base):
    """Something that occurred in a conversation and that the list can be filtered by."""

    __tablename__ = "conversation_fact"
    __table_args__ = (Index("ix_conversation_fact_conversation_id", "conversation_id"),)

    #: `intent`, `entity` ("symptom"), `entry` or `version` ("makeup-after 2").
    kind: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), primary_key=True)


class CallBack(Base):
    """Somebody wants to be called back. The number is encrypted, and goes with the conversation."""

    __tablename__ = "call_back"
    __table_args__ = (
        CheckConstraint("state IN ('new', 'in_progress', 'not_reached', 'done')", name="state"),
        Index("ix_call_back_state_created_at", "state", "created_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), index=True)
    #: Encrypted (`call_backs.py` has the key); None once the person was called.
    number: Mapped[str | None]
    #: When the person would like it, in their own words, masked.
    best_time: Mapped[str | None]
    #: Version of the sentence they agreed to.
    consent: Mapped[str]
    created_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(default="new")
    changed_at: Mapped[datetime | None]
    changed_by: Mapped[str | None]
