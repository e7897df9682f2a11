"""After an urgent card the talk stays with it until the person says that it is over, against the real product."""

from __future__ import annotations

import pytest

from tests.integration.test_failures import wait_until
from tests.running import Engine, Instance, Laboratory

RED_FLAG = "my tongue is swelling and I cannot breathe"


@pytest.mark.parametrize(
    "follow_up", ["ok thanks", "can I wear makeup tomorrow then?", "my aunty says it is normal, wait first", "/restart"]
)
def test_what_is_said_after_an_urgent_card_is_answered_with_it_again(instance: Instance, follow_up: str) -> None:
    conversation = instance.conversation()
    card = conversation.say(RED_FLAG)["reply"]
    assert card["text"] == "" and card["choices"] == [], "nothing else stands beside the first card"
    again = conversation.say(follow_up)["reply"]
    assert (again["kind"], again["urgency"]) == ("urgent", "emergency_now")
    assert again["answers"][0]["entry_id"] == card["answers"][0]["entry_id"]
    assert "card" in again["text"] and len(again["choices"]) == 3


@pytest.mark.parametrize("over", ["the doctor saw me and it is completely gone now", "dah jumpa doktor, semua dah ok"])
def test_the_thread_ends_when_the_person_says_that_it_is_over(instance: Instance, over: str) -> None:
    conversation = instance.conversation()
    conversation.say(RED_FLAG)
    closing = conversation.say(over)["reply"]
    assert (closing["kind"], closing["urgency"], closing["answers"]) == ("smalltalk", "none", [])
    assert "999" in closing["text"]
    after = conversation.say("Does microneedling hurt?")["reply"]
    assert after["kind"] == "answer"


def test_each_button_of_the_thread_ends_it(instance: Instance) -> None:
    for number in range(3):
        conversation = instance.conversation()
        conversation.say(RED_FLAG)
        choices = conversation.say("hello?")["reply"]["choices"]
        closing = conversation.post(choice=choices[number]["token"]).json()["reply"]
        assert closing["kind"] == "smalltalk"
        assert conversation.say("Does microneedling hurt?")["reply"]["kind"] == "answer"


def test_a_lesser_red_flag_does_not_lower_the_thread_and_a_greater_one_raises_it(instance: Instance) -> None:
    conversation = instance.conversation()
    assert conversation.say("there is yellow pus on my cheek")["reply"]["urgency"] == "same_day"
    assert conversation.say("what about the price?")["reply"]["urgency"] == "same_day"
    assert conversation.say(RED_FLAG)["reply"]["urgency"] == "emergency_now"
    lesser = conversation.say("there is yellow pus on my cheek")["reply"]
    assert lesser["urgency"] == "emergency_now"
    assert lesser["answers"][0]["entry_id"] == "severe-allergic-reaction"


def test_the_thread_outlives_the_process(laboratory: Laboratory, engine: Engine) -> None:
    instance = laboratory.instance([engine])
    conversation = instance.conversation()
    conversation.say(RED_FLAG)
    wait_until(lambda: len(conversation.history()) == 2)  # the card does not wait for its record
    instance.kill()
    instance.start()
    assert conversation.say("ok, and makeup?")["reply"]["kind"] == "urgent"
    instance.stop()
