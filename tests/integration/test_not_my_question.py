"""What happens when somebody says that the answer was not to their question."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import Instance


def replies(instance: Instance, *texts: str) -> list[dict[str, Any]]:
    """The replies to a person's messages."""
    conversation = instance.conversation()
    return [conversation.say(text)["reply"] for text in texts]


@pytest.mark.parametrize(
    ("question", "objection", "says"),
    [
        ("how long will I be red?", "that's not what I asked", "I misunderstood"),
        ("bila boleh pakai mekap", "bukan tu soalan saya", "tersalah faham"),
    ],
)
def test_who_was_not_understood_is_offered_other_questions(
    instance: Instance, question: str, objection: str, says: str
) -> None:
    answer, offer = replies(instance, question, objection)
    given = answer["answers"][0]["question"]
    assert offer["kind"] == "clarify" and says in offer["text"]
    titles = [choice["title"] for choice in offer["choices"]]
    assert 2 <= len(titles) <= 3 and given not in titles


def test_one_of_the_other_questions_can_be_pressed(instance: Instance) -> None:
    conversation = instance.conversation()
    conversation.say("how long will I be red?")
    choice = conversation.say("wrong answer")["reply"]["choices"][0]
    pressed = conversation.post(choice=choice["token"]).json()["reply"]
    assert pressed["kind"] == "answer" and pressed["answers"][0]["question"] == choice["title"]


def test_who_objects_twice_is_told_of_a_person_and_asked_back_no_more(instance: Instance) -> None:
    _, offer, end = replies(instance, "does RF hurt", "hmm that doesnt help", "still not helpful")
    assert offer["kind"] == "clarify" and end["kind"] == "decline"
    assert "talk to a person" in end["text"] and "+60 3-1234 5678" in end["text"]


def test_who_says_what_they_meant_is_answered_at_once(instance: Instance) -> None:
    _, answer = replies(instance, "how long will I be red?", "no, that's not it. when can i put makeup on?")
    assert answer["kind"] == "answer" and answer["answers"][0]["entry_id"] == "makeup-after"


def test_who_meant_another_treatment_gets_the_same_question_for_that_one(instance: Instance) -> None:
    _, answer = replies(instance, "how often should I come for the clinic treatment", "no, I meant the home one")
    assert answer["answers"][0]["entry_id"] == "home-roller-how-often"


def test_an_objection_before_anything_was_answered_is_met_without_an_offer(instance: Instance) -> None:
    (reply,) = replies(instance, "wrong answer")
    assert reply["kind"] == "decline" and not reply["choices"]
