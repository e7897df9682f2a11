"""Who may sign in: passwords, the one-time login that `make run` prints, and tokens for commands."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

import jwt
import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine, delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.staff.models import ROLES, OneTimeLogin, StaffMember, find
from needlepoint.staff.second_factor import forget as forget_second_factor

#: NIST SP 800-63B asks for at least 8; a clinic's record deserves more, and length beats rules about signs.
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
FEWEST_DIFFERENT = 6

#: How long a one-time link works.
ONE_TIME = timedelta(hours=24)

_hasher = PasswordHasher()
#: Checked when there is no such member, so that a wrong name takes as long as a wrong password.
_NOBODY = _hasher.hash(secrets.token_hex(16))


class AccountError(ValueError):
    """The account cannot be made or used; the message says why."""


class SignedIn(msgspec.Struct, frozen=True):
    """A member whose password, link or session was checked."""

    id: int
    name: str
    role: str
    generation: int
    #: Is a second factor in force for this account?
    second_factor: bool = False


def add(engine: Engine, name: str, password: str, role: str) -> SignedIn:
    """Make an account. Raises :class:`AccountError` for a bad name, role or password, or a name that is taken."""
    _check(name, password, role)
    try:
        with Session(engine) as session, session.begin():
            member = StaffMember(name=name.strip(), password_hash=_hasher.hash(password), role=role, created_at=now())
            session.add(member)
            session.flush()
            return _signed_in(member)
    except IntegrityError:
        raise AccountError(f"there is a staff member `{name}` already; choose another name") from None


def _check(name: str, password: str, role: str) -> None:
    if not 1 <= len(name.strip()) <= 80:
        raise AccountError("a name has 1 to 80 characters")
    if role not in ROLES:
        raise AccountError(f"`{role}` is no role; use one of {', '.join(ROLES)}")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise AccountError(f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if len(set(password)) < FEWEST_DIFFERENT:
        raise AccountError(f"a password has at least {FEWEST_DIFFERENT} different characters; a few words do well")


def check_password(engine: Engine, name: str, password: str) -> SignedIn | None:
    """The member with this name and password. Slow on purpose (argon2): keep it off the event loop."""
    with Session(engine.execution_options(**READS_ONLY)) as session:
        member = find(session, name.strip().replace("\0", ""))
        if member is not None and member.deactivated_at is not None:
            member = None
        known = None if member is None else (_signed_in(member), member.password_hash)
    # Outside any transaction: this is slow on purpose, and patients' messages must not wait for it.
    try:
        _hasher.verify(known[1] if known else _NOBODY, password[: LONGEST_PASSWORD + 1])
    except (VerificationError, InvalidHashError):
        return None
    return known[0] if known else None


def by_id(engine: Engine, member_id: int) -> SignedIn | None:
    """The member with this id, unless deactivated."""
    with Session(engine.execution_options(**READS_ONLY)) as session:
        member = session.get(StaffMember, member_id)
        return None if member is None or member.deactivated_at is not None else _signed_in(member)


def known(engine: Engine, name: str) -> SignedIn | None:
    """The member of this name, whatever their state."""
    with Session(engine.execution_options(**READS_ONLY)) as session:
        member = find(session, name.strip().replace("\0", ""))
        return None if member is None else _signed_in(member)


def note_sign_in(engine: Engine, member: SignedIn) -> None:
    """Remember when `member` signed in last."""
    with Session(engine) as session, session.begin():
        session.get_one(StaffMember, member.id).last_signed_in_at = now()


def one_time_token(engine: Engine) -> str:
    """A token for one sign-in as administrator; only its hash is kept, and older ones stop working."""
    token = secrets.token_urlsafe(24)
    with Session(engine) as session, session.begin():
        session.execute(delete(OneTimeLogin).where(OneTimeLogin.member_id.is_(None)))
        session.add(OneTimeLogin(token_hash=hash_of_token(token), expires_at=now() + ONE_TIME))
    return token


class OneTime(msgspec.Struct, frozen=True):
    """A link that still lets somebody in; `name` is the member's it was made for, None for the operator's."""

    name: str | None


def one_time(engine: Engine, token: str) -> OneTime | None:
    """What this token would do, or None if it is used or expired. Looking does not use it up."""
    with Session(engine.execution_options(**READS_ONLY)) as session:
        login = session.get(OneTimeLogin, hash_of_token(token))
        if login is None or login.expires_at <= now():
            return None
        return OneTime(session.get_one(StaffMember, login.member_id).name if login.member_id else None)


def use_one_time(engine: Engine, token: str, name: str, password: str) -> SignedIn:
    """Use the token up. A member's link gives that member a password, whatever `name` says; the operator's makes the
    administrator `name`, or gives the existing one a new password (and the way back in if the phone is lost).

    Raises :class:`AccountError`; the token then stays good, unless it was the problem.
    """
    invited = one_time(engine, token)
    if invited is not None and invited.name is not None:
        name = invited.name
    _check(name, password, "admin")
    hashed = _hasher.hash(password)
    with Session(engine) as session, session.begin():
        login = session.get(OneTimeLogin, hash_of_token(token), with_for_update=True)
        if login is None or login.expires_at <= now():
            raise AccountError("this link was used or has expired; ask for a new one (or start again for the first)")
        if login.member_id is not None:
            member = session.get_one(StaffMember, login.member_id, with_for_update=True)
            if member.deactivated_at is not None:
                raise AccountError("this account is deactivated; ask an administrator")
        else:
            member = find(session, name.strip()) or StaffMember(name=name.strip(), created_at=now())
            member.role, member.deactivated_at = "admin", None
            forget_second_factor(member)
            session.add(member)
        member.password_hash = hashed
        member.session_generation = (member.session_generation or 0) + 1
        session.delete(login)
        session.flush()
        return _signed_in(member)


def change_password(engine: Engine, member: SignedIn, old: str, new: str) -> SignedIn:
    """Give `member` a new password and end all sessions; returns whom the present one belongs to from now on.

    Raises :class:`AccountError` for a wrong old password or a weak new one.
    """
    if check_password(engine, member.name, old) is None:
        raise AccountError("the present password is wrong")
    _check(member.name, new, member.role)
    hashed = _hasher.hash(new)
    with Session(engine) as session, session.begin():
        row = session.get_one(StaffMember, member.id, with_for_update=True)
        row.password_hash = hashed
        row.session_generation += 1
        session.flush()
        return _signed_in(row)


def drop_second_factor(engine: Engine, member_id: int) -> SignedIn:
    """Take the second factor off and end all sessions; returns whom the present one belongs to from now on."""
    with Session(engine) as session, session.begin():
        member = session.get_one(StaffMember, member_id, with_for_update=True)
        forget_second_factor(member)
        member.session_generation += 1
        session.flush()
        return _signed_in(member)


def hash_of_token(token: str) -> str:
    """What is kept of a one-time token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _signed_in(member: StaffMember) -> SignedIn:
    confirmed = member.totp_confirmed_at is not None
    return SignedIn(member.id, member.name, member.role, member.session_generation, confirmed)


_ALGORITHM = "HS256"
_AUDIENCE = "needlepoint-staff"


def command_token(secret: str, name: str, valid: timedelta = timedelta(hours=12)) -> str:
    """A token with which a command (`needlepoint ask`) may use the staff routes in `name`'s name."""
    return jwt.encode({"aud": _AUDIENCE, "sub": name, "exp": now() + valid}, secret, algorithm=_ALGORITHM)


def command_token_is_good(secret: str, token: str) -> bool:
    """Is this a token of :func:`command_token` that has not expired?"""
    try:
        jwt.decode(token, secret, algorithms=[_ALGORITHM], audience=_AUDIENCE, options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError:
        return False
    return True
