"""The page of questions without an answer, from which an answer is extended."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from litestar import Controller, Request, get
from litestar.response import Template
from sqlalchemy import Engine

from needlepoint.db.base import now
from needlepoint.phrases import Phrases
from needlepoint.staff import unanswered
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.colleagues import may
from needlepoint.staff.permissions import Permission, needs
from needlepoint.staff.unanswered import IndexNow, Reason

#: Days that one can look back.
DAYS = (7, 30, 90, 365)

#: How the page names each reason.
NAMES: dict[Reason, str] = {
    "declined": "not answered",
    "clarified": "asked back",
    "not_helpful": "not helpful",
    "corrected": "corrected by staff",
}


class UnansweredController(Controller):
    """What was asked in vain."""

    path = "/staff/answers/unanswered"
    include_in_schema = False

    @get("/", guards=[needs(Permission.READ_CONVERSATIONS)])
    async def page(self, request: Request[Any, Any, Any], sync_database: Engine, phrases: Phrases) -> Template:
        """The groups of the last days; that somebody read them is recorded."""
        # Read by hand, so that an address that somebody mistyped still shows a list.
        given = request.query_params.get("days", "")
        days = int(given) if given in map(str, DAYS) else 30
        reason = next((name for name in unanswered.REASONS if name == request.query_params.get("reason")), None)
        await note(request, Activity.READ_UNANSWERED, "conversations", f"{days} days")
        index_now: IndexNow = request.app.state.search_index
        since = now() - timedelta(days=days)
        found = await asyncio.to_thread(unanswered.unanswered, sync_database, index_now(), since, reason)
        context = {
            "found": found,
            "names": NAMES,
            "reason": reason,
            "days": days,
            "all_days": DAYS,
            "zone": phrases.clinic.zone,
            "may_edit": may(request, Permission.EDIT_ANSWERS),
            "staff": request.scope["state"]["staff"],
        }
        return Template("unanswered.html", context=context)
