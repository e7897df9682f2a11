"""The places of the desk, as the top of every page lists them."""

from __future__ import annotations

from needlepoint.staff.accounts import SignedIn
from needlepoint.staff.roles import ROLE_PERMISSIONS, Permission

#: Name, address, and what one must be allowed to do to see it.
PLACES: tuple[tuple[str, str, Permission], ...] = (
    ("Inbox", "/staff/inbox", Permission.READ_CONVERSATIONS),
    ("Conversations", "/staff", Permission.READ_CONVERSATIONS),
    ("Call-backs", "/staff/call-backs", Permission.REPLY_TO_PEOPLE),
    ("Answers", "/staff/answers", Permission.READ_ANSWERS),
    ("Urgent", "/staff/alerts", Permission.ACKNOWLEDGE_URGENT),
    ("Health", "/staff/health", Permission.READ_HEALTH),
    ("Staff", "/staff/people", Permission.MANAGE_STAFF),
    ("Activity", "/staff/activity", Permission.READ_ACTIVITY),
)


def places(member: SignedIn) -> list[tuple[str, str]]:
    """Name and address of what `member` may see."""
    return [(name, address) for name, address, permission in PLACES if permission in ROLE_PERMISSIONS[member.role]]


def landing(member: SignedIn) -> str:
    """Where `member` begins: with the work that waits, if it is theirs to do."""
    return "/staff/inbox" if Permission.REVIEW in ROLE_PERMISSIONS[member.role] else "/staff"


def is_here(path: str, address: str) -> bool:
    """Does the page at `path` belong to the place at `address`?"""
    path = path.rstrip("/")
    if address == "/staff":
        return path == address or path.startswith("/staff/conversations")
    return path == address or path.startswith(f"{address}/")
