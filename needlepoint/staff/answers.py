"""The staff's list of answers: which are approved, by whom and until when, and which need somebody."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, get_args
from urllib.parse import urlencode

import msgspec
from litestar import Controller, Request, get
from litestar.response import Template
from msgspec import Meta
from sqlalchemy import Engine

from needlepoint.db.connect import READS_ONLY
from needlepoint.faq.published import GRACE, assistant_is_withdrawn
from needlepoint.faq.standing import DUE, KINDS, Kind, Standing, days, read_standings
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
    if one.drafted is not None:
        detail = f"{detail} Version {one.drafted} is being written.".strip()
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


#: What the list can be narrowed to, with its name on the page.
STATES: dict[str, str] = {
    "draft": "draft",
    "in_review": "in review",
    "approved": "approved",
    "starting_text": "starting text",
    "withdrawn": "withdrawn",
    "retired": "retired",
}


def is_in_state(one: Standing, state: str) -> bool:
    """Is this answer, or a newer version of it that is on its way, in one of `STATES`?"""
    match state:
        case "draft":
            return one.kind == "draft" or one.drafted is not None
        case "in_review":
            return one.awaiting is not None or (one.kind == "awaiting" and not one.starting_text)
        case "approved":
            return one.kind in (*DUE, "approved")
        case "starting_text":
            return one.starting_text and one.kind == "awaiting"
        case _:
            return one.kind == state


class Narrowed(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody looks for in the list; an empty field does not matter. `due` is "1" for what is due for review."""

    topic: str = ""
    state: str = ""
    due: str = ""
    q: str = ""

    def fits(self, one: Standing) -> bool:
        """Does this answer belong to it? Each of the words has to stand somewhere in its question or name."""
        words = f"{one.question} {one.entry_id.replace('-', ' ')} {one.entry_id}".casefold()
        return (
            (not self.topic or one.topic == self.topic)
            and (not self.state or is_in_state(one, self.state))
            and (not self.due or one.kind in DUE)
            and all(word in words for word in self.q.casefold().split())
        )

    def with_(self, **other: str) -> Narrowed:
        """The same but for some fields."""
        return msgspec.structs.replace(self, **other)

    @property
    def address(self) -> str:
        """The address of the list that is narrowed like this."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        return "/staff/answers" + (f"?{urlencode(given)}" if given else "")


class Shortcut(msgspec.Struct, frozen=True):
    """A list that is one click away: its name, how many answers it has, and whether it is the one that is shown."""

    name: str
    count: int
    address: str
    here: bool
    pressing: bool = False


def shortcuts(standings: Sequence[Standing], shown: Narrowed) -> list[Shortcut]:
    """What is due for review first, then all states that occur."""

    def one(name: str, narrowed: Narrowed, pressing: bool = False) -> Shortcut:
        # An answer in two languages is one answer.
        count = len({standing.entry_id for standing in standings if narrowed.fits(standing)})
        here = shown.with_(topic="", q="") == narrowed
        return Shortcut(name, count, narrowed.with_(topic=shown.topic, q=shown.q).address, here, pressing)

    over = any(standing.kind in ("expired", "grace") for standing in standings)
    found = [one("all", Narrowed()), one("due for review", Narrowed(due="1"), over)]
    found += [one(name, Narrowed(state=state)) for state, name in STATES.items()]
    return [cut for cut in found if cut.count or cut.here or cut.name == "due for review"]


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
        refused: Annotated[str, Meta(max_length=20)] = "",
    ) -> Template:
        """All answers, or those that are looked for, worst first."""
        may = ROLE_PERMISSIONS[request.scope["state"]["staff"].role]
        today = datetime.now(phrases.clinic.zone).date()
        # Read by hand, so that an address that somebody mistyped still shows a list.
        given = {name: request.query_params.get(name, "")[:100] for name in Narrowed.__struct_fields__}
        if given["topic"] not in get_args(AnswerTopic):
            given["topic"] = ""
        if given["state"] not in STATES:
            given["state"] = ""
        narrowed = Narrowed(**given)

        def read() -> tuple[list[Standing], bool]:
            with sync_database.connect().execution_options(**READS_ONLY) as connection:
                return read_standings(connection, today), assistant_is_withdrawn(connection)

        standings, assistant_withdrawn = await asyncio.to_thread(read)
        shown = [one for one in standings if narrowed.fits(one)]
        return Template(
            "answers.html",
            context={
                "rows": [row(one, settings.unapproved_answers == "give") for one in shown],
                "counts": _counts(shown),
                "narrowed": narrowed,
                "shortcuts": shortcuts(standings, narrowed),
                "topics": Counter({one.entry_id: one.topic for one in standings}.values()),
                "all_topics": get_args(AnswerTopic),
                "total": len({one.entry_id for one in standings}),
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
