"""The public chat API, against the real product."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import threading
import time
import uuid

import httpx
import pytest

from needlepoint.conversations.privacy_notice import PRIVACY_VERSION
from tests.running import Engine, Instance, Laboratory


def error_of(response: httpx.Response) -> dict[str, str]:
    """The one error shape; anything else fails the test."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "emergency"}
    assert "999" in body["error"]["emergency"]
    assert "Traceback" not in response.text
    return dict(body["error"])


def test_a_question_gets_an_approved_answer_with_sources_and_date(instance: Instance) -> None:
    outcome = instance.conversation().say("When can I wear makeup again after microneedling?")
    assert outcome["state"] == "answered"
    answer = outcome["reply"]["answers"][0]
    assert answer["entry_id"] == "makeup-after"
    assert answer["version"] == 1
    assert answer["starting_text_of"] == "2026-11-23"
    assert answer["sources"]
    assert answer["when_to_contact"]


def test_two_questions_in_one_message_get_two_answers(instance: Instance) -> None:
    reply = instance.conversation().say("Does microneedling hurt? And when can I wear makeup again?")["reply"]
    assert reply["kind"] == "answer"
    assert [answer["entry_id"] for answer in reply["answers"]] == ["does-it-hurt", "makeup-after"]
    assert all(answer["when_to_contact"] for answer in reply["answers"])


def test_patients_never_see_confidence_reasons_or_findings(instance: Instance) -> None:
    conversation = instance.conversation()
    outcome = conversation.say("does it hurt")
    assert outcome["reply"]["confidence"] is None
    assert outcome["reply"]["why"] == {}
    urgent = conversation.say("my tongue is swelling and I cannot breathe")
    assert urgent["reply"]["findings"] == []
    for line in conversation.history():
        if line["reply"]:
            assert line["reply"]["confidence"] is None and line["reply"]["why"] == {}


def test_a_repeated_message_id_gets_the_same_reply_and_is_kept_once(instance: Instance) -> None:
    conversation = instance.conversation()
    message_id = uuid.uuid4().hex
    first = conversation.say("how many sessions do I need?", message_id)
    again = conversation.say("how many sessions do I need?", message_id)
    assert first == again
    assert [line["from"] for line in conversation.history()] == ["person", "assistant"]


def test_the_same_id_sent_ten_times_at_once_is_answered_once(instance: Instance) -> None:
    conversation = instance.conversation()
    message_id = uuid.uuid4().hex
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(lambda _: conversation.say("does needling help scars?", message_id), range(10)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert len(conversation.history()) == 2


def test_simultaneous_messages_of_one_conversation_are_answered_in_order(instance: Instance) -> None:
    conversation = instance.conversation()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: conversation.say(f"question {n}: does it hurt?"), range(8)))
    assert sorted(outcome["event_id"] for outcome in outcomes) == list(range(1, 9))
    history = conversation.history()
    asked = [line["id"] for line in history if line["from"] == "person"]
    answered = [line["id"] for line in history if line["from"] == "assistant"]
    assert asked == answered


@pytest.mark.parametrize(
    "text", ["/restart", "/session_start", '/ask_pain{"treatment": "prp"}', "  /restart", "/greet"]
)
def test_text_that_starts_with_a_slash_is_text(instance: Instance, text: str) -> None:
    """R1: nobody can name an intent, fill a slot or restart the dialogue by typing."""
    conversation = instance.conversation()
    outcome = conversation.say(text)
    assert outcome["state"] == "answered"
    staff = instance.staff_ask(text)
    assert staff["received"]["reply"]["why"].get("chosen") is None
    assert conversation.history()[0]["text"] == text


def test_a_pressed_choice_is_answered_with_the_entry_it_offered(instance: Instance) -> None:
    conversation = instance.conversation()
    for vague in ("how long", "cream?", "needles", "after", "skin", "roller", "before treatment"):
        outcome = conversation.say(vague)
        if outcome["reply"]["kind"] == "clarify":
            break
    assert outcome["reply"]["kind"] == "clarify", "no vague question was answered with a clarifying one"
    choice = outcome["reply"]["choices"][1]
    assert len(choice["token"].encode()) <= 64
    chosen = conversation.post(choice=choice["token"]).json()
    assert chosen["reply"]["kind"] == "answer"
    assert chosen["reply"]["answers"][0]["question"] == choice["title"]


@pytest.mark.parametrize("token", ["999.0", "1.99", "x", "1", "9" * 60, "1.0; DROP TABLE message"])
def test_a_choice_that_was_never_offered_is_said_to_be_gone(instance: Instance, token: str) -> None:
    outcome = instance.conversation().post(choice=token).json()
    assert outcome["reply"]["kind"] == "decline"
    assert "choice" in outcome["reply"]["text"].lower()


def test_replies_arrive_as_events_and_resume_after_the_last_one(instance: Instance) -> None:
    conversation = instance.conversation()
    conversation.say("does it hurt?")
    second = conversation.say("how long will I be red?")
    path = f"/api/conversations/{conversation.id}/events"

    def read(count: int, last: str | None = None) -> list[dict[str, str]]:
        headers = conversation.headers | ({"Last-Event-ID": last} if last else {})
        events: list[dict[str, str]] = []
        with instance.http() as http, http.stream("GET", path, headers=headers) as stream:
            event: dict[str, str] = {}
            for line in stream.iter_lines():
                if not line and event:
                    events.append(event)
                    event = {}
                    if len(events) == count:
                        break
                elif ": " in line:
                    name, _, value = line.partition(": ")
                    event[name] = value
        return events

    everything = read(2)
    assert [event["id"] for event in everything] == ["1", "2"]
    resumed = read(1, "1")
    assert resumed[0]["id"] == "2"
    assert json.loads(resumed[0]["data"])["message_id"] == second["message_id"]
    # One that is not there yet arrives when it is.
    arrived: list[dict[str, str]] = []
    reader = threading.Thread(target=lambda: arrived.extend(read(1, "2")))
    reader.start()
    time.sleep(0.3)
    third = conversation.say("can I swim?")
    reader.join(10)
    assert json.loads(arrived[0]["data"])["message_id"] == third["message_id"]


def test_nothing_of_a_message_is_stored_before_consent(instance: Instance) -> None:
    conversation = instance.conversation(consent=False)
    refused = conversation.post(text="does it hurt? my number is 012-345 6789")
    assert refused.status_code == 409
    assert error_of(refused)["code"] == "consent_needed"
    assert conversation.history() == []
    agreed = conversation.http.post(
        f"/api/conversations/{conversation.id}/consent",
        json={"consent": PRIVACY_VERSION},
        headers=conversation.headers,
    )
    conversation.token = agreed.json()["token"]
    assert conversation.say("does it hurt?")["state"] == "answered"
    assert len(conversation.history()) == 2


def test_a_red_flag_is_answered_before_consent_and_leaves_no_text(instance: Instance) -> None:
    conversation = instance.conversation(consent=False)
    outcome = conversation.say("I cannot breathe and my tongue is swelling")
    assert outcome["state"] == "urgent"
    assert outcome["reply"]["urgency"] == "emergency_now"
    assert conversation.history() == []


def test_an_urgent_message_gets_the_card_alone(instance: Instance) -> None:
    """S1: whatever else was asked, nothing else is answered in that turn."""
    outcome = instance.conversation().say("how much is a session? also there is pus coming out of my cheek")
    assert outcome["reply"]["kind"] == "urgent"
    assert {answer["entry_id"] for answer in outcome["reply"]["answers"]} == {"skin-infection"}


def test_personal_numbers_are_masked_before_they_are_stored(instance: Instance) -> None:
    conversation = instance.conversation()
    conversation.say("call me at 012-345 6789 or mei@example.com, does it hurt?")
    text = conversation.history()[0]["text"]
    assert "345" not in text and "example.com" not in text
    assert "[phone]" in text and "[e-mail]" in text


def test_erasing_during_an_open_session_removes_every_copy(instance: Instance) -> None:
    """R8."""
    conversation = instance.conversation()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = pool.submit(conversation.post, text="does it hurt a lot?")
        time.sleep(0.005)
        erased = conversation.http.delete(f"/api/conversations/{conversation.id}", headers=conversation.headers)
        assert erased.status_code == 204
        assert asked.result().status_code in (200, 404)
    assert conversation.post(text="hello?").status_code == 404
    gone = conversation.http.get(f"/api/conversations/{conversation.id}/messages", headers=conversation.headers)
    assert error_of(gone)["code"] == "unknown_conversation"
    assert instance.conversation().say("does it hurt?")["state"] == "answered"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": "hello"}, "bad_request"),
        ({"message_id": "short", "text": "hello"}, "bad_request"),
        ({"message_id": "m" * 20}, "bad_request"),
        ({"message_id": "m" * 20, "text": "a", "choice": "1.0"}, "bad_request"),
        ({"message_id": "m" * 20, "text": ""}, "empty_message"),
        ({"message_id": "m" * 20, "text": "  \n\t "}, "empty_message"),
        ({"message_id": "m" * 20, "text": "a" * 4097}, "bad_request"),
        ({"message_id": "m" * 20, "text": 7}, "bad_request"),
        ({"message_id": "m" * 20, "text": "a", "sender": "someone"}, "bad_request"),
        ([], "bad_request"),
    ],
)
def test_a_malformed_message_is_refused_clearly(instance: Instance, body: object, code: str) -> None:
    conversation = instance.conversation()
    response = conversation.http.post(
        f"/api/conversations/{conversation.id}/messages", json=body, headers=conversation.headers
    )
    assert response.status_code == 400
    assert error_of(response)["code"] == code
    assert conversation.history() == []


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"{", b'{"message_id": "\xc3\x28"}', b"", b"null"])
def test_a_body_that_is_not_json_in_utf8_is_refused(instance: Instance, raw: bytes) -> None:
    conversation = instance.conversation()
    response = conversation.http.post(
        f"/api/conversations/{conversation.id}/messages",
        content=raw,
        headers=conversation.headers | {"Content-Type": "application/json"},
    )
    assert response.status_code == 400
    error_of(response)


def test_ten_megabytes_are_refused(instance: Instance) -> None:
    conversation = instance.conversation()
    response = conversation.post(text="a" * 10_000_000)
    assert response.status_code == 413
    assert error_of(response)["code"] == "too_large"
    assert conversation.history() == []


def test_a_conversation_is_only_opened_by_its_own_token(instance: Instance) -> None:
    """R2: there is no shared or guessed conversation."""
    mine, other = instance.conversation(), instance.conversation()
    path = f"/api/conversations/{mine.id}/messages"
    body = {"message_id": uuid.uuid4().hex, "text": "hello"}
    assert mine.http.post(path, json=body).status_code == 401
    assert error_of(mine.http.post(path, json=body))["code"] == "no_token"
    wrong = mine.http.post(path, json=body, headers={"Authorization": f"Bearer {mine.token[:-4]}AAAA"})
    assert error_of(wrong)["code"] == "bad_token"
    foreign = mine.http.post(path, json=body, headers=other.headers)
    assert (foreign.status_code, error_of(foreign)["code"]) == (404, "unknown_conversation")
    nowhere = mine.http.post("/api/conversations/default/messages", json=body, headers=mine.headers)
    assert (nowhere.status_code, error_of(nowhere)["code"]) == (404, "unknown_conversation")


def test_control_characters_and_invisible_marks_do_not_hide_a_red_flag(instance: Instance) -> None:
    outcome = instance.conversation().say("I can\u200bnot \u202ebreathe\u202c, my ton\u00adgue is swel\u200dling")
    assert outcome["state"] == "urgent"


def test_one_address_cannot_send_a_thousand_messages_a_second(laboratory: Laboratory) -> None:
    limited = laboratory.instance([], wait="/health/live", rate_limit="30")
    with limited.http() as http:
        statuses = [http.get("/api/clinic").status_code for _ in range(40)]
        assert statuses.count(429) == 10
        refused = http.get("/api/clinic")
    assert error_of(refused)["code"] == "too_many_requests"
    limited.stop()


def test_a_question_about_something_else_gets_no_faq_answer(instance: Instance) -> None:
    """R9: the examples of the bug that made a bot answer at random."""
    for text in ("how is the weather", "shall I buy crypto", "what is the capital of France"):
        reply = instance.conversation().say(text)["reply"]
        assert reply["kind"] == "decline", text
        assert reply["answers"] == []


def test_two_entries_that_share_words_are_told_apart_or_asked_about(instance: Instance) -> None:
    """R10."""
    for text, wanted in (
        ("when can I wear makeup after RF microneedling?", "makeup-after-rf"),
        ("when can I wear makeup after using the home roller?", "makeup-after-home-roller"),
    ):
        reply = instance.conversation().say(text)["reply"]
        if reply["kind"] == "clarify":
            continue
        assert reply["answers"][0]["entry_id"] == wanted, text


def test_the_schema_describes_the_api_and_names_no_other_host(instance: Instance) -> None:
    with instance.http() as http:
        schema = http.get("/api/schema/openapi.json").json()
    assert "/api/conversations/{conversation}/messages" in schema["paths"]
    assert not any(path.startswith("/staff") for path in schema["paths"])


def test_every_response_carries_the_security_headers(instance: Instance) -> None:
    with instance.http() as http:
        for path in ("/", "/api/clinic", "/staff/login", "/widget.js", "/pages/chat.css"):
            headers = http.get(path).headers
            assert "default-src 'self'" in headers["content-security-policy"], path
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


def test_each_first_choice_of_the_page_is_answered_with_its_own_entry(instance: Instance) -> None:
    with instance.http() as http:
        offered = [http.get("/api/clinic", params={"language": language}).json() for language in ("en", "ms")]
    choices = [choice for clinic in offered for choice in clinic["first_choices"]]
    wanted = ["on-the-day-checklist", "does-it-hurt", "what-is-normal-after", "first-24-hours"] * 2
    for choice, entry in zip(choices, wanted, strict=True):
        reply = instance.conversation().say(choice["text"])["reply"]
        assert [answer["entry_id"] for answer in reply["answers"]] == [entry], choice


def test_text_of_which_nothing_can_be_seen_is_refused(instance: Instance) -> None:
    conversation = instance.conversation()
    refused = conversation.post(text="\u200b\u200b")
    assert (refused.status_code, error_of(refused)["code"]) == (400, "empty_message")
    grown = conversation.post(text="\ufdfa" * 4000)
    assert refused.status_code == 400 and "longer" in error_of(grown)["message"]
    assert conversation.history() == []


@pytest.mark.parametrize(
    "text", ["I take blood thinners", "no fever no pus", "my skin is a bit dry, no fever", "is a fever common"]
)
def test_words_that_only_resemble_an_urgent_matter_raise_no_alarm(instance: Instance, text: str) -> None:
    """Search cannot see a "no": an urgent card needs a rule's finding."""
    reply = instance.conversation().say(text)["reply"]
    assert reply["kind"] != "urgent"
    assert not any("999 now" in answer["text"] for answer in reply["answers"])


def test_a_red_flag_spread_over_two_messages_is_seen(instance: Instance) -> None:
    conversation = instance.conversation()
    assert conversation.say("the redness is spreading over my cheek")["reply"]["urgency"] == "same_day"
    assert conversation.say("and I have a fever")["reply"]["urgency"] == "emergency_now"


def test_a_conversation_keeps_only_a_few_streams_open(instance: Instance) -> None:
    conversation = instance.conversation()
    path = f"/api/conversations/{conversation.id}/events"
    with contextlib.ExitStack() as stack:
        streams = []
        for _ in range(6):
            http = stack.enter_context(instance.http())
            streams.append(stack.enter_context(http.stream("GET", path, headers=conversation.headers)))
            time.sleep(0.05)
        for ended in streams[:2]:
            assert list(ended.iter_lines()) == []
        conversation.say("does it hurt?")
        assert any(line.startswith("id: 1") for line in streams[-1].iter_lines())


def test_no_log_holds_what_a_patient_wrote(laboratory: Laboratory, engine: Engine) -> None:
    instance = laboratory.instance([engine], log_level="debug")
    secret_words = "my dog Bruno ate the numbing cream"
    instance.conversation().say(secret_words)
    instance.conversation().say(f"I cannot breathe and my tongue is swelling, {secret_words}")
    instance.stop()
    assert "Bruno" not in instance.whole_log()
    assert "Bruno" not in engine.whole_log()


def test_with_unapproved_answers_withheld_everyday_questions_are_declined_and_cards_given(
    laboratory: Laboratory, engine: Engine
) -> None:
    instance = laboratory.instance([engine], unapproved_answers="withhold")
    for text in ("is swelling normal", "does it hurt", "is some itching ok", "how do I prepare", "hello"):
        outcome = instance.conversation().say(text)
        assert outcome["state"] == "answered", text
        assert outcome["reply"]["answers"] == []
    assert instance.conversation().say("I cannot breathe")["reply"]["answers"]
    instance.stop()


@pytest.mark.parametrize("text", ["I have blisters after RF", "muka melepuh lepas morpheus semalam"])
def test_blisters_get_the_burn_card_and_not_the_nearest_topic(instance: Instance, text: str) -> None:
    reply = instance.conversation().say(text)["reply"]
    assert reply["kind"] == "urgent"
    assert reply["answers"][0]["entry_id"] == "burn-or-blister-after-rf"
