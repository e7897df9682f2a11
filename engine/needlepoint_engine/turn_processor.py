"""Rasa's message processor with five habits of it and its libraries changed.

* A text that begins with a slash is a text. Rasa reads `/restart` or `/greet{"name": ...}` as an intent typed in by a
  developer; a patient must not be able to. The node of the graph that does so is the last one, so the parse is taken
  from the node before it.
* An action that fails makes the turn fail. Rasa logs "the actions events are lost" and answers with silence.
* The message's metadata is not copied into a slot of a new conversation, from where it would travel with every call.
* The slots are not written out for the log after each message.
* spaCy remembers every word it has ever read, people's names among them; here it forgets them after each message.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from rasa.core.actions.action import Action, ActionExecutionRejection, RemoteAction
from rasa.core.channels.channel import OutputChannel, UserMessage
from rasa.core.nlg import NaturalLanguageGenerator
from rasa.core.policies.policy import PolicyPrediction
from rasa.core.processor import MessageProcessor
from rasa.engine.storage.storage import ModelMetadata
from rasa.nlu.utils.spacy_utils import SpacyNLP
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import Event
from rasa.shared.core.trackers import DialogueStateTracker
from rasa.utils.endpoints import EndpointConfig
from spacy.language import Language

from needlepoint_engine import hot_path
from needlepoint_engine.carried_state import CarriedStateTrackerStore


class ActionFailedError(Exception):
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
        own._spacy_pipelines = _spacy_pipelines(processor)
        if hot_path.is_on():
            hot_path.install()
            own.graph_runner = hot_path.InOrderGraphRunner(processor.graph_runner)
        return own

    @staticmethod
    def _log_slots(tracker: DialogueStateTracker) -> None:
        """Nothing: Rasa writes out all slots for a line of its debug log, with what people told."""

    def _parse_message_with_graph(
        self, message: UserMessage, tracker: DialogueStateTracker, only_output_properties: bool = True
    ) -> dict[str, Any]:
        with contextlib.ExitStack() as forgetting:
            for pipeline in self._spacy_pipelines:
                forgetting.enter_context(pipeline.memory_zone())
            # Plain data come out; the docs, which may not outlive the zone, stay inside.
            parsed: dict[str, Any] = super()._parse_message_with_graph(message, tracker, only_output_properties)
            return parsed

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
            raise ActionFailedError(action.name()) from watched.failure
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


def _spacy_pipelines(processor: MessageProcessor) -> list[Language]:
    """The pipelines that the model's graph has loaded."""
    nodes = processor.model_metadata.predict_schema.nodes
    providers = [name for name, node in nodes.items() if node.uses is SpacyNLP and node.fn == "provide"]
    loaded = processor.graph_runner.run(targets=providers) if providers else {}
    return [provided.model for provided in loaded.values()]


def _out_of_predictions(tracker: DialogueStateTracker, channel: OutputChannel, nlg: object) -> None:
    raise ActionFailedError("Rasa predicted one action after another without ever listening again")
