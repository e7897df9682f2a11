"""Managing the staff: who there is, inviting, roles, resetting, ending sessions, deactivating."""

from __future__ import annotations

import secrets
from datetime import datetime

import msgspec
from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.staff.accounts import ONE_TIME, AccountError, hash_of_token
from needlepoint.staff.models import ROLES, OneTimeLogin, StaffMember
from needlepoint.staff.second_factor import forget as forget_second_factor

#: In the place of a password's hash: nothing verifies against it.
_NO_PASSWORD = "-"  # noqa: S105 - that is the point


class Member(msgspec.Struct, frozen=True):
    """A line of the list of staff."""

    id: int
    name: str
    role: str
    created_at: datetime
    last_signed_in_at: datetime | None
    deactivated_at: datetime | None
    second_factor: bool
    #: Has a password: False between an invitation and its use.
    ready: bool


def members(engine: Engine) -> list[Member]:
    """Everybody, the active ones first, by name."""
    query = select(StaffMember).order_by(StaffMember.deactivated_at.is_not(None), func.lower(StaffMember.name))
    with Session(engine.execution_options(**READS_ONLY)) as session:
        return [_member(one) for one in session.scalars(query)]


def _member(one: StaffMember) -> Member:
    return Member(
        one.id,
        one.name,
        one.role,
        one.created_at,
        one.last_signed_in_at,
        one.deactivated_at,
        one.totp_confirmed_at is not None,
        one.password_hash != _NO_PASSWORD,
    )


def invite(engine: Engine, name: str, role: str) -> tuple[int, str]:
    """Add a member without a password; returns the id and the token of a link by which to choose one.

    Raises :class:`AccountError` for a bad name or role, or a name that is taken.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise AccountError("a name has 1 to 80 characters")
    _check_role(role)
    try:
        with Session(engine) as session, session.begin():
            member = StaffMember(name=name, password_hash=_NO_PASSWORD, role=role, created_at=now())
            session.add(member)
            session.flush()
            return member.id, _link(session, member)
    except IntegrityError:
        raise AccountError(f"there is a staff member {name} already; choose another name") from None


def change_role(engine: Engine, member_id: int, role: str) -> None:
    """Give a member another role, from the next page on. Raises :class:`AccountError`."""
    _check_role(role)
    with Session(engine) as session, session.begin():
        member = _get(session, member_id)
        if member.role == "admin" and role != "admin":
            _another_administrator(session, member)
        member.role = role


def reset(engine: Engine, member_id: int) -> str:
    """Take password and second factor away and end all sessions; returns the token of a link to choose new ones."""
    with Session(engine) as session, session.begin():
        member = _get(session, member_id)
        if member.deactivated_at is not None:
            raise AccountError(f"{member.name} is deactivated; reactivate the account first")
        member.password_hash = _NO_PASSWORD
        forget_second_factor(member)
        member.session_generation += 1
        return _link(session, member)


def end_sessions(engine: Engine, member_id: int) -> None:
    """Sign a member out everywhere."""
    with Session(engine) as session, session.begin():
        _get(session, member_id).session_generation += 1


def deactivate(engine: Engine, member_id: int) -> None:
    """Keep a member out from now on; the account stays, because the record names it."""
    with Session(engine) as session, session.begin():
        member = _get(session, member_id)
        _another_administrator(session, member)
        member.deactivated_at = member.deactivated_at or now()
        member.session_generation += 1
        session.execute(delete(OneTimeLogin).where(OneTimeLogin.member_id == member.id))


def reactivate(engine: Engine, member_id: int) -> None:
    """Let a deactivated member in again, with the password as it was."""
    with Session(engine) as session, session.begin():
        _get(session, member_id).deactivated_at = None


def _get(session: Session, member_id: int) -> StaffMember:
    member = session.get(StaffMember, member_id, with_for_update=True)
    if member is None:
        raise AccountError("there is no such member of staff")
    return member


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError(f"`{role}` is no role; use one of {', '.join(ROLES)}")


def _another_administrator(session: Session, member: StaffMember) -> None:
    """Raise unless somebody else could still manage the staff. Locks the administrators, so that two cannot both go."""
    others = session.scalars(
        select(StaffMember.id)
        .where(
            StaffMember.role == "admin", StaffMember.deactivated_at.is_(None), StaffMember.password_hash != _NO_PASSWORD
        )
        .order_by(StaffMember.id)
        .with_for_update()
    ).all()
    if member.role == "admin" and set(others) <= {member.id}:
        raise AccountError(f"{member.name} is the only administrator; make somebody else one first")


def _link(session: Session, member: StaffMember) -> str:
    token = secrets.token_urlsafe(24)
    session.execute(delete(OneTimeLogin).where(OneTimeLogin.member_id == member.id))
    session.add(OneTimeLogin(token_hash=hash_of_token(token), expires_at=now() + ONE_TIME, member_id=member.id))
    return token
