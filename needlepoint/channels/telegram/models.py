"""The tables of the Telegram channel: what came in, which chats there are, invitations, and who polls."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from needlepoint.db.base import Base


class TelegramUpdate(Base):
    """An update that was taken in. What it holds is emptied when it is done; the number stays, to know it again."""

    __tablename__ = "telegram_update"
    __table_args__ = (Index("ix_telegram_update_chat_done_at", "chat", "done_at"),)

    #: The bot's own number: another bot counts its updates anew.
    bot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    update_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    #: Keyed hash of the chat, None when done.
    chat: Mapped[str | None]
    #: What is to be done, masked and sealed; before consent without a word of the message. None when done.
    content: Mapped[bytes | None]
    received_at: Mapped[datetime] = mapped_column(index=True)
    #: While this is in the future, somebody answers it outside the chat's order: it is urgent.
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    done_at: Mapped[datetime | None]


class TelegramChat(Base):
    """A private chat: whose conversation it is, and how it is reached."""

    __tablename__ = "telegram_chat"
    __table_args__ = (CheckConstraint("state IN ('active', 'stopped', 'blocked')", name="state"),)

    #: Keyed hash of bot and chat id.
    id: Mapped[str] = mapped_column(primary_key=True)
    #: The chat id, sealed.
    address: Mapped[bytes]
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"), unique=True)
    language: Mapped[str]
    #: `stopped`: gets answers only; `blocked`: cannot be reached until they write again.
    state: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
    #: Every outbox row up to this event has its deliveries.
    last_event: Mapped[int] = mapped_column(default=0)
    #: Event of the reply whose buttons still count.
    open_choices: Mapped[int | None]
    #: The album that was answered last: its pictures come one by one and get one answer.
    last_album: Mapped[str | None]
    #: Who works for this chat, and until when nobody else does.
    lease_by: Mapped[str | None]
    lease_until: Mapped[datetime | None]


class TelegramLink(Base):
    """An invitation (t.me/bot?start=token) that the clinic can print. The token is random and means nothing outside."""

    __tablename__ = "telegram_link"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    #: Where it hangs, for the clinic.
    label: Mapped[str]
    language: Mapped[str | None]
    created_at: Mapped[datetime]
    uses: Mapped[int] = mapped_column(default=0)
    last_used_at: Mapped[datetime | None]


class TelegramPolling(Base):
    """Which process asks Telegram for the updates of a bot: only one may."""

    __tablename__ = "telegram_polling"

    bot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    held_by: Mapped[str | None]
    until: Mapped[datetime]
