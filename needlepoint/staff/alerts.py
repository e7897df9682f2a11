"""Urgent messages at the desk: who was alerted, and the button that says that somebody looks after it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, get, post
from litestar.enums import RequestEncodingType
from litestar.exceptions import NotFoundException
from litestar.params import Body
from litestar.response import Redirect, Template
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import staff_alerts
from needlepoint.db.base import now
from needlepoint.phrases import Phrases
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.permissions import Permission, needs

#: Messages the page lists of each kind.
MOST_LISTED = 50

#: Seconds after which the page loads itself again.
REFRESH_SECONDS = 30


class AcknowledgeForm(msgspec.Struct, frozen=True):
    """The button of one message: when it came, which names it besides its number, and the page to come back to."""

    came_at: datetime
    back: Literal["alerts", "conversation"] = "alerts"


class AlertsController(Controller):
    """Whoever may read conversations may acknowledge: the fewer may, the longer a patient waits."""

    path = "/staff/alerts"
    include_in_schema = False

    @get("/", guards=[needs(Permission.ACKNOWLEDGE_URGENT)])
    async def alerts(self, request: Request[Any, Any, Any], database: AsyncEngine, phrases: Phrases) -> Template:
        """What nobody has acknowledged, the oldest first; below it what somebody has, the latest first."""
        waiting = await staff_alerts.open_messages(database, MOST_LISTED + 1)
        return Template(
            "alerts.html",
            context={
                "waiting": waiting[:MOST_LISTED],
                "more": len(waiting) > MOST_LISTED,
                "acknowledged": await staff_alerts.acknowledged_messages(database, MOST_LISTED),
                "zone": phrases.clinic.zone,
                "refresh": REFRESH_SECONDS,
                "staff": request.scope["state"]["staff"],
            },
        )

    @get("/notice", guards=[needs(Permission.ACKNOWLEDGE_URGENT)], sync_to_thread=False)
    def notice(self) -> Template:
        """The notice alone, with which open pages keep theirs fresh."""
        return Template("urgent_notice.html")

    @post("/{message:int}/acknowledge", guards=[needs(Permission.ACKNOWLEDGE_URGENT)])
    async def acknowledge(
        self,
        message: int,
        request: Request[Any, Any, Any],
        data: Annotated[AcknowledgeForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
        database: AsyncEngine,
    ) -> Redirect:
        """Record that the member who is signed in looks after it; the first one counts."""
        if data.came_at.tzinfo is None or not 0 < message < 2**31:
            raise NotFoundException("There is no such urgent message.")
        by = request.scope["state"]["staff"].name
        await note(request, Activity.ACKNOWLEDGED_URGENT, "urgent message", message)
        conversation = await staff_alerts.acknowledge(database, message, data.came_at, by, now())
        if conversation is None:
            raise NotFoundException("There is no such urgent message any more; its conversation may have been erased.")
        to_conversation = data.back == "conversation" and conversation
        return Redirect(f"/staff/conversations/{conversation}" if to_conversation else "/staff/alerts", status_code=303)
