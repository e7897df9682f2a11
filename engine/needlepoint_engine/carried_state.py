"""The tracker store of an engine that holds nothing.

The calling app sends a conversation's recent events with each message. The connector puts them into a context
variable before it hands the message to Rasa; Rasa then "retrieves" and "saves" its tracker here, and the connector
takes the saved tracker from the same context variable. When the request is over, nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from rasa.core.brokers.broker import EventBroker
from rasa.core.tracker_store import TrackerStore
from rasa.shared.core.constants import ACTION_LISTEN_NAME
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import ActionExecuted, Event
from rasa.shared.core.trackers import DialogueStateTracker


class CarriedEventsError(ValueError):
    """The carried events are Rasa events, but cannot be applied one after the other."""


@dataclass
class CarriedState:
    """One request's conversation: what the app sent, and what Rasa made of it.

    `events` are the events of the request, oldest first. `carried_over` is how many events the tracker had when the
    turn began. `saved` is the tracker after the turn, None until Rasa saves it.
    """

    events: list[Event] = field(default_factory=list)
    carried_over: int = 0
    saved: DialogueStateTracker | None = None


CARRIED: ContextVar[CarriedState | None] = ContextVar("needlepoint_carried_state", default=None)


class CarriedStateTrackerStore(TrackerStore):  # type: ignore[misc]
    """Gives Rasa the conversation of the current request and takes it back; see the module's text.

    Outside of a request (`rasa shell`, say) every message opens a new conversation, and saving does nothing.
    """

    def __init__(self, domain: Domain | None = None, event_broker: EventBroker | None = None, **settings: Any) -> None:
        """Called by Rasa from `endpoints.yml`; `settings` are ignored, there is nothing to set."""
        super().__init__(domain, event_broker)

    async def retrieve(self, sender_id: str) -> DialogueStateTracker | None:
        """The conversation as the request carries it, or None where it carries none.

        Raises:
            CarriedEventsError: when the events do not make a conversation.
        """
        carried = CARRIED.get()
        if carried is None or not carried.events:
            return None
        try:
            tracker = DialogueStateTracker.from_events(sender_id, carried.events, self.domain.slots, domain=self.domain)
        except Exception as problem:
            raise CarriedEventsError(f"the events do not make a conversation: {type(problem).__name__}") from problem
        if tracker.latest_action_name != ACTION_LISTEN_NAME:
            # A person writes while the assistant listens; without this event no rule would apply.
            tracker.update(ActionExecuted(ACTION_LISTEN_NAME), self.domain)
        carried.carried_over = len(tracker.events)
        return tracker

    async def save(self, tracker: DialogueStateTracker) -> None:
        """Hands the tracker to the request that is being answered."""
        carried = CARRIED.get()
        if carried is not None:
            carried.saved = tracker

    async def keys(self) -> Iterable[str]:
        """No conversation is kept, so there are no keys."""
        return []
