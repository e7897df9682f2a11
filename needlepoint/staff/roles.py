"""What there is to do at the desk, and which role may do it: the one table that routes, pages and commands ask."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Permission(StrEnum):
    """One thing that a member of staff may be allowed to do; the value stands in the error that refuses it."""

    READ_CONVERSATIONS = "read conversations"
    #: Acknowledge an urgent message. Whoever reads may: the fewer may, the longer a patient waits.
    ACKNOWLEDGE_URGENT = "acknowledge urgent messages"
    #: Correct a topic, tag, note, snooze, mark as done, assign.
    REVIEW = "review conversations"
    #: Take a conversation over and write to the person.
    REPLY_TO_PEOPLE = "reply to people"
    #: Give out everything that is stored of a person.
    EXPORT_PERSON = "export what is stored of a person"
    ERASE_PERSON = "erase a person"
    READ_ANSWERS = "read answers"
    #: Write drafts, test them and send them to review.
    EDIT_ANSWERS = "edit answers"
    #: Approve and retire; never one's own words, whatever the role (faq/store.py and the database hold that).
    APPROVE_ANSWERS = "approve answers"
    #: Stop an answer or the whole assistant at once, and resume.
    WITHDRAW_ANSWERS = "withdraw answers"
    MANAGE_STAFF = "manage staff"
    READ_ACTIVITY = "read who did what"
    READ_HEALTH = "see whether everything works"


_VIEWER = frozenset(
    {
        Permission.READ_CONVERSATIONS,
        Permission.ACKNOWLEDGE_URGENT,
        Permission.READ_ANSWERS,
        Permission.READ_HEALTH,
    }
)
_REVIEWER = _VIEWER | {Permission.REVIEW, Permission.REPLY_TO_PEOPLE}
_EDITOR = _REVIEWER | {Permission.EDIT_ANSWERS}
_APPROVER = _EDITOR | {Permission.APPROVE_ANSWERS, Permission.WITHDRAW_ANSWERS}

#: Each role may do what the one before it may. Giving out or erasing what is stored of a person is the
#: administrator's, because it answers a request by law and cannot be undone.
ROLE_PERMISSIONS: Mapping[str, frozenset[Permission]] = {
    "viewer": _VIEWER,
    "reviewer": _REVIEWER,
    "editor": _EDITOR,
    "approver": _APPROVER,
    "admin": frozenset(Permission),
}


def roles_with(permission: Permission) -> list[str]:
    """The roles that may do this, the least first."""
    return [role for role, permissions in ROLE_PERMISSIONS.items() if permission in permissions]
