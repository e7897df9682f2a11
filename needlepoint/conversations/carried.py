"""The dialogue state that travels with every turn, since the engine holds none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

Event = dict[str, Any]

#: Turns whose events are carried; everything older lives on in slots and the active loop.
CARRIED_TURNS = 6

#: Slots the app owns and sends with each turn; Rasa's copies of them are not kept.
APP_SLOTS = ("language", "safety_level", "safety_cards", "open_question", "asked_at", "had", "booked", "about")


def compose(
    started_at: datetime,
    slots: dict[str, Any],
    active_loop: dict[str, Any] | None,
    turns: Sequence[Sequence[Event]],
    known: dict[str, Any],
) -> list[Event]:
    """The events a turn starts from.

    `turns` are the events of earlier turns, oldest first (only the last :data:`CARRIED_TURNS` are used); `known` is
    what the app knows now, by slot, and is set last so that it holds.
    """
    stamp = started_at.timestamp()

    def slot(name: str, value: Any) -> Event:
        return {"event": "slot", "name": name, "value": value, "timestamp": stamp}

    events: list[Event] = [
        {"event": "action", "name": "action_session_start", "timestamp": stamp},
        {"event": "session_started", "timestamp": stamp},
        *(slot(name, value) for name, value in slots.items()),
    ]
    if active_loop is not None:
        events.append({"event": "active_loop", "name": active_loop["name"], "timestamp": stamp})
    events.append({"event": "action", "name": "action_listen", "timestamp": stamp})
    for turn in turns[-CARRIED_TURNS:]:
        events += turn
    events += [slot(name, value) for name, value in known.items()]
    return events


def to_keep(events: Sequence[Event]) -> list[Event]:
    """What of a turn's new events is worth carrying: not what the bot said, which the outbox keeps."""
    return [event for event in events if event.get("event") != "bot"]


def slots_to_keep(slots: dict[str, Any]) -> dict[str, Any]:
    """The filled slots that Rasa owns."""
    return {
        name: value
        for name, value in slots.items()
        if value is not None and name not in APP_SLOTS and name != "session_started_metadata"
    }
