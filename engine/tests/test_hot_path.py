"""The hot path: what Rasa does not do again for every message, and that nobody can tell from what comes out."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rasa
from conftest import App, Engine, session_start, start_engine
from jsonschema import ValidationError
from rasa.core.actions.action import RemoteAction
from rasa.shared.core.events import Event, SlotSet
from rasa.shared.exceptions import RasaException

from needlepoint_engine import hot_path

TEXTS = (
    "hello",
    "when can i wear makeup again",
    "does it hurt after 2 days?",
    "/restart",
    "please call me back",
    "zzz qqq",
    "i had it yesterday, is red normal and can i swim",
)


@pytest.fixture(scope="module")
def plain(project: Path) -> Iterator[Engine]:
    """An engine that runs Rasa's own code."""
    running = start_engine(project, project / "plain.log", **{hot_path.HOT_PATH_VARIABLE: "off"})
    yield running
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(40)


_OF_THE_MOMENT = ("timestamp", "latest_event_time", "message_id", "model_id", "id")


def without_chance(outcome: dict[str, Any]) -> Any:
    """An outcome without times and random ids."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: bare(it) for name, it in value.items() if name not in _OF_THE_MOMENT}
        return [bare(one) for one in value] if isinstance(value, list) else value

    return bare(outcome)


def talk(engine: Engine, app: App) -> list[Any]:
    """A talk whose events are carried from turn to turn, with a form and a pressed button in it."""
    events = session_start()
    said = []
    for number, text in enumerate(TEXTS):
        choice = {"entry_id": "does-it-hurt"} if number == 5 else None
        outcome = engine.said(app, text=text, events=events, choice=choice, message_id=f"m{number}")
        events = [*events, *outcome["events"]]
        said.append(without_chance(outcome))
    return said


def test_replies_events_and_calls_are_the_same_with_and_without_the_hot_path(engine: Engine, plain: Engine) -> None:
    with App() as hot, App() as cold:
        assert json.dumps(talk(engine, hot)) == json.dumps(talk(plain, cold))
        assert json.dumps(without_chance({"": hot.calls})).replace(hot.url, "") == json.dumps(
            without_chance({"": cold.calls})
        ).replace(cold.url, "")


def test_one_connection_carries_the_calls_of_one_turn_after_the_other(engine: Engine, app: App) -> None:
    for _ in range(3):
        engine.said(app)
    assert (len(app.calls), app.connections) == (3, 1)


def test_what_an_action_must_answer_is_still_checked(engine: Engine, app: App) -> None:
    app.behaviour = lambda _: (200, {"events": [{"event": "slot"}], "responses": ["no object"]})
    assert engine.turn(app)[0] == 500
    hot_path.install()
    try:
        with pytest.raises(ValidationError, match="Failed to validate Action server response"):
            RemoteAction("action_answer", None)._validate_action_result({"events": [], "responses": ["no object"]})
        assert Event.resolve_by_type("slot") is SlotSet
        with pytest.raises(ValueError, match="Unknown event name"):
            Event.resolve_by_type("no such event")
        assert Event.resolve_by_type("topic") is None
    finally:
        hot_path.install()


def test_another_rasa_or_another_word_than_on_and_off_is_refused_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hot_path.is_on({}) and not hot_path.is_on({hot_path.HOT_PATH_VARIABLE: "off"})
    with pytest.raises(RasaException, match="write `on` or `off`"):
        hot_path.is_on({hot_path.HOT_PATH_VARIABLE: "yes"})
    monkeypatch.setattr(rasa, "__version__", "3.7.0")
    with pytest.raises(RasaException, match="HOT_PATH=off"):
        hot_path.is_on({})
    assert not hot_path.is_on({hot_path.HOT_PATH_VARIABLE: "off"})
