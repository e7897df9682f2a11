"""The suitability check: which questions it asks, what an answer means, and the summary that it ends in.

It collects points for the clinician and decides nothing. Of each answer only yes, no or not sure is kept. The dialogue
itself is a Rasa form (`actions/suitability_form.py`); everything here is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from needlepoint.answering.answerer import TODAY, Answered
from needlepoint.answering.question import Question
from needlepoint.answering.timeline import says_only_when
from needlepoint.phrases import Phrases
from needlepoint.reply import START_SUITABILITY_CHECK, Choice, Reply
from needlepoint.yes_or_no import asks, denies, numbers, read_answer

FORM = "suitability_form"

#: Reserved ids of choices; no entry has a colon in its id.
START = START_SUITABILITY_CHECK
AGAIN = "form:suitability:again"
STOP = "suitability:stop"

_PREFIX = "suitability_"
#: How the last message was taken: opened, resumed, unclear, assumed, stopped; None where there is nothing to say.
NOTE = "suitability_note"
#: The language that the person answers in; "no" and "RF" have none of their own.
LANGUAGE = "suitability_language"
#: The slot that Rasa keeps the open question in.
REQUESTED = "requested_slot"

Slots = Mapping[str, Any]


class Point(msgspec.Struct, frozen=True):
    """One thing that is asked about. `entries` are the answers about it: who states what they are about says yes."""

    name: str
    entries: frozenset[str]

    @property
    def slot(self) -> str:
        """The slot that holds yes, no or unsure."""
        return _PREFIX + self.name


def _point(name: str, *entries: str) -> Point:
    return Point(name, frozenset(entries))


TREATMENT = _PREFIX + "treatment"
TREATMENTS = ("clinic_microneedling", "rf_microneedling", "prp")
UNSURE = "unsure"

#: In the order in which they are asked.
POINTS = (
    _point("age", "minimum-age"),
    _point("pregnancy", "pregnancy", "breastfeeding"),
    _point("isotretinoin", "isotretinoin"),
    _point("keloid", "keloid-history"),
    _point("skin", "active-acne", "skin-infection-open-skin"),
    _point("cold_sores", "cold-sores-suitability"),
    _point("blood", "blood-thinners", "bleeding-disorder"),
    _point("diabetes", "diabetes"),
    _point("immune", "weak-immune-system", "autoimmune-and-connective-tissue", "cancer-treatment"),
    _point("metal", "pacemaker-and-electronic-implants", "metal-implants-and-fillers-rf"),
    _point("recent", "recent-surgery-or-new-scars"),
)
#: Radio energy is what metal and implants matter for.
_ONLY_WITH_RADIO_ENERGY = "metal"

#: Everything the check keeps.
SLOTS = (TREATMENT, *(point.slot for point in POINTS), NOTE, LANGUAGE)

#: Age below which a doctor and a parent or guardian have to be involved, whatever the clinic's own minimum is.
ADULT = 18

_OF_SLOT = {point.slot: point for point in POINTS}
_ANSWERS = ("yes", "no", UNSURE)
_MEN = frozenset("man male guy men boy lelaki".split())
_PLAIN_NEEDLING = frozenset("clinic klinik pen dermapen skinpen plain normal ordinary biasa".split())
_SURE = 0.6


def points_for(treatment: str | None) -> list[Point]:
    """The points that matter for a treatment; with one that is not settled, all."""
    needs_all = treatment in (None, UNSURE, "rf_microneedling")
    return [point for point in POINTS if needs_all or point.name != _ONLY_WITH_RADIO_ENERGY]


def required(slots: Slots) -> list[str]:
    """The slots to fill, in their order."""
    return [TREATMENT, *(point.slot for point in points_for(slots.get(TREATMENT)))]


# -- hearing ---------------------------------------------------------------------------------------------------------


def heard(
    question: Question, slots: Slots, least_age: int, answer: Callable[[Question], Answered]
) -> dict[str, str | None] | None:
    """The slots that a message sets while the check is open, or None where it is about something else.

    `answer` gives the Reply that the message would get outside of the check; it is only called where the message is
    no answer by itself.
    """
    requested = slots.get(REQUESTED)
    if requested is None:
        return _opening(question, slots)
    if question.choice is not None:
        return _pressed(question.choice, slots)
    # What safety found something in is not swallowed as an answer; a bare "no" is one, whatever was said before it.
    if (question.safety_level != "none" and len(question.text.split()) > 3) or _tells_when(question):
        return None
    said = _said(question, requested, least_age)
    if said == "stop":
        return {NOTE: "stopped"}
    if said is not None:
        return {requested: said, NOTE: None}
    intent = max(question.intents, key=lambda name: question.intents[name], default="")
    if intent == "check_suitability":
        return {NOTE: None}
    would_be = answer(question)
    if stated := _stated(question, requested, would_be):
        return {requested: stated, NOTE: None}
    if _about_something_else(question, intent, would_be):
        return None
    if slots.get(NOTE) == "unclear":
        return {requested: UNSURE, NOTE: "assumed"}
    return {NOTE: "unclear"}


def begun_anew() -> dict[str, str | None]:
    """The slots of a check that forgets what was answered."""
    return dict.fromkeys(SLOTS)


def _opening(question: Question, slots: Slots) -> dict[str, str | None]:
    begun = any(slots.get(slot) for slot in required(slots))
    set_now: dict[str, str | None] = {NOTE: "resumed" if begun else "opened"}
    named = [one for one in question.entities.get("treatment", []) if one in TREATMENTS[1:]]
    if not begun and len(set(named)) == 1:
        set_now[TREATMENT] = named[0]
    return set_now


def _pressed(choice: str, slots: Slots) -> dict[str, str | None] | None:
    """A button of the check; that of an earlier question changes its answer."""
    if choice == STOP:
        return {NOTE: "stopped"}
    if choice == AGAIN:
        return begun_anew() | {NOTE: "opened"}
    if choice == START:
        return {NOTE: None}
    of, _, rest = choice.partition(":")
    name, _, value = rest.partition(":")
    slot = _PREFIX + name
    if of != "suitability" or slot not in required(slots) or value not in _values(slot):
        return None
    return {slot: value, NOTE: None}


def _values(slot: str) -> tuple[str, ...]:
    return (*TREATMENTS, UNSURE) if slot == TREATMENT else _ANSWERS


def _tells_when(question: Question) -> bool:
    """The answer to "when was your treatment?", which was asked in between."""
    asked_when = question.about == TODAY and question.had is None and question.booked is None
    return asked_when and says_only_when(question.text, question.days)


def _said(question: Question, requested: str, least_age: int) -> str | None:
    said = read_answer(question.text)
    if said == "stop" or asks(question.text):
        return said
    words = set(question.text.lower().replace("'", " ").split())
    if requested == TREATMENT:
        return UNSURE if said == UNSURE else _named_treatment(question, words)
    if requested == _PREFIX + "age" and (ages := [one for one in numbers(question.text) if one > 0]):
        return "yes" if min(ages) < least_age else "no"
    if requested == _PREFIX + "pregnancy" and said is None and words & _MEN:
        return "no"
    return said


def _named_treatment(question: Question, words: set[str]) -> str | None:
    named = {one for one in question.entities.get("treatment", []) if one in TREATMENTS}
    # "RF needling" names both; plain needling is then only the word for it.
    meant = named - {"clinic_microneedling"} or named
    if len(meant) > 1:
        return UNSURE
    if meant:
        return meant.pop()
    return "clinic_microneedling" if words & _PLAIN_NEEDLING else None


def _stated(question: Question, requested: str, would_be: Answered) -> str | None:
    """Yes for "I am on warfarin", where the answer to it would be the one about this very point."""
    point = _OF_SLOT.get(requested)
    about = [answer.entry_id for answer in would_be.reply.answers]
    if point is None or not set(about) & point.entries or asks(question.text) or denies(question.text):
        return None
    return "yes"


def _about_something_else(question: Question, intent: str, would_be: Answered) -> bool:
    sure = question.intents.get(intent, 0.0) >= _SURE
    if sure and (intent == "ask_human" or intent.startswith("chitchat")):
        return True
    if would_be.reply.kind in ("answer", "urgent", "form") or would_be.reply.topic == "urgent":
        return True
    # A question that has no answer here is a question all the same.
    return asks(question.text) or (sure and intent == "out_of_scope" and len(question.text.split()) > 3)


# -- saying ----------------------------------------------------------------------------------------------------------


def least_age_of(phrases: Phrases) -> int:
    """The age that is asked about: the clinic's own where it is a number above that of an adult."""
    stated = numbers(phrases.clinic.values().get("minimum_age") or "")
    return max([ADULT, *stated[:1]])


def ask(requested: str, slots: Slots, phrases: Phrases, language: str) -> Reply:
    """The question for a slot, with its buttons."""
    note = slots.get(NOTE)
    parts = []
    if note in ("opened", "resumed", "assumed"):
        parts.append(phrases.say(f"check_{note}", language))
    if note == "unclear":
        key = "check_unclear_treatment" if requested == TREATMENT else "check_unclear"
        parts.append(phrases.say(key, language))
    parts.append(_question(requested, slots, phrases, language))
    name = requested.removeprefix(_PREFIX)
    choices = [
        Choice(phrases.say(_label(requested, value), language), f"suitability:{name}:{value}")
        for value in _values(requested)
    ]
    return Reply(
        kind="form",
        topic="suitability",
        text="\n\n".join(parts),
        choices=[*choices, Choice(phrases.say("check_stop", language), STOP)],
        confidence=1.0,
        why={"form": FORM, "asks": name} | ({"note": note} if note else {}),
    )


def _label(slot: str, value: str) -> str:
    if slot == TREATMENT and value != UNSURE:
        return f"check_choice_{value}"
    return f"check_{value}"


def _question(requested: str, slots: Slots, phrases: Phrases, language: str) -> str:
    asked = required(slots)
    number = asked.index(requested) + 1 if requested in asked else 1
    said = phrases.say(f"check_ask_{requested.removeprefix(_PREFIX)}", language, age=str(least_age_of(phrases)))
    if requested == TREATMENT:
        return f"**{said}**"
    counted = phrases.say("check_progress", language, number=str(number), total=str(len(asked)))
    return f"{counted}\n\n**{said}**"


def stopped(slots: Slots, phrases: Phrases, language: str) -> Reply:
    """The end of a check that was not finished: what was answered is kept."""
    begun = any(slots.get(slot) for slot in required(slots))
    choices = [Choice(phrases.say("check_go_on", language), START)]
    if begun:
        choices.append(Choice(phrases.say("check_again", language), AGAIN))
    return Reply(
        kind="form",
        topic="suitability",
        text=phrases.say("check_stopped", language),
        choices=choices,
        confidence=1.0,
        why={"form": FORM, "stopped": True},
    )


def summary(slots: Slots, phrases: Phrases, language: str, asked_at: datetime | None = None) -> Reply:
    """The end: what came up, why the clinician wants to know, and the summary to take along. Never a verdict."""
    return Reply(
        kind="form",
        topic="suitability",
        text=summary_text(slots, phrases, language, asked_at),
        confidence=1.0,
        why={"form": FORM, "points": [point.name for point, _ in came_up(slots)]},
    )


def came_up(slots: Slots) -> list[tuple[Point, str]]:
    """The points with a yes or not sure, in their order."""
    told = [(point, slots.get(point.slot)) for point in points_for(slots.get(TREATMENT))]
    return [(point, said) for point, said in told if said in ("yes", UNSURE)]


def summary_text(slots: Slots, phrases: Phrases, language: str, asked_at: datetime | None = None) -> str:
    """The words of the end, as markdown."""
    age = str(least_age_of(phrases))
    lines, reasons = [], []
    for point, said in came_up(slots):
        words = phrases.say(f"check_point_{point.name}", language, age=age)
        answer = phrases.say(f"check_answer_{said}", language)
        lines.append(phrases.say("check_line", language, point=words, answer=answer))
        reasons.append(phrases.say(f"check_why_{point.name}", language))
    day = (asked_at or datetime.now(UTC)).astimezone(phrases.clinic.zone).date()
    treatment = slots.get(TREATMENT)
    named = phrases.say(f"check_choice_{treatment}" if treatment in TREATMENTS else "check_treatment_open", language)
    along = [
        # Whoever reads it at the clinic wants the year too.
        phrases.say("check_date", language, date=phrases.date(day, language, day.replace(year=1, day=1))),
        phrases.say("check_treatment", language, treatment=named),
        *lines,
    ]
    paragraphs = [
        phrases.say("check_came_up" if lines else "check_none", language),
        "\n".join(f"- **{line}.** {reason}" for line, reason in zip(lines, reasons, strict=True)),
        phrases.say("check_discuss" if lines else "check_discuss_none", language),
        phrases.say("check_take_along", language),
        "\n".join(f"- {one}" for one in along),
    ]
    return "\n\n".join(part for part in paragraphs if part)
