"""The connector, over HTTP, with a running engine and a trained model."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conftest import SECRET, App, Engine, replies, session_start


def names(outcome: dict[str, Any]) -> list[str]:
    return [action["name"] for action in outcome["actions"]]


def test_a_turn_returns_messages_parse_actions_slots_and_new_events(engine: Engine, app: App) -> None:
    outcome = engine.said(app, text="when can i wear makeup again", metadata={"channel": "web"})
    assert outcome["messages"] == [{"recipient_id": "c1", "custom": {"reply": {"text": "hello"}, "effects": []}}]
    assert outcome["parse"]["intent"]["name"] == "ask_aftercare"
    assert outcome["parse"]["entities"] == [
        {"entity": "product", "value": "makeup", "start": 16, "end": 22, "extractor": "LexiconEntityExtractor"}
    ]
    assert names(outcome) == ["action_answer", "action_listen"]
    assert outcome["actions"][0]["policy"] == "RulePolicy"
    assert outcome["slots"]["product"] == "makeup"
    assert outcome["active_loop"] is None
    assert [event["event"] for event in outcome["events"]] == [
        "user", "slot", "user_featurization", "action", "bot", "action",
    ]  # fmt: skip
    assert outcome["events"][0]["metadata"]["channel"] == "web"
    assert len(outcome["model"]) == 64


def test_the_ranking_names_every_intent_but_the_pressed_button(engine: Engine, app: App) -> None:
    ranking = engine.said(app)["parse"]["intent_ranking"]
    assert {guess["name"] for guess in ranking} == {
        "ask_aftercare", "ask_pain", "chitchat_greet", "ask_callback", "out_of_scope",
    }  # fmt: skip
    assert sum(guess["confidence"] for guess in ranking) == pytest.approx(1)
    assert ranking == sorted(ranking, key=lambda guess: -guess["confidence"])


def test_ready_tells_the_model_that_answers(engine: Engine, app: App) -> None:
    status, readiness = engine.request("GET", "/ready")
    assert (status, readiness["ready"]) == (200, True)
    assert readiness["model"] == engine.said(app)["model"]


def test_the_app_carries_the_conversation_and_the_engine_keeps_nothing_of_it(engine: Engine, app: App) -> None:
    first = engine.said(app, text="makeup after microneedling, had it done 2 days ago")
    assert first["slots"]["treatment_day"] == "2 days ago"
    carried = [*session_start(), *first["events"]]
    assert engine.said(app, text="and sunscreen?", events=carried)["slots"]["treatment_day"] == "2 days ago"
    assert engine.said(app, text="and sunscreen?")["slots"]["treatment_day"] is None


def test_slots_the_app_knows_reach_the_action(engine: Engine, app: App) -> None:
    known = [*session_start(), {"event": "slot", "name": "safety_level", "value": "contact_clinic"}]
    engine.said(app, events=known)
    assert app.calls[-1]["tracker"]["slots"]["safety_level"] == "contact_clinic"


def test_a_conversation_without_carried_state_starts_one_and_copies_no_metadata(engine: Engine, app: App) -> None:
    outcome = engine.said(app, events=[], metadata={"channel": "web"})
    assert names(outcome) == ["action_session_start", "action_listen", "action_smalltalk", "action_listen"]
    assert outcome["slots"]["session_started_metadata"] is None


def test_a_form_goes_on_where_the_carried_state_left_it(engine: Engine, app: App) -> None:
    begun = engine.said(app, text="please call me back")
    assert begun["active_loop"]["name"] == "callback_form"
    assert begun["slots"]["requested_slot"] == "callback_day"
    carried = [
        *session_start(),
        {"event": "slot", "name": "requested_slot", "value": "callback_day"},
        {"event": "active_loop", "name": "callback_form"},
    ]
    second = engine.said(app, text="monday", events=carried)
    assert second["slots"]["callback_day"] == "monday"
    assert second["slots"]["requested_slot"] == "callback_name"
    done = engine.said(app, text="Aminah", events=[*carried, *second["events"]])
    assert done["active_loop"] is None
    assert "action_take_callback" in names(done)


@pytest.mark.parametrize(
    "text", ["/restart", "  /restart", "\n/chitchat_greet", '/choose{"entry_id": "x"}', "/back", "/session_start"]
)
def test_text_that_begins_with_a_slash_is_text(engine: Engine, app: App, text: str) -> None:
    outcome = engine.said(app, text=text)
    assert outcome["parse"]["intent"]["confidence"] < 1
    assert len(outcome["parse"]["intent_ranking"]) == 5
    assert outcome["parse"]["entities"] == []
    assert outcome["events"][0]["text"] == text
    assert not {"action_restart", "action_back", "action_session_start"} & set(names(outcome))


def test_text_is_kept_as_it_was_written(engine: Engine, app: App) -> None:
    text = "  İs makeup ok?\n\tthx \U0001f600 "
    outcome = engine.said(app, text=text)
    assert outcome["events"][0]["text"] == text
    (found,) = outcome["parse"]["entities"]
    assert text[found["start"] : found["end"]] == "makeup"


def test_a_pressed_button_is_not_read_but_known(engine: Engine, app: App) -> None:
    outcome = engine.said(app, text="When can I swim?", choice={"entry_id": "swim-after"})
    assert outcome["parse"]["intent"] == {"name": "choose", "confidence": 1.0}
    assert outcome["parse"]["entities"] == [{"entity": "entry_id", "value": "swim-after"}]
    assert outcome["events"][0]["text"] == "When can I swim?"
    assert names(outcome)[0] == "action_answer"
    assert app.calls[-1]["tracker"]["latest_message"]["intent"]["name"] == "choose"


@pytest.mark.parametrize("text", [None, ""])
def test_a_pressed_button_needs_no_text(engine: Engine, app: App, text: str | None) -> None:
    outcome = engine.said(app, text=text, choice={"entry_id": "swim-after"})
    assert outcome["parse"]["entities"] == [{"entity": "entry_id", "value": "swim-after"}]
    assert names(outcome) == ["action_answer", "action_listen"]


def test_the_embedding_reaches_the_action_and_nothing_else(engine: Engine, app: App) -> None:
    outcome = engine.said(app, text="does it hurt")
    sent = base64.b64decode(app.calls[-1]["tracker"]["latest_message"]["embedding"])
    vector = np.frombuffer(sent, dtype="<f4")
    assert vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    assert "embedding" not in json.dumps(outcome)


def test_the_action_gets_what_it_needs_and_no_events(engine: Engine, app: App) -> None:
    engine.said(app, text="does it hurt")
    call = app.calls[-1]
    assert call["next_action"] == "action_answer"
    assert call["domain"] == {}
    assert call["tracker"]["events"] == []
    assert call["tracker"]["latest_message"]["text"] == "does it hurt"
    assert call["tracker"]["latest_message"]["intent_ranking"]
    assert app.headers[-1]["authorization"] == f"Bearer {SECRET}"


def test_each_request_names_the_app_that_is_called(engine: Engine, app: App) -> None:
    with App(behaviour=replies("from the other")) as other:
        assert engine.said(app)["messages"][0]["custom"]["reply"]["text"] == "hello"
        assert engine.said(other)["messages"][0]["custom"]["reply"]["text"] == "from the other"
    assert len(app.calls) == 1


def test_people_who_write_at_once_do_not_see_each_other(engine: Engine, app: App) -> None:
    def slowly(call: dict[str, Any]) -> tuple[int, Any]:
        time.sleep(0.3)
        return replies(call["sender_id"] + " " + str(call["tracker"]["slots"]["safety_level"]))(call)

    app.behaviour = slowly

    def ask(number: int) -> str:
        known = [*session_start(), {"event": "slot", "name": "safety_level", "value": f"level {number}"}]
        outcome = engine.said(app, conversation=f"c{number}", events=known)
        return str(outcome["messages"][0]["custom"]["reply"]["text"])

    with ThreadPoolExecutor(8) as people:
        assert list(people.map(ask, range(8))) == [f"c{n} level {n}" for n in range(8)]


def test_two_requests_of_one_conversation_do_not_wait_for_each_other(engine: Engine, app: App) -> None:
    def slowly(call: dict[str, Any]) -> tuple[int, Any]:
        time.sleep(0.5)
        return replies()(call)

    app.behaviour = slowly
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as people:
        assert [status for status, _ in people.map(lambda _: engine.turn(app), range(2))] == [200, 200]
    assert time.monotonic() - begun < 0.95


@pytest.mark.parametrize("deadline", [0.001, 0.01, 0.5], ids="{} s".format)
def test_a_turn_past_its_deadline_is_given_up_and_leaves_no_trace(engine: Engine, app: App, deadline: float) -> None:
    finished = threading.Event()

    def too_slowly(call: dict[str, Any]) -> tuple[int, Any]:
        finished.wait(5)
        return 200, {"events": [{"event": "slot", "name": "product", "value": "late"}], "responses": []}

    app.behaviour = too_slowly
    begun = time.monotonic()
    status, answer = engine.turn(app, text="does it hurt", deadline=deadline)
    assert (status, answer["error"]["code"]) == (504, "deadline")
    assert time.monotonic() - begun < 2
    finished.set()
    app.behaviour = replies()
    after = engine.said(app)
    assert after["slots"]["product"] is None
    assert "does it hurt" not in json.dumps(after)


def test_an_action_that_has_nothing_to_say_gives_an_empty_turn(engine: Engine, app: App) -> None:
    app.behaviour = lambda call: (200, {"events": [], "responses": []})
    assert engine.said(app)["messages"] == []


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"error": "broken"}),
        (400, {"action_name": "action_smalltalk", "error": "refused"}),
        (400, {"unexpected": "shape"}),
        (404, b"not here"),
        (200, b"this is not JSON"),
        (200, {"reply": "no action answers like this"}),
        (200, {"events": "no list", "responses": []}),
        (200, {"events": [{"event": "no such event"}], "responses": []}),
        (302, {"to": "http://127.0.0.1:9/elsewhere"}),
    ],
    ids=["500", "refusal", "400", "404", "no JSON", "no action", "no events", "unknown event", "redirect"],
)
def test_an_action_that_fails_makes_the_turn_fail(engine: Engine, app: App, answer: tuple[int, Any]) -> None:
    app.behaviour = lambda call: answer
    status, failure = engine.turn(app)
    assert (status, failure["error"]["code"]) == (500, "failed")
    app.behaviour = replies()
    assert engine.turn(app)[0] == 200


def test_an_app_that_cannot_be_reached_makes_the_turn_fail(engine: Engine) -> None:
    status, failure = engine.turn(None)
    assert (status, failure["error"]["code"]) == (500, "failed")


def test_no_failure_puts_what_a_person_wrote_into_the_log(engine: Engine, app: App) -> None:
    private = "my name is Zubaidah"
    app.behaviour = lambda call: (500, {"error": call["tracker"]["latest_message"]["text"]})
    assert engine.turn(app, text=private)[0] == 500
    assert engine.turn(app, text="/restart Zubaidah")[0] == 500
    assert engine.turn(app, text=private, deadline=-1)[0] == 400
    assert "Zubaidah" not in engine.log.read_text()


@pytest.mark.parametrize("secret", [None, "", "wrong", SECRET + "x", SECRET[:-1]])
def test_without_the_secret_nothing_is_answered(engine: Engine, app: App, secret: str | None) -> None:
    status, answer = engine.turn(app, secret=secret)
    assert (status, answer["error"]["code"]) == (401, "unauthorised")
    assert engine.request("GET", "/ready", secret=secret)[0] == 401
    assert app.calls == []


BAD_FIELDS: list[dict[str, Any]] = [
    {"text": None},
    {"text": " \n "},
    {"text": 7},
    {"text": "x" * 4097},
    {"text": "half a pair \ud800"},
    {"choice": {"entry_id": ""}},
    {"choice": {"entry_id": "a", "more": 1}},
    {"choice": "a"},
    {"conversation": ""},
    {"conversation": None},
    {"message_id": 5},
    {"message_id": "x" * 201},
    {"metadata": []},
    {"deadline": 0},
    {"deadline": -1},
    {"deadline": 31},
    {"deadline": True},
    {"deadline": "1"},
    {"deadline": float("nan")},
    {"events": None},
    {"events": [{}]},
    {"events": ["slot"]},
    {"events": [{"event": "no such event"}]},
    {"events": [{"event": "slot"}]},
    {"events": [{"event": "session_started"}] * 2001},
    {"action_url": None},
    {"action_url": "ftp://127.0.0.1/webhook"},
    {"action_url": "http://example.com/webhook"},
    {"action_url": "http://127.0.0.1.example.com/webhook"},
    {"action_url": "http://user:password@127.0.0.1/webhook"},
    {"action_url": "http://example.com\\@127.0.0.1/webhook"},
    {"unknown": 1},
]


@pytest.mark.parametrize("fields", BAD_FIELDS, ids=lambda fields: json.dumps(fields)[:50])
def test_a_wrong_request_is_refused_by_the_name_of_its_field(engine: Engine, app: App, fields: dict[str, Any]) -> None:
    status, answer = engine.turn(app, **fields)
    assert (status, answer["error"]["code"]) == (400, "bad_request")
    assert next(iter(fields)).split("_")[0] in answer["error"]["message"]
    assert app.calls == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe{}", b"[" * 100_000, b"null"])
def test_a_body_that_is_no_object_is_refused(engine: Engine, body: bytes) -> None:
    status, answer = engine.request("POST", "/turn", body)
    assert (status, answer["error"]["code"]) == (400, "bad_request")


def test_the_longest_message_is_answered_in_time(engine: Engine, app: App) -> None:
    text = ("had rf microneedlng 2 days ago, rednes and makeup? " * 100)[:4096]
    begun = time.monotonic()
    assert engine.turn(app, text=text)[0] == 200
    assert time.monotonic() - begun < 2


def test_no_route_but_ours_does_anything(engine: Engine) -> None:
    import http.client

    for path in ("/webhooks/rest/webhook", "/model/parse", "/conversations/c1/messages", "/model", "/domain"):
        connection = http.client.HTTPConnection("127.0.0.1", engine.port, timeout=10)
        connection.request("POST", path, b"{}", {"Authorization": f"Bearer {SECRET}"})
        assert connection.getresponse().status == 404
        connection.close()
