"""The request of one turn: what the app may send, checked before anything is done with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rasa.shared.core.events import Event, SlotSet

from needlepoint_engine.action_call import checked_action_url

#: Longest message anywhere in Needlepoint, in characters.
TEXT_LENGTH = 4096
#: Longest conversation id, message id and entry id, in characters.
ID_LENGTH = 200
#: Most carried events; six turns and the slots are far below.
EVENTS = 2000
#: Longest time an app may ask the engine to work on a turn, in seconds.
DEADLINE_SECONDS = 30.0

_FIELDS = {"conversation", "message_id", "text", "choice", "events", "metadata", "action_url", "deadline"}


class BadRequestError(ValueError):
    """The request cannot be answered; the message names the field and what is expected there."""


@dataclass(frozen=True)
class TurnRequest:
    """A checked request.

    Either `choice` (the id of the entry whose button was pressed) is set, and `text` is what the button says or empty,
    or `text` is what the person wrote. `deadline` is in seconds from the arrival of the request.
    """

    conversation: str
    message_id: str
    text: str
    choice: str | None
    events: list[Event]
    metadata: dict[str, Any]
    action_url: str
    deadline: float


def read_turn_request(body: object) -> TurnRequest:
    """Checks the decoded JSON of a request.

    Raises:
        BadRequestError: naming the field and the mend, never quoting what the person wrote.
    """
    if not isinstance(body, dict):
        raise BadRequestError("the body must be a JSON object")
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        raise BadRequestError(f"unknown field {unknown[0][:40]!r}; known are {', '.join(sorted(_FIELDS))}")
    choice = _choice(body.get("choice"))
    text = body.get("text")
    if text is None:
        text = ""
    if not isinstance(text, str) or len(text) > TEXT_LENGTH or not _is_unicode(text):
        raise BadRequestError(f"text must be null or a text of at most {TEXT_LENGTH} characters")
    if choice is None and not text.strip():
        raise BadRequestError("either text or choice must say something")
    metadata = body.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        raise BadRequestError("metadata must be null or an object")
    try:
        action_url = checked_action_url(body.get("action_url"))
    except ValueError as problem:
        raise BadRequestError(str(problem)) from problem
    return TurnRequest(
        conversation=_identifier(body, "conversation"),
        message_id=_identifier(body, "message_id"),
        text=text,
        choice=choice,
        events=_events(body.get("events")),
        metadata=metadata or {},
        action_url=action_url,
        deadline=_deadline(body.get("deadline")),
    )


def _identifier(holder: Mapping[str, Any], field: str, shown_as: str | None = None) -> str:
    value = holder.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= ID_LENGTH or not _is_unicode(value):
        raise BadRequestError(f"{shown_as or field} must be a text of 1 to {ID_LENGTH} characters")
    return value


def _choice(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"entry_id"}:
        raise BadRequestError('choice must be null or an object {"entry_id": ...}')
    return _identifier(value, "entry_id", "choice.entry_id")


def _deadline(value: object) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not 0 < value <= DEADLINE_SECONDS:  # type: ignore[operator,arg-type]
        raise BadRequestError(f"deadline must be a number of seconds above 0 and at most {DEADLINE_SECONDS:g}")
    return float(value)  # type: ignore[arg-type]


def _events(value: object) -> list[Event]:
    if not isinstance(value, list) or len(value) > EVENTS:
        raise BadRequestError(f"events must be a list of at most {EVENTS} Rasa events")
    events = []
    for place, described in enumerate(value):
        # Rasa's readers raise whatever their fields happen to lead to; a wrong event is the caller's mistake each time.
        try:
            event = Event.from_parameters(described)
        except Exception as problem:
            raise BadRequestError(f"events[{place}] is not a Rasa event: {type(problem).__name__}") from problem
        # Rasa accepts a slot without a name here, and stumbles over it in the middle of the turn.
        if event is None or (isinstance(event, SlotSet) and not isinstance(event.key, str)):
            raise BadRequestError(f"events[{place}] is not a Rasa event")
        events.append(event)
    return events


def _is_unicode(text: str) -> bool:
    """False for halves of a surrogate pair, which JSON can escape and no encoder can write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
