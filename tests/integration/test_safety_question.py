"""The safety question against the real product: asked in doubt, and what a yes and a no lead to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import Conversation, Instance

#: Neither harmless nor surely urgent: a nurse would ask back.
DOUBTFUL = "my mum says I look pale since the numbing cream went on but I feel more or less ok I think"


@pytest.fixture
def conversation(instance: Instance) -> Conversation:
    return instance.conversation()


@pytest.fixture
def question(conversation: Conversation) -> dict[str, Any]:
    reply = conversation.say(DOUBTFUL)["reply"]
    assert (reply["kind"], reply["topic"], reply["answers"]) == ("clarify", "urgent", [])
    assert "?" in reply["text"] and "999" in reply["text"]
    assert [choice["title"][:3] for choice in reply["choices"]] == ["Yes", "No,"]
    return dict(reply)


def test_a_pressed_yes_is_the_card_with_its_thread(conversation: Conversation, question: dict[str, Any]) -> None:
    card = conversation.post(choice=question["choices"][0]["token"]).json()["reply"]
    assert card["kind"] == "urgent" and len(card["answers"]) == 1
    again = conversation.say("can I wear makeup tomorrow?")["reply"]
    assert again["answers"][0]["entry_id"] == card["answers"][0]["entry_id"]


@pytest.mark.parametrize("said", ["yes", "ya sikit", "not sure"])
def test_a_typed_yes_or_not_sure_is_the_card_too(
    conversation: Conversation, question: dict[str, Any], said: str
) -> None:
    assert conversation.say(said)["reply"]["kind"] == "urgent"


def test_a_personal_number_in_a_typed_answer_is_masked_as_anywhere(
    conversation: Conversation, question: dict[str, Any]
) -> None:
    assert conversation.say("yes, my number is 012-345 6789")["reply"]["kind"] == "urgent"
    assert "345 6789" not in str(conversation.history())


@pytest.mark.parametrize("said", ["no", "none of these", "tak ada"])
def test_a_no_is_answered_and_alarms_nobody(conversation: Conversation, question: dict[str, Any], said: str) -> None:
    reply = conversation.say(said)["reply"]
    assert reply["kind"] in ("answer", "smalltalk")
    assert reply["urgency"] == "none"
    assert conversation.say("yes")["reply"]["kind"] != "urgent", "the question was answered"


def test_a_new_question_instead_of_an_answer_is_a_new_question(
    conversation: Conversation, question: dict[str, Any]
) -> None:
    reply = conversation.say("when can I wear makeup again?")["reply"]
    assert [answer["entry_id"] for answer in reply["answers"]] == ["makeup-after"]


def test_a_yes_without_a_safety_question_is_no_alarm(conversation: Conversation) -> None:
    assert conversation.say("does microneedling hurt?")["reply"]["kind"] == "answer"
    assert conversation.say("yes")["reply"]["kind"] != "urgent"
