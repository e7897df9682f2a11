"""The page of one conversation, as the list and the inbox show it."""

from __future__ import annotations

from typing import Any, get_args

from litestar import Request
from litestar.exceptions import NotFoundException
from litestar.response import Template
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import call_backs, reviewing, staff_alerts
from needlepoint.conversations.models import ASKED_BY_STAFF
from needlepoint.conversations.reception import LONGEST_MESSAGE
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY
from needlepoint.faq.models import Entry
from needlepoint.phrases import Phrases
from needlepoint.reply import Topic
from needlepoint.settings import Settings
from needlepoint.staff import transcripts
from needlepoint.staff.activity import Activity, note
from needlepoint.staff.colleagues import may
from needlepoint.staff.permissions import Permission
from needlepoint.staff.queue_names import QUEUES
from needlepoint.staff.transcripts import TurnView

#: What a message can be about, for whoever corrects it.
TOPICS: tuple[str, ...] = tuple(topic for part in get_args(Topic) for topic in (get_args(part) or (part,)))


async def show(
    request: Request[Any, Any, Any],
    database: AsyncEngine,
    phrases: Phrases,
    conversation: str,
    more: dict[str, Any] | None = None,
    error: str | None = None,
    unsent: str = "",
) -> Template:
    """The whole conversation; that it was read is recorded. `more` is what the inbox adds, `unsent` a text that was not
    sent because of `error`."""
    await note(request, Activity.READ_CONVERSATION, "conversation", conversation)
    zone = phrases.clinic.zone
    found = await transcripts.conversation(database, zone, conversation)
    if found is None:
        raise NotFoundException("There is no such conversation; it may have been erased.")
    view, said = found
    settings: Settings = request.app.state.settings
    async with database.execution_options(**READS_ONLY).connect() as connection:
        entries = list(await connection.scalars(select(Entry.id).order_by(Entry.id)))
    return Template(
        "conversation.html",
        context={
            "conversation": view,
            "said": said,
            "turns": [one for one in said if isinstance(one, TurnView)],
            "messages": await staff_alerts.messages_of(database, conversation),
            "items": await reviewing.of_conversation(database, conversation, now()),
            "queue_names": {name: said for name, (said, _) in QUEUES.items()},
            "requests": await call_backs.requests(database, settings.secret_key, conversation),
            "topics": TOPICS,
            "entries": entries,
            "longest": LONGEST_MESSAGE,
            "within": phrases.clinic.staff_chat.answer_within,
            "zone": zone,
            "staff": request.scope["state"]["staff"],
            "may_review": may(request, Permission.REVIEW),
            "may_reply": may(request, Permission.REPLY_TO_PEOPLE) and view.channel != ASKED_BY_STAFF,
            "may_export": may(request, Permission.EXPORT_PERSON),
            "may_erase": may(request, Permission.ERASE_PERSON),
            "error": error,
            "unsent": unsent,
            **(more or {}),
        },
        status_code=409 if error else 200,
    )
