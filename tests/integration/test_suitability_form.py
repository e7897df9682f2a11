"""The suitability check as people meet it: over HTTP, with the real engine and its Rasa form."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select

from needlepoint.conversations.models import Conversation as Row
from needlepoint.db.connect import connect
from tests.running import Conversation, Instance, Laboratory
from tests.unit.test_suitability_check import STOPPING, VERDICT

ASKED_OF_ALL = ["under 18", "pregnant", "isotretinoin", "keloid", "acne", "cold sore", "blood thinner", "diabetes",
                "immune", "surgery"]  # fmt: skip


def say(conversation: Conversation, text: str) -> dict[str, Any]:
    """What a text is answered with."""
    return dict(conversation.say(text)["reply"])


def press(conversation: Conversation, reply: dict[str, Any], title: str) -> dict[str, Any]:
    """What a button of `reply` is answered with."""
    token = next(choice["token"] for choice in reply["choices"] if choice["title"] == title)
    response = conversation.post(choice=token)
    assert response.status_code == 200, response.text
    return dict(response.json()["reply"])


def titles(reply: dict[str, Any]) -> list[str]:
    """What the buttons say."""
    return [choice["title"] for choice in reply["choices"]]


def is_end(reply: dict[str, Any]) -> bool:
    """Is it the summary?"""
    return not reply["choices"]


def test_the_whole_check_by_buttons(instance: Instance) -> None:
    conversation = instance.conversation()
    reply = say(conversation, "can I do microneedling?")
    assert reply["kind"] == "form" and reply["topic"] == "suitability"
    assert titles(reply) == [
        "Microneedling at the clinic", "RF microneedling", "Microneedling with PRP", "Not sure", "Stop",
    ]  # fmt: skip
    reply = press(conversation, reply, "Microneedling at the clinic")
    asked = []
    while not is_end(reply):
        assert reply["kind"] == "form" and titles(reply) == ["Yes", "No", "Not sure", "Stop"]
        asked.append(reply["text"])
        reply = press(conversation, reply, {3: "Yes", 5: "Not sure"}.get(len(asked), "No"))
    assert len(asked) == len(ASKED_OF_ALL)
    assert all(word in text for word, text in zip(ASKED_OF_ALL, asked, strict=True))
    assert "Question 2 of 11" in asked[0] and "Question 11 of 11" in asked[-1]
    assert reply["kind"] == "form"
    above, along = reply["text"].split("**To take along to the clinic**")
    assert "discuss these points with the clinician before you book" in above and "+60 3-1234 5678" in above
    assert [re.sub(r"Date: .*", "Date", line) for line in along.strip().splitlines()] == [
        "- Date",
        "- Treatment: Microneedling at the clinic",
        "- Isotretinoin now or in the last 12 months: yes",
        "- Acne, infection, wound, warts or rash in the area: not sure",
    ]
    assert not VERDICT.search(reply["text"]) and not STOPPING.search(reply["text"])
    # It is over: the next message is a message like any other, and a new check begins at its beginning.
    assert say(conversation, "does it hurt?")["kind"] == "answer"
    assert "Which treatment" in say(conversation, "am I suitable?")["text"]


def test_the_check_typed_in_malay(instance: Instance) -> None:
    conversation = instance.conversation()
    reply = say(conversation, "boleh ke saya buat microneedling")
    assert "Rawatan mana" in reply["text"] and titles(reply)[-1] == "Berhenti"
    for typed in [
        "klinik",
        "tak",
        "x",
        "pernah, dah stop 3 bulan",
        "tidak",
        "tak pasti",
        "x",
        "takde",
        "tak",
        "tidak lah",
    ]:
        reply = say(conversation, typed)
        assert "Soalan" in reply["text"], (typed, reply["text"])
    reply = say(conversation, "tak pernah")
    assert is_end(reply)
    along = reply["text"].split("**Untuk dibawa ke klinik**")[1].strip().splitlines()
    assert [line.split(": ")[-1] for line in along[1:]] == ["Microneedling di klinik", "ya", "tidak pasti"]
    assert "3 bulan" not in reply["text"]
    assert "bincangkan perkara ini dengan klinisian" in reply["text"]


def test_a_question_in_between_is_answered_and_the_open_question_comes_again(instance: Instance) -> None:
    conversation = instance.conversation()
    press(conversation, say(conversation, "am I suitable?"), "Microneedling with PRP")
    reply = say(conversation, "does it hurt?")
    assert reply["kind"] == "answer" and reply["topic"] == "pain" and reply["answers"]
    assert "Are you under 18?" in reply["then"]
    assert titles(reply) == ["Yes", "No", "Not sure", "Stop"]
    assert "pregnant" in press(conversation, reply, "No")["text"]
    assert "pregnant" in say(conversation, "thank you so much")["then"]
    assert "pregnant" in say(conversation, "can I talk to a real person please")["then"]


def test_stop_ends_it_and_going_on_forgets_nothing(instance: Instance) -> None:
    conversation = instance.conversation()
    press(conversation, say(conversation, "check if I'm suitable"), "RF microneedling")
    say(conversation, "no")
    reply = say(conversation, "stop")
    assert reply["kind"] == "form" and titles(reply) == ["Go on with the check", "Start it again"]
    assert say(conversation, "how much does one session cost")["then"] == ""
    resumed = press(conversation, reply, "Go on with the check")
    assert "pregnant" in resumed["text"] and "left off" in resumed["text"]
    reply = say(conversation, "cancel")
    assert "Which treatment" in press(conversation, reply, "Start it again")["text"]
    assert titles(say(conversation, "tak nak"))[0] == "Sambung semakan"


def test_a_red_flag_in_the_middle_gets_the_card_alone_and_the_check_goes_on(instance: Instance) -> None:
    conversation = instance.conversation()
    press(conversation, say(conversation, "am I suitable?"), "RF microneedling")
    urgent = conversation.say("I cannot breathe and my tongue is swelling")
    assert urgent["state"] == "urgent" and urgent["reply"]["choices"] == [] and urgent["reply"]["then"] == ""
    assert "under 18" in say(conversation, "I am ok now")["text"]
    assert "pregnant" in say(conversation, "no")["text"]


def test_metal_is_asked_about_for_rf_alone(instance: Instance) -> None:
    def asked(treatment: str) -> list[str]:
        conversation = instance.conversation()
        reply = press(conversation, say(conversation, "am I suitable?"), treatment)
        texts = []
        while not is_end(reply):
            texts.append(reply["text"])
            reply = press(conversation, reply, "No")
        assert "None of these points came up" in reply["text"] and not VERDICT.search(reply["text"])
        return texts

    assert any("pacemaker" in text for text in asked("RF microneedling"))
    assert any("pacemaker" in text for text in asked("Not sure"))
    assert not any("pacemaker" in text for text in asked("Microneedling with PRP"))


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("can I do it while pregnant", "pregnancy"),
        ("am I suitable if I have diabetes?", "diabetes"),
        ("saya tengah mengandung, boleh buat microneedling tak", "pregnancy"),
        ("can i have rf with a pacemaker", "pacemaker-and-electronic-implants"),
        ("is microneedling ok for me, i take warfarin", "blood-thinners"),
        ("kulit saya selalu naik keloid, boleh ke saya buat microneedling", "keloid-history"),
    ],
)
def test_who_names_a_condition_gets_the_answer_at_once_and_the_check_as_an_offer(
    instance: Instance, text: str, entry: str
) -> None:
    conversation = instance.conversation()
    reply = say(conversation, text)
    assert [answer["entry_id"] for answer in reply["answers"]] == [entry]
    offer = {"Check whether it suits me", "Semak untuk saya"} & set(titles(reply))
    assert offer
    assert press(conversation, reply, offer.pop())["kind"] == "form"


@pytest.mark.parametrize(
    "text",
    ["am I suitable?", "can I do microneedling?", "check if I'm suitable", "boleh ke saya buat microneedling",
     "saya sesuai tak", "Is RF suitable for me?", "am i the right person for this", "saya boleh buat tak"],
)  # fmt: skip
def test_who_asks_without_a_condition_is_asked_the_questions(instance: Instance, text: str) -> None:
    assert say(instance.conversation(), text)["kind"] == "form"


def test_two_misunderstood_answers_take_not_sure_and_go_on(instance: Instance) -> None:
    conversation = instance.conversation()
    press(conversation, say(conversation, "am I suitable?"), "RF microneedling")
    assert "could not read" in say(conversation, "banana")["text"]
    reply = say(conversation, "blub")
    assert "not sure" in reply["text"] and "pregnant" in reply["text"]


def test_the_check_outlives_twenty_interruptions_and_an_engine_that_is_killed(laboratory: Laboratory) -> None:
    engine = laboratory.engine()
    instance = laboratory.instance([engine])
    conversation = instance.conversation()
    reply = press(conversation, say(conversation, "am I suitable?"), "RF microneedling")
    reply = press(conversation, reply, "Yes")
    for number in range(20):
        reply = say(
            conversation, ["does it hurt?", "how long is the redness", "thanks", "who won the match"][number % 4]
        )
        assert "pregnant" in reply["then"], number
        if number == 9:
            engine.kill()
            engine.start()
    while not is_end(reply):
        reply = press(conversation, reply, "No")
    assert "Under 18: yes" in reply["text"] and "RF microneedling" in reply["text"]
    # Whoever comes back to the page finds all of it, with its buttons.
    assert conversation.history()[-1]["reply"]["text"] == reply["text"]


def test_an_older_button_changes_its_own_answer_and_one_of_a_finished_check_is_gone(instance: Instance) -> None:
    conversation = instance.conversation()
    first = press(conversation, say(conversation, "am I suitable?"), "Microneedling with PRP")
    reply = press(conversation, first, "No")
    assert reply["text"] == press(conversation, first, "Yes")["text"], "the open question is asked again"
    while not is_end(reply):
        reply = press(conversation, reply, "No")
    assert "Under 18: yes" in reply["text"]
    assert press(conversation, first, "No")["kind"] == "decline"


def test_nobodys_own_words_stand_in_a_slot(instance: Instance) -> None:
    conversation = instance.conversation()
    press(conversation, say(conversation, "am I suitable?"), "Microneedling with PRP")
    say(conversation, "no")
    say(conversation, "no")
    say(conversation, "used to, stopped 3 months ago")
    database = connect(instance.database)
    with database.connect() as connection:
        slots = connection.scalar(select(Row.slots).where(Row.id == conversation.id))
    database.dispose()
    assert slots is not None and slots["suitability_isotretinoin"] == "yes"
    assert "months" not in str({name: value for name, value in slots.items() if name.startswith("suitability")})
