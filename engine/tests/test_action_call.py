"""Where actions may be called, and what they are sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rasa.core.actions.action import RemoteAction
from rasa.shared.core.domain import Domain
from rasa.shared.core.events import SlotSet, UserUttered
from rasa.shared.core.trackers import DialogueStateTracker
from rasa_sdk import Action, Tracker
from rasa_sdk.executor import ActionExecutor, CollectingDispatcher

from needlepoint_engine.action_call import CallingAppEndpoint, checked_action_url, slim_action_call


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8001/webhook",
        "http://127.1.2.3/webhook",
        "http://localhost:8001/webhook",
        "https://[::1]:8001/webhook",
    ],
)
def test_an_app_on_this_machine_may_be_called(url: str) -> None:
    assert checked_action_url(url, {}) == url


@pytest.mark.parametrize("url", ["http://10.0.0.7/webhook", "http://example.com/", "http://[::ffff:10.0.0.7]/"])
def test_another_machine_may_not_be_called(url: str) -> None:
    with pytest.raises(ValueError, match="NEEDLEPOINT_ACTION_HOSTS"):
        checked_action_url(url, {})


def test_another_machine_may_be_called_when_it_is_listed() -> None:
    listed = {"NEEDLEPOINT_ACTION_HOSTS": "app-1, App-2 ,,10.0.0.7"}
    for host in ("app-1", "app-2", "10.0.0.7"):
        assert checked_action_url(f"http://{host}:8001/webhook", listed)
    with pytest.raises(ValueError, match="neither loopback nor listed"):
        checked_action_url("http://app-3/webhook", listed)


@pytest.mark.parametrize("url", ["", "127.0.0.1/webhook", "file:///etc/passwd", "http://", "http://127.0.0.1:x/", 5])
def test_what_is_no_web_address_is_refused(url: object) -> None:
    with pytest.raises(ValueError, match="action_url"):
        checked_action_url(url, {})


def test_the_slim_call_is_one_that_the_sdk_understands() -> None:
    seen: dict[str, Any] = {}

    class ActionAnswer(Action):
        def name(self) -> str:
            return "action_answer"

        def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[Any]:
            seen.update(
                text=tracker.latest_message["text"],
                slot=tracker.get_slot("language"),
                embedding=tracker.latest_message["embedding"],
                entities=list(tracker.get_latest_entity_values("product")),
            )
            dispatcher.utter_message(json_message={"reply": "yes"})
            return []

    domain = Domain.from_dict(
        {
            "intents": ["ask_aftercare"],
            "actions": ["action_answer"],
            "slots": {"language": {"type": "text", "mappings": [{"type": "custom"}]}},
        }
    )
    parse = {
        "intent": {"name": "ask_aftercare", "confidence": 0.9},
        "entities": [{"entity": "product", "value": "makeup"}],
        "embedding": "AAAA",
    }
    events = [
        SlotSet("language", "ms"),
        UserUttered("makeup?", parse["intent"], parse["entities"], parse),  # type: ignore[arg-type]
    ]
    tracker = DialogueStateTracker.from_events("c1", events, domain.slots, domain=domain)
    action = RemoteAction("action_answer", CallingAppEndpoint("secret"))
    executor = ActionExecutor()
    executor.register_action(ActionAnswer())
    result = asyncio.run(executor.run(slim_action_call(action._action_call_format(tracker, domain))))
    assert seen == {"text": "makeup?", "slot": "ms", "embedding": "AAAA", "entities": ["makeup"]}
    assert result is not None
    assert result["responses"][0]["custom"] == {"reply": "yes"}
