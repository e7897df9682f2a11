"""What every staff page says on top: urgent messages, what patients do not get, and what has to be reviewed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from needlepoint.conversations.staff_alerts import Open
from needlepoint.faq.published import GRACE, Published
from needlepoint.faq.standing import Kind, Standing, by_kind


class Notice(msgspec.Struct, frozen=True):
    """A sentence or two, and where to read on; `link` is a path of the staff pages. `for_admins` is what only they can
    do something with."""

    text: str
    link: str | None = None
    link_text: str = ""
    for_admins: str = ""


def urgent_notice(open_ones: Open, zone: ZoneInfo, at: datetime) -> Notice | None:
    """How many urgent messages nobody has acknowledged, and since when, in the clinic's zone; None for none."""
    if not open_ones.count or open_ones.oldest is None:
        return None
    oldest = open_ones.oldest.astimezone(zone)
    same_day = oldest.date() == at.astimezone(zone).date()
    since = f"{oldest:%H:%M}" if same_day else f"{oldest:%d %b %Y, %H:%M}"
    many = open_ones.count != 1
    said = f"{open_ones.count} urgent message{'s' if many else ''} nobody has acknowledged, "
    said += f"{'oldest ' if many else ''}{since}."
    if open_ones.failed:
        said += f" {open_ones.failed} alert{'s' if open_ones.failed != 1 else ''} could not be delivered."
    return Notice(said, "/staff/alerts", "See them" if many else "See it")


def notices(published: Published | None, standings: Sequence[Standing], gives_unapproved: bool) -> list[Notice]:
    """The notices of today, worst first. `published` is None before the answers could be read."""
    if published is None:
        return [Notice("No answers could be read from the database yet.")]
    found = []
    if published.withdrawn:
        found.append(Notice("The whole assistant is withdrawn: only urgent cards are given."))
    kinds = by_kind(standings)
    if due := _due(kinds):
        found.append(Notice(due, "/staff/answers?due=1", "See what is due"))
    if waiting := _waiting(published, kinds, gives_unapproved):
        setting = _SETTING if gives_unapproved else ""
        found.append(Notice(waiting, "/staff/answers", "See which answers", setting))
    return found


_SETTING = "With NEEDLEPOINT_UNAPPROVED_ANSWERS=withhold only urgent cards are given before they are approved."


def _waiting(published: Published, kinds: dict[Kind, list[str]], gives_unapproved: bool) -> str:
    given = published.unapproved
    if gives_unapproved:
        if not given:
            return ""
        return (
            f"{given} answer{'s are starting texts' if given != 1 else ' is a starting text'} that the clinic has not "
            "approved yet, given to patients and marked as such."
        )
    held = len(kinds.get("awaiting", [])) - given
    said = []
    if held > 0:
        said.append(f"{_answers(held)} not given to patients before the clinic approves {_them(held)}.")
    if given:
        said.append(f"{_count(given, 'urgent card')} given although the clinic has not approved {_them(given)} yet.")
    return " ".join(said)


def _due(kinds: dict[Kind, list[str]]) -> str:
    said = []
    if expired := len(kinds.get("expired", [])):
        verb = "have expired and are" if expired != 1 else "has expired and is"
        said.append(f"{expired} answer{'s' if expired != 1 else ''} {verb} no longer given (urgent cards still are).")
    if late := len(kinds.get("grace", [])):
        said.append(f"{_answers(late)} past the review date, and given for {GRACE.days} days after it.")
    soon = [(len(kinds[kind]), days) for kind, days in _SOON.items() if kind in kinds]
    if soon:
        (first, within), *others = soon
        more = [f"{count} within {days}" for count, days in others]
        said.append(", ".join([f"{_answers(first)} due for review within {within} days", *more]) + ".")
    return " ".join(said)


_SOON: dict[Kind, int] = {"within_7": 7, "within_30": 30, "within_60": 60}


def _answers(count: int) -> str:
    return _count(count, "answer")


def _them(count: int) -> str:
    return "them" if count != 1 else "it"


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s are' if count != 1 else ' is'}"


def due_line(standings: Sequence[Standing]) -> str | None:
    """The same for the log, counts and entry ids only; None when nothing is due."""
    kinds = by_kind(standings)
    due = [kind for kind in ("expired", "grace", "within_7", "within_30", "within_60") if kind in kinds]
    if not due:
        return None
    return "answers due for review: " + "; ".join(
        f"{kind.replace('_', ' ')} {len(kinds[kind])} ({', '.join(kinds[kind])})" for kind in due
    )
