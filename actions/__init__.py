"""Rasa's custom actions. Thin and pure: each asks `needlepoint.answering` and says what it decided.

What should happen besides the words ("a person is wanted") goes back as `effects`; the app does it. So an action can
be called twice without harm.
"""

from __future__ import annotations

from typing import Any

import msgspec
from rasa_sdk import Action, Tracker
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from needlepoint.answering.answerer import Answered
from needlepoint.answering.prepared import answerer
from needlepoint.answering.question import Question
from sentence_encoder import from_base64


def question_of(tracker: Tracker) -> Question:
    """The question in the tracker's last message."""
    message = tracker.latest_message
    entities: dict[str, list[str]] = {}
    for entity in message.get("entities", []):
        entities.setdefault(entity["entity"], []).append(str(entity["value"]))
    ranking = message.get("intent_ranking") or [message.get("intent") or {}]
    vector = message.get("embedding")
    return Question(
        text=message.get("text") or "",
        vector=from_base64(vector) if vector else None,
        intents={one["name"]: float(one["confidence"]) for one in ranking if one.get("name")},
        entities=entities,
        remembered=dict(tracker.slots),
        language=tracker.slots.get("language") or "en",
        safety_level=tracker.slots.get("safety_level") or "none",
        choice=next(iter(entities.get("entry_id", [])), None),
    )


def _say(dispatcher: CollectingDispatcher, answered: Answered) -> list[dict[str, Any]]:
    message = {"reply": msgspec.to_builtins(answered.reply), "effects": answered.effects}
    dispatcher.utter_message(json_message=message)
    return []


class ActionAnswer(Action):
    """Answers, clarifies or declines."""

    def name(self) -> str:
        return "action_answer"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        return _say(dispatcher, answerer().answer(question_of(tracker)))


class ActionSmallTalk(Action):
    """Says a short human word."""

    def name(self) -> str:
        return "action_smalltalk"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        return _say(dispatcher, answerer().small_talk(question_of(tracker)))


class ActionHandOver(Action):
    """Promises that a person will see it."""

    def name(self) -> str:
        return "action_hand_over"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        return _say(dispatcher, answerer().hand_over(question_of(tracker)))
