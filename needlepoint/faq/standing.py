"""Where each answer stands on a day: waiting for approval, approved until when, due for review, expired, withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, get_args

import msgspec
from sqlalchemy import Connection, select
from sqlalchemy.orm import Session, selectinload

from needlepoint.faq.models import Entry, Version, VersionText
from needlepoint.faq.published import GRACE

#: What an answer can be, worst first.
Kind = Literal[
    "expired", "grace", "within_7", "within_30", "awaiting", "within_60", "withdrawn", "approved", "draft", "retired"
]

#: Worst first; also the order in which lists show them.
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Days before the review date from which on people are warned.
WARN_AT = (7, 30, 60)

#: Kinds that a person has to do something about because of a date, worst first.
DUE: tuple[Kind, ...] = ("expired", "grace", "within_7", "within_30", "within_60")


class Standing(msgspec.Struct, frozen=True):
    """One entry in one language.

    `version` is that of the text that counts: the newest approved one, else the newest of all. `days_left` counts to
    `review_due` and is negative after it; both are None while nothing is approved. `awaiting` is a newer version that
    waits for approval beside an approved one, `drafted` one that is still being written beside what counts.
    """

    entry_id: str
    topic: str
    language: str
    question: str
    kind: Kind
    version: int
    starting_text: bool
    approver: str | None = None
    approved_on: date | None = None
    waited_days: int | None = None
    review_due: date | None = None
    days_left: int | None = None
    awaiting: int | None = None
    drafted: int | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None

    @property
    def given(self) -> bool:
        """An approved text that patients get today. A card is given even past its date."""
        return self.kind in ("grace", "within_7", "within_30", "within_60", "approved") or (
            self.kind == "expired" and self.topic == "urgent"
        )


def read_standings(connection: Connection, today: date) -> list[Standing]:
    """Every entry in every language, worst first and then in the answers' order; `today` is in the clinic's zone."""
    entries = Session(connection).scalars(
        select(Entry)
        .order_by(Entry.position)
        .options(
            selectinload(Entry.versions).selectinload(Version.texts),
        )
    )
    standings = [one for entry in entries for one in _standings(entry, today)]
    return sorted(standings, key=_badness)


def _badness(one: Standing) -> tuple[int, int]:
    return KINDS.index(one.kind), one.days_left if one.days_left is not None else 0


def _standings(entry: Entry, today: date) -> list[Standing]:
    by_language: dict[str, list[tuple[Version, VersionText]]] = {}
    for version in reversed(entry.versions):
        for text in version.texts:
            by_language.setdefault(text.language, []).append((version, text))
    return [_standing(entry, texts, today) for _, texts in sorted(by_language.items())]


def _standing(entry: Entry, newest_first: list[tuple[Version, VersionText]], today: date) -> Standing:
    approved = next((pair for pair in newest_first if pair[1].state == "approved"), None)
    waiting = next((pair for pair in newest_first if pair[1].state == "in_review"), None)
    version, text = approved or waiting or newest_first[0]
    days_left = (text.review_due - today).days if approved and text.review_due else None
    kind: Kind
    if entry.withdrawn_at is not None and entry.topic != "urgent":
        kind = "withdrawn"
    elif approved:
        kind = _kind_by_date(days_left or 0)
    elif waiting:
        kind = "awaiting"
    else:
        kind = "draft" if text.state == "draft" else "retired"
    return Standing(
        entry_id=entry.id,
        topic=entry.topic,
        language=text.language,
        question=text.question,
        kind=kind,
        version=version.number,
        starting_text=version.starting_text and not approved,
        approver=text.approver,
        approved_on=text.approved_on,
        waited_days=text.waited_days,
        review_due=text.review_due,
        days_left=days_left,
        drafted=next((v.number for v, t in newest_first if t.state == "draft" and v.number > version.number), None),
        awaiting=waiting[0].number if approved and waiting and waiting[0].number > version.number else None,
        withdrawn_at=entry.withdrawn_at,
        withdrawn_by=entry.withdrawn_by,
    )


def _kind_by_date(days_left: int) -> Kind:
    """`days_left` counts to the review date: 0 on the day itself."""
    if days_left < -GRACE.days:
        return "expired"
    if days_left < 0:
        return "grace"
    week, month, two_months = WARN_AT
    if days_left <= week:
        return "within_7"
    if days_left <= month:
        return "within_30"
    return "within_60" if days_left <= two_months else "approved"


def by_kind(standings: Sequence[Standing]) -> dict[Kind, list[str]]:
    """Entry ids by the worst that holds for them in any language, in the order of the list."""
    worst: dict[str, Kind] = {}
    for one in sorted(standings, key=_badness):
        worst.setdefault(one.entry_id, one.kind)
    return {kind: ids for kind in KINDS if (ids := [entry_id for entry_id, its in worst.items() if its == kind])}


def due_report(standings: Sequence[Standing]) -> str:
    """The list that `needlepoint faq due` prints; empty when nothing is due."""
    titles = {
        "expired": "Expired and no longer given",
        "card": "Expired urgent cards, given all the same",
        "grace": f"Past the review date, given for {GRACE.days} days after it",
        "within_7": "Due within 7 days",
        "within_30": "Due within 30 days",
        "within_60": "Due within 60 days",
    }
    groups: dict[str, list[Standing]] = {title: [] for title in titles}
    for one in standings:
        if one.kind in DUE:
            groups["card" if one.kind == "expired" and one.given else one.kind].append(one)
    blocks = []
    for group, found in groups.items():
        if found:
            width = max(len(one.entry_id) for one in found)
            rows = [
                f"  {one.entry_id:<{width}}  {one.language}  v{one.version}  due {one.review_due}  {days(one)}"
                for one in found
            ]
            blocks.append("\n".join([f"{titles[group]} ({len(found)})", *rows]))
    return "\n\n".join(blocks)


def days(one: Standing) -> str:
    """How far the review date is: "in 5 days", "today", "3 days ago"."""
    left = one.days_left or 0
    if left == 0:
        return "today"
    count = f"{abs(left)} day{'s' if abs(left) != 1 else ''}"
    return f"in {count}" if left > 0 else f"{count} ago"
