"""The staff's list of answers: which are approved, by whom and until when, and which need somebody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, get_args

import msgspec
from litestar import Controller, Request, get
from litestar.response import Template
from msgspec import Meta
from sqlalchemy import Engine

from needlepoint.db.connect import READS_ONLY
from needlepoint.faq.published import GRACE, assistant_is_withdrawn
from needlepoint.faq.standing import KINDS, Kind, Standing, days, read_standings
from needlepoint.phrases import Phrases
from needlepoint.reply import AnswerTopic
from needlepoint.settings import Settings
from needlepoint.staff.permissions import ROLE_PERMISSIONS, Permission, needs

#: Title of each kind, in the list above the table.
TITLES: dict[Kind, str] = {
    "expired": "expired",
    "grace": "past the review date",
    "within_7": "due within 7 days",
    "within_30": "due within 30 days",
    "awaiting": "awaiting approval",
    "within_60": "due within 60 days",
    "withdrawn": "withdrawn",
    "approved": "approved",
    "draft": "being written",
    "retired": "retired",
}

_BADGES: dict[Kind, str] = {
    "expired": "emergency",
    "grace": "today",
    "within_7": "today",
    "within_30": "call",
    "awaiting": "start",
    "within_60": "call",
    "withdrawn": "start",
    "approved": "good",
}


#: What the page says after a form that could not be followed.
REFUSALS = {"none": "Tick the answers that you have read and want to approve."}


class Row(msgspec.Struct, frozen=True):
    """One line of the table: an answer in one language, its state in a word and in a sentence."""

    standing: Standing
    badge: str
    state: str
    detail: str


def row(one: Standing, gives_unapproved: bool) -> Row:
    """How a person reads where an answer stands."""
    state, detail = _state(one, gives_unapproved)
    if one.awaiting is not None:
        detail = f"{detail} Version {one.awaiting} awaits approval.".strip()
    return Row(one, _BADGES.get(one.kind, "calm"), state, detail)


def _state(one: Standing, gives_unapproved: bool) -> tuple[str, str]:
    match one.kind:
        case "expired" if one.given:
            return "expired", f"Was due {days(one)}. An urgent card is given all the same."
        case "expired":
            return "expired", f"Was due {days(one)}. No longer given."
        case "grace":
            return "past its review date", f"Was due {days(one)}. Given for {GRACE.days} days after that."
        case "within_7" | "within_30" | "within_60":
            return f"due {days(one)}", ""
        case "approved":
            return f"approved until {one.review_due:%d %b %Y}", ""
        case "awaiting":
            given = one.topic == "urgent" or (one.starting_text and gives_unapproved)
            name = "starting text awaiting approval" if one.starting_text else "awaiting approval"
            return name, "Given, marked as not reviewed." if given else "Not given."
        case "withdrawn":
            by = f"{one.withdrawn_at:%d %b %Y} by {one.withdrawn_by}" if one.withdrawn_at else ""
            return "withdrawn", f"Withdrawn on {by}. Approving it gives it again."
        case "draft":
            return "draft", "Not given before it is reviewed and approved."
        case "retired":
            return "retired", "Not given any more."


class AnswersController(Controller):
    """Where the answers stand."""

    path = "/staff/answers"
    include_in_schema = False

    @get("/", guards=[needs(Permission.READ_ANSWERS)])
    async def answers(
        self,
        request: Request[Any, Any, Any],
        sync_database: Engine,
        settings: Settings,
        phrases: Phrases,
        topic: AnswerTopic | None = None,
        refused: Annotated[str, Meta(max_length=20)] = "",
    ) -> Template:
        """All answers, or those of one topic, worst first."""
        may = ROLE_PERMISSIONS[request.scope["state"]["staff"].role]
        today = datetime.now(phrases.clinic.zone).date()

        def read() -> tuple[list[Standing], bool]:
            with sync_database.connect().execution_options(**READS_ONLY) as connection:
                return read_standings(connection, today), assistant_is_withdrawn(connection)

        standings, assistant_withdrawn = await asyncio.to_thread(read)
        shown = [one for one in standings if topic is None or one.topic == topic]
        return Template(
            "answers.html",
            context={
                "rows": [row(one, settings.unapproved_answers == "give") for one in shown],
                "counts": _counts(shown),
                "topic": topic,
                "topics": Counter(one.topic for one in standings),
                "all_topics": get_args(AnswerTopic),
                "total": len(standings),
                "today": today,
                "assistant_withdrawn": assistant_withdrawn,
                "first_language": phrases.clinic.languages[0],
                "may_approve": Permission.APPROVE_ANSWERS in may,
                "may_withdraw": Permission.WITHDRAW_ANSWERS in may,
                "error": REFUSALS.get(refused),
                "staff": request.scope["state"]["staff"],
            },
        )


def _counts(standings: Sequence[Standing]) -> list[tuple[str, int]]:
    counted = Counter(one.kind for one in standings)
    return [(TITLES[kind], counted[kind]) for kind in KINDS if counted[kind]]
