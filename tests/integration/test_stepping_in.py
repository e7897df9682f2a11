"""A person of the clinic answers, and numbers to call, through the whole product; safety never pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.clinic import read_clinic
from needlepoint.conversations import stepping_in
from needlepoint.conversations.call_backs import CONSENT_VERSION
from needlepoint.db.connect import connect, connect_async
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.settings import ROOT
from tests.integration.test_safety_question import DOUBTFUL
from tests.running import Conversation, Instance

PHRASES = read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))

Act = Callable[..., Awaitable[Any]]


@pytest.fixture
def do(instance: Instance) -> Callable[..., Any]:
    """Does what a member of staff does at the desk."""

    def do(act: Callable[[AsyncEngine, Phrases], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            database = connect_async(instance.database)
            try:
                return await act(database, PHRASES)
            finally:
                await database.dispose()

        return asyncio.run(whole())

    return do


@pytest.fixture
def taken(instance: Instance, do: Callable[..., Any]) -> Iterator[Conversation]:
    """A conversation that Nurse Aida has."""
    conversation = instance.conversation()
    conversation.say("does it hurt?")
    do(lambda database, phrases: stepping_in.take(database, phrases, conversation.id, 1, "Nurse Aida"))
    yield conversation
    do(lambda database, phrases: stepping_in.give_back(database, phrases, conversation.id, 1))


def test_what_is_left_to_staff_gets_one_line_and_no_answer(taken: Conversation, do: Callable[..., Any]) -> None:
    first, second = taken.say("how long will I be red?"), taken.say("and can I swim?")
    assert first["reply"]["text"] == PHRASES.say("staff_waiting", "en")
    assert (second["state"], second["reply"], second["event_id"]) == ("answered", None, None)
    do(lambda database, _: stepping_in.write(database, taken.id, 1, "Nurse Aida", "A few days. Not yet."))
    assert taken.say("thank you")["reply"] is None
    said = [(one["from"], one["text"] or one["reply"]["text"]) for one in taken.history()]
    assert ("staff", "A few days. Not yet.") in said
    assert "Nurse Aida" not in str(taken.history()), "the person sees the clinic's staff, not a name"


def test_in_doubt_the_safety_question_is_asked_while_staff_answer_and_a_yes_is_the_card(taken: Conversation) -> None:
    asked = taken.say(DOUBTFUL)["reply"]
    assert (asked["kind"], asked["topic"]) == ("clarify", "urgent")
    assert taken.say("yes")["reply"]["kind"] == "urgent"


def test_a_no_to_the_safety_question_is_left_to_staff(taken: Conversation) -> None:
    asked = taken.say(DOUBTFUL)["reply"]
    said = taken.post(choice=asked["choices"][1]["token"]).json()
    assert said["reply"]["text"] == PHRASES.say("staff_waiting", "en")


def test_a_red_flag_gets_the_card_and_its_thread_while_staff_answer(taken: Conversation) -> None:
    urgent = taken.say("my tongue is swelling and I cannot breathe")
    assert (urgent["state"], urgent["reply"]["urgency"]) == ("urgent", "emergency_now")
    assert taken.say("what now?")["reply"]["urgency"] == "emergency_now"


def test_without_hours_of_staff_nobody_is_promised_that_somebody_joins(instance: Instance) -> None:
    said = instance.conversation().say("I want to talk to a person")["reply"]["text"]
    assert "within" not in said and PHRASES.clinic.phone in said


def test_a_number_to_call_is_taken_apart_from_what_is_said(instance: Instance) -> None:
    conversation = instance.conversation()

    def leave(**body: Any) -> Any:
        return conversation.http.put(
            f"/api/conversations/{conversation.id}/call-back",
            json={"number": "012-345 6789", "consent": CONSENT_VERSION, **body},
            headers=conversation.headers,
        )

    for body, code in (
        ({"number": "12"}, "wrong_number"),
        ({"consent": "2020-01"}, "other_notice"),
        ({"best_time": "x" * 201}, "bad_request"),
        ({"more": 1}, "bad_request"),
    ):
        refused = leave(**body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
        assert "999" in refused.json()["error"]["emergency"]
    assert leave(best_time="mornings").json() == {"urgent": None}
    told = leave(best_time="now, I cannot breathe and my throat is closing").json()["urgent"]
    assert told["reply"]["urgency"] == "emergency_now"
    assert "345 6789" not in str(conversation.history())
    with connect(instance.database).connect() as connection:
        kept = connection.execute(
            text("SELECT number FROM call_back WHERE conversation_id = :id"), {"id": conversation.id}
        ).scalars()
        assert all("6789" not in number for number in kept)


def test_nobody_leaves_a_number_without_having_agreed_or_for_somebody_else(instance: Instance) -> None:
    stranger, other = instance.conversation(consent=False), instance.conversation()
    body = {"number": "012-345 6789", "consent": CONSENT_VERSION}
    mine = stranger.http.put(f"/api/conversations/{stranger.id}/call-back", json=body, headers=stranger.headers)
    assert (mine.status_code, mine.json()["error"]["code"]) == (409, "consent_needed")
    theirs = stranger.http.put(f"/api/conversations/{other.id}/call-back", json=body, headers=stranger.headers)
    assert theirs.status_code == 404
