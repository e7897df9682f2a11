"""The suitability check as a Rasa form: what is asked, heard and said is decided by `needlepoint.answering`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from rasa_sdk import Action, FormValidationAction, Tracker
from rasa_sdk.events import SlotSet
from rasa_sdk.executor import CollectingDispatcher
from rasa_sdk.types import DomainDict

from actions import question_of, say, set_slots
from needlepoint.answering import suitability_check
from needlepoint.answering.answerer import Answered
from needlepoint.answering.prepared import answerer
from needlepoint.language import guess_language


class ValidateSuitabilityForm(FormValidationAction):
    """Hears answers. A message that is none sets no slot: then Rasa lets another action answer it and asks again."""

    def name(self) -> str:
        return "validate_suitability_form"

    def domain_slots(self, domain: DomainDict) -> list[str]:
        return []  # the engine sends no domain along; which slots are required is said below

    async def required_slots(
        self, domain_slots: list[str], dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> list[str]:
        return suitability_check.required(tracker.slots)

    async def get_extraction_events(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> list[dict[str, Any]]:
        least_age = suitability_check.least_age_of(answerer().phrases)
        heard = suitability_check.heard(question_of(tracker), tracker.slots, least_age, answerer().answer)
        return set_slots(heard or {})

    async def get_validation_events(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> list[dict[str, Any]]:
        return set_slots(tracker.slots_to_validate())  # what was heard is one of the values that a slot may hold

    async def next_requested_slot(
        self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict
    ) -> dict[str, Any] | None:
        if tracker.slots.get(suitability_check.NOTE) == "stopped":
            return dict(SlotSet(suitability_check.REQUESTED, None))
        event: dict[str, Any] | None = await super().next_requested_slot(dispatcher, tracker, domain)
        return event


class _AskForSlot(Action, ABC):
    """Asks the question for one slot."""

    @property
    @abstractmethod
    def slot(self) -> str:
        """The slot that the answer fills."""

    def name(self) -> str:
        return f"action_ask_{self.slot}"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        language = _language(tracker)
        reply = suitability_check.ask(self.slot, tracker.slots, answerer().phrases, language)
        say(dispatcher, Answered(reply))
        return set_slots({suitability_check.LANGUAGE: language})


#: One action a slot, since Rasa finds the action that asks by its name.
ASKING = [
    type(f"Ask_{slot}", (_AskForSlot,), {"slot": slot, "__module__": __name__})
    for slot in (suitability_check.TREATMENT, *(point.slot for point in suitability_check.POINTS))
]
# Run stand-alone, rasa-sdk starts a process for the actions, which must find the classes by their names.
globals().update({asking.__name__: asking for asking in ASKING})


class ActionSuitabilitySummary(Action):
    """Ends the check: with the points for the clinician, or, when it was stopped, with a friendly word."""

    def name(self) -> str:
        return "action_suitability_summary"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: DomainDict) -> list[dict[str, Any]]:
        phrases, language = answerer().phrases, _language(tracker)
        if tracker.slots.get(suitability_check.NOTE) == "stopped":
            say(dispatcher, Answered(suitability_check.stopped(tracker.slots, phrases, language)))
            return set_slots({suitability_check.NOTE: None})
        asked_at = question_of(tracker).asked_at
        say(dispatcher, Answered(suitability_check.summary(tracker.slots, phrases, language, asked_at)))
        return set_slots(suitability_check.begun_anew())


def _language(tracker: Tracker) -> str:
    """That of the message; where it has none of its own ("RF", "no"), the one that was answered in so far."""
    text = tracker.latest_message.get("text") or ""
    so_far = tracker.slots.get(suitability_check.LANGUAGE) or tracker.slots.get("language") or "en"
    return answerer().phrases.language(guess_language(text) or so_far)
