"""Rasa's custom actions. Thin and pure: each asks `needlepoint.answering` and says what it decided.

What should happen besides the words ("a person is wanted") goes back as `effects`; the app does it. So an action can
be called twice without harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from rasa_sdk import Action, Tracker
from rasa_sdk.events import FollowupAction, SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from needlepoint.answering import suitability_check
from needlepoint.answering.answerer import Answered
from needlepoint.answering.prepared import answerer
from needlepoint.answering.question import Part, Question
from needlepoint.answering.timeline import DayMention
from sentence_encoder import from_base64


def question_of(tracker: Tracker) -> Question:
    """The question in the tracker's last message."""
    message = tracker.latest_message
    entities: dict[str, list[str]] = {}
    for entity in message.get("entities", []):
        entities.setdefault(entity["entity"], []).append(str(entity["value"]))
    ranking = message.get("intent_ranking") or [message.get("intent") or {}]
    vector = message.get("embedding")
    days = [
        DayMention(str(one["value"]), one["start"], one["end"], one["entity"] == "treatment_day")
        for one in message.get("entities", [])
        if one["entity"] in {"treatment_day", "day"} and "start" in one
    ]
    return Question(
        text=message.get("text") or "",
        vector=from_base64(vector) if vector else None,
        intents={one["name"]: float(one["confidence"]) for one in ranking if one.get("name")},
        entities=entities,
        remembered=dict(tracker.slots),
        language=tracker.slots.get("language") or "en",
        safety_level=tracker.slots.get("safety_level") or "none",
        safety_cards=tracker.slots.get("safety_cards") or [],
        choice=next(iter(entities.get("entry_id", [])), None),
        days=days,
        treatment_words=[
            (one["start"], one["end"])
            for one in message.get("entities", [])
            if one["entity"] == "treatment" and "start" in one
        ],
        asked_at=_time(tracker.slots.get("asked_at")),
        had=_times(tracker.slots.get("had")),
        booked=_times(tracker.slots.get("booked")),
        about=tracker.slots.get("about"),
        parts=[Part(one["text"], from_base64(one["embedding"])) for one in message.get("questions") or []],
    )


def _time(written: str | None) -> datetime | None:
    return datetime.fromisoformat(written) if written else None


def _times(written: list[str] | None) -> tuple[datetime, datetime] | None:
    return (datetime.fromisoformat(written[0]), datetime.fromisoformat(written[1])) if written else None


def say(dispatcher: CollectingDispatcher, answered: Answered) -> None:
    """Say what was decided."""
    message = {"reply": msgspec.to_builtins(answered.reply), "effects": answered.effects}
    dispatcher.utter_message(json_message=message)


def set_slots(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The events that set some slots."""
    return [SlotSet(name, value) for name, value in values.items()]


def _between(tracker: Tracker) -> list[dict[str, Any]]:
    """Whatever a form made of the message before, this one was about something else."""
    note = suitability_check.NOTE
    return set_slots({note: None}) if tracker.slots.get(note) else []


def _answered(dispatcher: CollectingDispatcher, tracker: Tracker, answered: Answered) -> list[dict[str, Any]]:
    """Say it, and remember what else the question may have been about."""
    say(dispatcher, answered)
    return [*_between(tracker), *set_slots({"instead": answered.instead or None})]


class ActionAnswer(Action):
    """Answers, clarifies or declines; a pressed button can open the suitability check instead."""

    def name(self) -> str:
        return "action_answer"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        question = question_of(tracker)
        if question.choice in (suitability_check.START, suitability_check.AGAIN):
            anew = suitability_check.begun_anew() if question.choice == suitability_check.AGAIN else {}
            return [*set_slots(anew), FollowupAction(suitability_check.FORM)]
        return _answered(dispatcher, tracker, answerer().answer(question))


class ActionOtherAnswers(Action):
    """Offers what else the question before may have been about."""

    def name(self) -> str:
        return "action_other_answers"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        return _answered(dispatcher, tracker, answerer().other_answers(question_of(tracker)))


class ActionSmallTalk(Action):
    """Says a short human word."""

    def name(self) -> str:
        return "action_smalltalk"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        say(dispatcher, answerer().small_talk(question_of(tracker)))
        return _between(tracker)


class ActionHandOver(Action):
    """Promises that a person will see it."""

    def name(self) -> str:
        return "action_hand_over"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        say(dispatcher, answerer().hand_over(question_of(tracker)))
        return _between(tracker)
