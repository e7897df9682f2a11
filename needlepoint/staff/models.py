"""The tables of the clinic's staff: who may sign in, failed attempts, and who did what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from needlepoint.db.base import Base

ROLES = ("viewer", "reviewer", "editor", "approver", "admin")


class StaffMember(Base):
    """A person of the clinic who may sign in. Never deleted, because the record names them; deactivated instead."""

    __tablename__ = "staff_member"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'reviewer', 'editor', 'approver', 'admin')", name="role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[datetime]
    #: Raised to end every session this person has.
    session_generation: Mapped[int] = mapped_column(default=0)
    deactivated_at: Mapped[datetime | None]
    last_signed_in_at: Mapped[datetime | None]
    #: Encrypted with a key made from the secret key.
    totp_secret: Mapped[str | None]
    #: When the first code was entered; before that the second factor is not in force.
    totp_confirmed_at: Mapped[datetime | None]
    #: The 30-second step of the last code that was used: neither it nor an earlier one works again.
    totp_last_step: Mapped[int | None]
    #: Hashes of the recovery codes that are left.
    recovery_codes: Mapped[list[str] | None]


class OneTimeLogin(Base):
    """A link that lets somebody choose a password, once. Only the hash of its token is kept.

    Without a member it is the operator's, and makes an administrator.
    """

    __tablename__ = "staff_one_time_login"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]
    member_id: Mapped[int | None] = mapped_column(ForeignKey("staff_member.id", ondelete="CASCADE"))


class SignInFailure(Base):
    """Failed sign-ins of one account or from one address, which is kept as a hash."""

    __tablename__ = "staff_sign_in_failure"

    key: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime]
    blocked_until: Mapped[datetime | None]


class StaffActivity(Base):
    """One thing that somebody did. The database refuses to change a row; names stay as they were."""

    __tablename__ = "staff_activity"
    __table_args__ = (Index("ix_staff_activity_object_kind_object_id", "object_kind", "object_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    #: None where a name was tried that is no account.
    staff_id: Mapped[int | None]
    staff_name: Mapped[str] = mapped_column(index=True)
    what: Mapped[str]
    object_kind: Mapped[str]
    object_id: Mapped[str]


def find(session: Session, name: str) -> StaffMember | None:
    """The member called `name`, if there is one."""
    return session.scalar(select(StaffMember).where(StaffMember.name == name))
