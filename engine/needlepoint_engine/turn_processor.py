"""Rasa's message processor with three of its habits changed.

* A text that begins with a slash is a text. Rasa reads `/restart` or `/greet{"name": ...}` as an intent typed in by a
  developer; a patient must not be able to. The node of the graph that does so is the last one, so the parse is taken
  from the node before it.
* An action that fails makes the turn fail. Rasa logs "the actions events are lost" and answers with silence.
* The message's metadata is not copied into a slot of a new conversation, from where it would travel with every call.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from rasa.core.actions.action import Action, ActionExecutionRejection, RemoteAction
from rasa.core.channels.channel import OutputChannel
from rasa.core.nlg import NaturalLanguageGenerator
from rasa.core.policies.policy import PolicyPrediction
from rasa.core.processor import MessageProcessor
from rasa.engine.storage.storage import ModelMetadata
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import Event
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.utils.endpoints import EndpointConfig

from needlepoint_engine.carried_state import CarriedStateTrackerStore


class ActionFailed(Exception):
    """An action did not do its work; `__cause__` says why, where something was raised."""


class TurnProcessor(MessageProcessor):  # type: ignore[misc]
    """See the module's text."""

    @classmethod
    def taking_over(cls, processor: MessageProcessor, action_endpoint: EndpointConfig) -> TurnProcessor:
        """A turn processor with the model that `processor` has loaded, calling actions at `action_endpoint`."""
        own = cls.__new__(cls)
        own.__dict__.update(processor.__dict__)
        own.action_endpoint = action_endpoint
        # Rasa wraps every store in one that falls back to memory, where patients' texts would stay.
        own.tracker_store = CarriedStateTrackerStore(processor.domain)
        own.model_metadata = _without_slash_commands(processor.model_metadata)
        own.on_circuit_break = _out_of_predictions
        return own

    async def _update_tracker_session(
        self, tracker: DialogueStateTracker, output_channel: OutputChannel, metadata: dict[str, Any] | None = None
    ) -> None:
        await super()._update_tracker_session(tracker, output_channel, None)

    async def _run_action(
        self,
        action: Action,
        tracker: DialogueStateTracker,
        output_channel: OutputChannel,
        nlg: NaturalLanguageGenerator,
        prediction: PolicyPrediction,
    ) -> bool:
        watched = _WatchedAction(action)
        goes_on: bool = await super()._run_action(watched, tracker, output_channel, nlg, prediction)
        if watched.failure is not None:
            raise ActionFailed(action.name()) from watched.failure
        return goes_on


class _WatchedAction(Action):  # type: ignore[misc]
    """An action that remembers why it failed instead of raising into Rasa, which would log and forget it."""

    def __init__(self, action: Action) -> None:
        self._action = action
        self.failure: Exception | None = None

    def name(self) -> str:
        name: str = self._action.name()
        return name

    def event_for_successful_execution(self, prediction: PolicyPrediction) -> Event:
        return self._action.event_for_successful_execution(prediction)

    async def run(
        self,
        output_channel: OutputChannel,
        nlg: NaturalLanguageGenerator,
        tracker: DialogueStateTracker,
        domain: Domain,
    ) -> list[Event]:
        try:
            events: list[Event] = await self._action.run(output_channel, nlg, tracker, domain)
            return events
        except ActionExecutionRejection as rejection:
            # A form rejects in order to let another action answer; from one of our own actions it is a failure.
            if not isinstance(self._action, RemoteAction):
                raise
            self.failure = rejection
        except Exception as failure:
            self.failure = failure
        return []


def _without_slash_commands(metadata: ModelMetadata) -> ModelMetadata:
    slash_reader = metadata.predict_schema.nodes[metadata.nlu_target]
    return dataclasses.replace(metadata, nlu_target=slash_reader.needs["messages"])


def _out_of_predictions(tracker: DialogueStateTracker, channel: OutputChannel, nlg: object) -> None:
    raise ActionFailed("Rasa predicted one action after another without ever listening again")
