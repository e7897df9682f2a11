"""The table of the clinic's staff, with the queries that read it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from needlepoint.db.base import Base

ROLES = ("viewer", "reviewer", "editor", "approver", "admin")


class StaffMember(Base):
    """A person of the clinic who may sign in."""

    __tablename__ = "staff_member"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'reviewer', 'editor', 'approver', 'admin')", name="role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[datetime]
    #: Raised to end every session this person has.
    session_generation: Mapped[int] = mapped_column(default=0)


class OneTimeLogin(Base):
    """A link that lets whoever runs the machine in, once. Only the hash of its token is kept."""

    __tablename__ = "staff_one_time_login"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[datetime]


def find(session: Session, name: str) -> StaffMember | None:
    """The member called `name`, if there is one."""
    return session.scalar(select(StaffMember).where(StaffMember.name == name))
