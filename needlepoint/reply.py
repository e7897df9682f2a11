"""The Reply: the one answer card that every channel renders.

Actions build it, Rasa carries it as a `custom` message, channels show it and the record keeps it. This module
imports nothing of ours, so that every room can speak of a Reply without knowing another room.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal, get_args

import msgspec

Kind = Literal["answer", "clarify", "decline", "urgent", "handover", "form", "smalltalk"]
#: What an answer can be about.
AnswerTopic = Literal[
    "about",
    "benefits",
    "suitability",
    "preparation",
    "pain",
    "procedure",
    "side_effects",
    "aftercare",
    "home_use",
    "cost_booking",
    "comparison",
    "urgent",
]
#: What a Reply can be about.
Topic = Literal[AnswerTopic, "human", "chitchat", "out_of_scope"]
Urgency = Literal["none", "contact_clinic", "same_day", "emergency_now"]
Grade = Literal["regulator", "society", "hospital", "textbook", "review", "clinic", "seed"]

#: Telegram's limit for what a button carries; the strictest of all channels holds for all.
CHOICE_TOKEN_BYTES = 64

#: Reserved id of the choice that opens the suitability check, where others name an entry.
START_SUITABILITY_CHECK = "form:suitability"

#: Reserved id of the choice that says no to the safety question where nothing else can be answered.
NOT_URGENT = "not_urgent"


class Source(msgspec.Struct, frozen=True):
    """Where a statement comes from, as a patient may see it."""

    name: str
    url: str
    grade: Grade


class Answer(msgspec.Struct, frozen=True):
    """One approved text, as it was given.

    `in_your_case` is no text of the version but computed from its time windows for the day of treatment that the
    person told, None where no day is known or the version has no windows.
    `reviewed_on` and `review_due` are None while the clinic has not approved the text; `starting_text_of` is then
    the day on which the starting text was written, and channels show "starting text of <date>, not yet reviewed by
    the clinic" in place of the review date.
    """

    entry_id: str
    version: int
    language: str
    question: str
    text: str
    when_to_contact: str | None = None
    in_your_case: str | None = None
    reviewed_on: date | None = None
    review_due: date | None = None
    starting_text_of: date | None = None
    sources: list[Source] = []


class Choice(msgspec.Struct, frozen=True):
    """A button: what it says, and the opaque token (at most 64 bytes) that pressing it sends back."""

    title: str
    token: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.token.encode()) <= CHOICE_TOKEN_BYTES:
            raise ValueError(f"a choice token has 1 to {CHOICE_TOKEN_BYTES} bytes, this one is {self.token!r}")


class Finding(msgspec.Struct, frozen=True):
    """A safety finding and the rules that made it; for staff and the record."""

    id: str
    rules: list[str]


class Reply(msgspec.Struct, frozen=True):
    """What a person is told in one turn.

    `text` is the lead-in, or the whole text where `answers` is empty; it and the answers' texts use the markdown
    subset of paragraph, list, bold and link. `then` is said below the answers: the open question of a form, asked
    again after what was asked in between; its buttons are among `choices`. `confidence` (0..1) and `why` are for staff
    and are removed by :func:`for_patient` before a Reply leaves by a public route.
    """

    kind: Kind
    topic: Topic
    text: str = ""
    answers: list[Answer] = []
    then: str = ""
    choices: list[Choice] = []
    urgency: Urgency = "none"
    findings: list[Finding] = []
    confidence: float | None = None
    why: dict[str, object] = {}


def most_urgent(levels: Iterable[str | None]) -> Urgency:
    """The highest of some levels; those that are None do not count, and of none at all it is `none`."""
    order: tuple[Urgency, ...] = get_args(Urgency)
    given = set(levels)
    return max((level for level in order if level in given), key=order.index, default="none")


def for_patient(reply: Reply) -> Reply:
    """The same Reply without what only staff may see."""
    return msgspec.structs.replace(reply, confidence=None, why={}, findings=[])


def followed_by(reply: Reply, form: Reply) -> Reply:
    """An answer that was given in between, followed by the form's open question.

    The buttons are the form's; only a clarifying question keeps its own as well, since it cannot be answered without.
    """
    own = reply.choices if reply.kind == "clarify" else []
    return msgspec.structs.replace(reply, then=form.text, choices=[*own, *form.choices])


def plain_text(reply: Reply) -> str:
    """The words of a Reply as a patient reads them from top to bottom, without its buttons and sources."""
    parts = [reply.text]
    for answer in reply.answers:
        parts += [answer.in_your_case or "", answer.text, answer.when_to_contact or ""]
    parts.append(reply.then)
    return "\n\n".join(part.strip() for part in parts if part.strip())
