"""The second factor: codes of an authenticator app (TOTP, RFC 6238), and recovery codes for a lost phone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Literal

import msgspec
import pyotp
import segno
from cryptography.fernet import Fernet
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from needlepoint.db.base import now
from needlepoint.settings import Settings
from needlepoint.staff.models import StaffMember

#: Seconds a code is shown; phones differ by less than one such step.
STEP = 30
ISSUER = "Needlepoint"
RECOVERY_CODES = 8
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no i, l, o, 0, 1: they are written on paper


def is_required(settings: Settings, role: str) -> bool:
    """Must a member with this role have a second factor before anything but setting it up?"""
    match settings.staff_second_factor:
        case "everyone":
            return True
        case "editors":
            return role in ("editor", "approver", "admin")
        case "optional":
            return False


class SetUp(msgspec.Struct, frozen=True):
    """What the page shows: the secret to type in groups of four, and the same as a QR code (SVG)."""

    secret: str
    qr_code: str


def begin(engine: Engine, secret_key: str, member_id: int) -> SetUp | None:
    """Show the secret that waits for its first code, a new one where there is none; None if it is in force already."""
    with Session(engine) as session, session.begin():
        member = session.get_one(StaffMember, member_id, with_for_update=True)
        if member.totp_confirmed_at is not None:
            return None
        if member.totp_secret is None:
            member.totp_secret = _fernet(secret_key).encrypt(pyotp.random_base32().encode()).decode()
        secret = _secret(secret_key, member)
        uri = pyotp.TOTP(secret).provisioning_uri(name=member.name, issuer_name=ISSUER)
    svg = segno.make(uri, error="m").svg_inline(scale=5, border=2, svgclass="qr-code", lineclass=None, light="#fff")
    return SetUp(" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)), svg)


def confirm(engine: Engine, secret_key: str, member_id: int, code: str, at: datetime | None = None) -> list[str] | None:
    """Put it in force with its first code; returns the recovery codes, once. None if the code is wrong."""
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    with Session(engine) as session, session.begin():
        member = session.get_one(StaffMember, member_id, with_for_update=True)
        if member.totp_secret is None or member.totp_confirmed_at is not None:
            return None
        if not _code_is_good(secret_key, member, _digits(code), at or now()):
            return None
        member.totp_confirmed_at = now()
        member.recovery_codes = [_hash(one) for one in codes]
    return codes


def use(
    engine: Engine, secret_key: str, member_id: int, code: str, at: datetime | None = None
) -> Literal["code", "recovery"] | None:
    """Use a code up: none works twice, nor any from before the last one used. None if it is wrong."""
    with Session(engine) as session, session.begin():
        member = session.get(StaffMember, member_id, with_for_update=True)
        if member is None or member.totp_confirmed_at is None or member.deactivated_at is not None:
            return None
        if _code_is_good(secret_key, member, _digits(code), at or now()):
            return "code"
        hashed = _hash(code)
        if hashed in (member.recovery_codes or []):
            member.recovery_codes = [one for one in member.recovery_codes or [] if one != hashed]
            return "recovery"
        return None


def forget(member: StaffMember) -> None:
    """Take the second factor off: the phone was lost, or another one is to be set up."""
    member.totp_secret = member.totp_confirmed_at = member.totp_last_step = member.recovery_codes = None


def _code_is_good(secret_key: str, member: StaffMember, code: str, at: datetime) -> bool:
    """Is it the code of now or of a step beside it, and later than the last one used? Then it is noted as used."""
    totp = pyotp.TOTP(_secret(secret_key, member), interval=STEP)
    present = int(at.timestamp()) // STEP
    for step in (present - 1, present, present + 1):
        if member.totp_last_step is not None and step <= member.totp_last_step:
            continue
        if hmac.compare_digest(totp.at(step * STEP), code):
            member.totp_last_step = step
            return True
    return False


def _digits(code: str) -> str:
    return "".join(sign for sign in code if sign in "0123456789")


def _recovery_code() -> str:
    signs = [secrets.choice(_ALPHABET) for _ in range(16)]
    return "-".join("".join(signs[at : at + 4]) for at in range(0, 16, 4))


def _hash(code: str) -> str:
    """Codes are random (79 bits), so that a plain hash is enough."""
    return hashlib.sha256("".join(sign for sign in code.lower() if sign.isalnum()).encode()).hexdigest()


def _fernet(secret_key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"staff-totp:" + secret_key.encode()).digest()))


def _secret(secret_key: str, member: StaffMember) -> str:
    assert member.totp_secret is not None
    return _fernet(secret_key).decrypt(member.totp_secret.encode()).decode()
