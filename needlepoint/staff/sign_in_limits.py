"""Failed sign-ins slow the next ones down, for an account and for an address.

Nobody waits longer than a minute: whoever guesses gets some 1,500 tries a day, which is nothing against a password of
twelve characters, and a stranger who tries a nurse's name on purpose cannot keep her out.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from litestar import Request
from sqlalchemy import Engine, delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from needlepoint.staff.models import SignInFailure

#: Failures that cost nothing. A clinic's computers often share one address.
FREE_FOR_ACCOUNT = 5
FREE_FOR_ADDRESS = 30
LONGEST_WAIT = timedelta(seconds=60)
#: After this long without a failure, counting starts anew.
FORGET_AFTER = timedelta(hours=1)


def account_key(name: str) -> str:
    """The key of an account, whether it exists or not, so that waiting tells nobody which names there are."""
    return _hash("account", name.strip())


def code_key(member_id: int) -> str:
    """The key of an account's second factor."""
    return _hash("code", str(member_id))


def address_of(request: Request[Any, Any, Any]) -> str:
    """The key of the network address that a request comes from."""
    return _hash("address", request.client.host if request.client else "")


def attempt(engine: Engine, account: str, address: str, at: datetime) -> int:
    """Begin a sign-in at `at`: 0 to go on, else the seconds to wait, and then nothing may be checked.

    An attempt counts as failed from the start, so that many at once cannot slip through before one is counted;
    :func:`succeeded` takes it back.
    """
    with Session(engine) as session, session.begin():
        rows = [(_row(session, account, at), FREE_FOR_ACCOUNT), (_row(session, address, at), FREE_FOR_ADDRESS)]
        waits = [row.blocked_until - at for row, _ in rows if row.blocked_until is not None and row.blocked_until > at]
        if waits:
            return max(1, round(max(waits).total_seconds()))
        for row, free in rows:
            row.failures += 1
            row.last_at = at
            if row.failures > free:
                row.blocked_until = at + min(LONGEST_WAIT, timedelta(seconds=2 ** min(row.failures - free, 10)))
        return 0


def succeeded(engine: Engine, account: str, address: str) -> None:
    """Forget the account's failures; the address keeps those of others."""
    with Session(engine) as session, session.begin():
        session.execute(delete(SignInFailure).where(SignInFailure.key == account))
        row = session.get(SignInFailure, address, with_for_update=True)
        if row is not None and row.failures > 0:
            row.failures -= 1
            row.blocked_until = None


def _row(session: Session, key: str, at: datetime) -> SignInFailure:
    row = session.get(SignInFailure, key, with_for_update=True)
    if row is None:
        try:
            with session.begin_nested():
                row = SignInFailure(key=key, failures=0, last_at=at, blocked_until=None)
                session.add(row)
        except IntegrityError:  # another attempt began at the same moment
            row = session.get_one(SignInFailure, key, with_for_update=True)
    elif at - row.last_at > FORGET_AFTER:
        row.failures, row.blocked_until = 0, None
    return row


def _hash(kind: str, what: str) -> str:
    return hashlib.sha256(f"{kind}:{what}".encode()).hexdigest()
