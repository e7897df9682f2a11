"""What Rasa does anew for every message although nothing of it changes, left out: replies and events stay the same.

Each measure is named after what it removes. Found with a sampling profiler on Rasa 3.6.21; half of an engine's time was
the first one. `NEEDLEPOINT_ENGINE_HOT_PATH=off` runs Rasa's own code, to tell whose fault something is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import rasa
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for
from rasa.core.actions.action import RemoteAction
from rasa.engine.runner.dask import DaskGraphRunner
from rasa.engine.runner.interface import GraphRunner
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import Event
from rasa.shared.core.trackers import DialogueStateTracker, EventVerbosity
from rasa.shared.exceptions import RasaException
from rasa.shared.utils.common import all_subclasses

#: The release that these measures were written for: each knows how Rasa's own code looks.
RASA_VERSION = "3.6.21"

#: The setting: `on` or `off`.
HOT_PATH_VARIABLE = "NEEDLEPOINT_ENGINE_HOT_PATH"


def is_on(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the hot path is wanted.

    Raises:
        RasaException: when the setting is neither `on` nor `off`, or Rasa is another one than was measured.
    """
    wanted = environment.get(HOT_PATH_VARIABLE, "on")
    if wanted not in ("on", "off"):
        raise RasaException(f"{HOT_PATH_VARIABLE} is `{wanted}`; write `on` or `off`.")
    if wanted == "on" and rasa.__version__ != RASA_VERSION:
        raise RasaException(
            f"The engine's hot path knows Rasa {RASA_VERSION}, this is {rasa.__version__}. "
            f"Compare needlepoint_engine/hot_path.py with it, or set {HOT_PATH_VARIABLE}=off."
        )
    return wanted == "on"


def install() -> None:
    """Take the measures that concern Rasa's classes; those of one processor are in `turn_processor.py`.

    Rasa makes these objects itself, deep in its code, and has no place where others could be given to it.
    """
    RemoteAction._validate_action_result = _without_building_the_validator
    RemoteAction._action_call_format = _without_events_that_are_not_sent
    Event.resolve_by_type = staticmethod(_without_walking_the_event_classes)


_ANSWER_SCHEMA = RemoteAction.action_response_format_spec()
_ANSWER_VALIDATOR: Draft202012Validator = validator_for(_ANSWER_SCHEMA)(_ANSWER_SCHEMA)
_VALIDATE = RemoteAction._validate_action_result


def _without_building_the_validator(action: RemoteAction, result: Any) -> bool:
    """Rasa checks the schema itself before each answer of an action; what the answer must be stays the same."""
    if _ANSWER_VALIDATOR.is_valid(result):
        return True
    refused: bool = _VALIDATE(action, result)  # raises, in Rasa's own words
    return refused


def _without_events_that_are_not_sent(action: RemoteAction, tracker: DialogueStateTracker, domain: Domain) -> Any:
    """Rasa writes out domain and events, which the slim action call then leaves out."""
    return {
        "next_action": action.name(),
        "sender_id": tracker.sender_id,
        "tracker": tracker.current_state(EventVerbosity.NONE),
        "version": rasa.__version__,
        "domain": {},
    }


_RESOLVE = Event.resolve_by_type
_EVENT_CLASSES: dict[str, type[Event]] = {}


def _without_walking_the_event_classes(type_name: str, default: type[Event] | None = None) -> type[Event] | None:
    """Rasa walks all subclasses of Event for each event of a conversation."""
    if not _EVENT_CLASSES:
        # The first class of a name counts, as in Rasa's walk.
        for one in reversed(all_subclasses(Event)):
            _EVENT_CLASSES[one.type_name] = one
    found = _EVENT_CLASSES.get(type_name)
    return found if found is not None else _RESOLVE(type_name, default)


class InOrderGraphRunner(GraphRunner):  # type: ignore[misc]
    """Runs the nodes of a loaded model one after the other, in an order that is worked out once for each target.

    Rasa builds a graph for Dask with each message, which Dask then puts in order and hands to its scheduler.
    """

    def __init__(self, loaded: DaskGraphRunner) -> None:
        """`loaded` holds the nodes with their components."""
        self._schema = loaded._graph_schema
        self._nodes = loaded._instantiated_nodes
        self._orders: dict[tuple[str, ...], list[str]] = {}

    @classmethod
    def create(cls, *_arguments: Any, **_more: Any) -> GraphRunner:
        """Not how this one is made; models are loaded by Rasa's own runner."""
        raise NotImplementedError

    def run(self, inputs: dict[str, Any] | None = None, targets: list[str] | None = None) -> dict[str, Any]:
        """What the targets give, by name (see the parent class)."""
        wanted = tuple(targets if targets else self._schema.target_names)
        given = inputs or {}
        done: dict[str, Any] = dict(given)
        for name in self._order(wanted):
            if name not in given:
                parents = self._schema.nodes[name].needs.values()
                # A parent that is neither node nor given is passed by its name, as Dask does: the node says so.
                _, done[name] = self._nodes[name](*((one, done[one]) if one in done else one for one in parents))
        return {name: done[name] for name in wanted}

    def _order(self, targets: tuple[str, ...]) -> list[str]:
        """The nodes that the targets need, parents first."""
        known = self._orders.get(targets)
        if known is None:
            known = []
            for target in targets:
                self._add(target, known)
            self._orders[targets] = known
        return known

    def _add(self, name: str, order: list[str]) -> None:
        if name in order or name not in self._schema.nodes:
            return
        for parent in self._schema.nodes[name].needs.values():
            self._add(parent, order)
        order.append(name)
