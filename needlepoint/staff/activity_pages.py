"""The page on which administrators see who did what."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Controller, Request, get
from litestar.response import Template
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.phrases import Phrases
from needlepoint.staff import activity
from needlepoint.staff.activity import Activity
from needlepoint.staff.permissions import Permission, needs

#: Lines a page.
PAGE_SIZE = 100

#: Where an object can be looked at, by its kind.
PLACES = {"conversation": "/staff/conversations/", "answer": "/staff/answers/", "inbox item": "/staff/inbox/"}


class ActivityController(Controller):
    """Who did what. Looking at it is not recorded: nothing of a patient stands here."""

    path = "/staff/activity"
    include_in_schema = False

    @get("/", guards=[needs(Permission.READ_ACTIVITY)])
    async def activity(
        self,
        request: Request[Any, Any, Any],
        database: AsyncEngine,
        phrases: Phrases,
        by: Annotated[str, Meta(max_length=200)] = "",
        what: Annotated[str, Meta(max_length=60)] = "",
        first: Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = "",
        last: Annotated[str, Meta(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = "",
        before: Annotated[int, Meta(ge=0, lt=2**31)] = 0,
    ) -> Template:
        """The latest first; days are the clinic's."""
        zone = phrases.clinic.zone
        start, end = _day(first), _day(last)
        found = await activity.happened(
            database,
            PAGE_SIZE + 1,
            by=by or None,
            what=what or None,
            start=datetime.combine(start, time.min, zone) if start else None,
            end=datetime.combine(end + timedelta(days=1), time.min, zone) if end else None,
            before=before or None,
        )
        shown = found[:PAGE_SIZE]
        kept = {"by": by, "what": what, "first": first, "last": last}
        older = None
        if len(found) > PAGE_SIZE:
            older = "/staff/activity?" + urlencode({**{k: v for k, v in kept.items() if v}, "before": shown[-1].id})
        context = {
            "lines": shown,
            "people": await activity.people(database),
            "names": await activity.names(database),
            "kinds": [one.value for one in Activity],
            **kept,
            "older": older,
            "pages_of": PLACES,
            "zone": zone,
            "staff": request.scope["state"]["staff"],
        }
        return Template("activity.html", context=context)


def _day(written: str) -> date | None:
    """A day as browsers write it; what is no day filters nothing."""
    try:
        day = date.fromisoformat(written) if written else None
    except ValueError:
        return None
    return day if day and date(2000, 1, 1) <= day <= date(9000, 1, 1) else None
