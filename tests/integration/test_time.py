"""Answers for the day: what a person told about the treatment, through the whole product and a real model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import Instance

#: A Monday evening in Kuala Lumpur.
NOW = "2026-11-23T20:00:00+08:00"


class Talk:
    """A conversation at a fixed moment."""

    def __init__(self, instance: Instance, at: str = NOW) -> None:
        self._instance, self._at = instance, at
        self.id: str | None = None

    def say(self, text: str, at: str | None = None) -> dict[str, Any]:
        """The Reply."""
        answer = self._instance.staff_ask(text, self.id, at or self._at)
        self.id = answer["conversation"]
        return dict(answer["received"]["reply"])


def entry(reply: dict[str, Any]) -> str | None:
    return reply["answers"][0]["entry_id"] if reply["answers"] else None


def told(reply: dict[str, Any]) -> str:
    return str(reply["answers"][0]["in_your_case"])


def test_the_day_is_shown_back_once_and_the_window_counted_from_it(instance: Instance) -> None:
    talk = Talk(instance)
    first = talk.say("I had it on Saturday, can I wear makeup?")
    assert "Saturday 21 November: today is day 2" in first["text"]
    assert entry(first) == "makeup-after"
    assert "usually yes" in told(first)
    assert "Wednesday 25 November" in told(first)
    second = talk.say("when can I swim?")
    assert "Saturday 21 November" not in second["text"]
    assert entry(second) == "swimming-after"
    assert "not yet" in told(second)
    assert "Wednesday 25 November" in told(second)


def test_a_corrected_day_answers_the_last_question_again(instance: Instance) -> None:
    talk = Talk(instance)
    talk.say("had microneedling on Saturday, can I wear makeup?")
    again = talk.say("no, it was this morning")
    assert entry(again) == "makeup-after"
    assert "not yet" in told(again)
    assert "Monday 23 November" in again["text"]
    assert "Tuesday 24 November, 12:00" in told(again)


def test_an_appointment_is_counted_back_from(instance: Instance) -> None:
    reply = Talk(instance).say("my appointment is next Thursday, should I stop my retinol cream?")
    assert "Thursday 26 November" in reply["text"]
    assert entry(reply) == "retinoids-before"
    assert "prescriber" in told(reply)


def test_an_appointment_that_passed_counts_as_treatment(instance: Instance) -> None:
    talk = Talk(instance)
    talk.say("my appointment is on Tuesday at 10am")
    reply = talk.say("when can I wear makeup?", at="2026-11-25T09:00:00+08:00")
    assert "not yet" in told(reply) or "Wednesday 25 November, 10:00" in told(reply)


@pytest.mark.parametrize(
    ("text", "entry_id", "until"),
    [
        ("had morpheus8 2 days ago, when can i use retinol again", "retinoids-after-rf", "Sunday 29 November"),
        ("had microneedling 2 days ago, when can i use retinol again", "retinoids-after", "Wednesday 25 November"),
        ("used my dermaroller at home 2 hours ago, when can I wear makeup", "makeup-after-home-roller", "06:00"),
    ],
)
def test_each_treatment_has_its_own_window(instance: Instance, text: str, entry_id: str, until: str) -> None:
    reply = Talk(instance).say(text)
    assert entry(reply) == entry_id
    assert until in told(reply)


def test_where_a_treatment_has_no_window_it_says_so_and_names_the_clinic(instance: Instance) -> None:
    reply = Talk(instance).say("I had PRP on sunday. when can i swim?")
    assert "no times of its own" in told(reply) and "The Face Inc" in told(reply)
    assert "not yet" not in told(reply)


def test_what_can_i_do_today_lists_what_to_avoid_to_do_and_to_see(instance: Instance) -> None:
    talk = Talk(instance)
    asked = talk.say("what can I do today?")
    assert asked["kind"] == "form"
    plan = talk.say("yesterday")["text"]
    assert "Sunday 22 November" in plan
    for words in ("Leave out for now", "swimming", "**Do**", "Usual to see", "redness", "999"):
        assert words in plan, words
    assert "retinol and other retinoids (careful advice: Monday 30 November)" in plan
    for_rf = talk.say("it was RF")["text"]
    assert "RF microneedling" in for_rf
    assert "retinol and other retinoids (careful advice: Monday 7 December)" in for_rf
    before = Talk(instance)
    before.say("my appointment is on Thursday")
    plan = before.say("what should I avoid now?")["text"]
    assert "until your appointment" in plan and "exfoliants" in plan and "swimming" not in plan


def test_a_supposed_time_is_not_remembered(instance: Instance) -> None:
    talk = Talk(instance)
    reply = talk.say("can I wear makeup 2 days after?")
    assert "3 days after the treatment" in told(reply)
    assert reply["text"] == ""
    assert talk.say("when can i wear makeup?")["answers"][0]["in_your_case"] is None


def test_what_is_no_longer_expected_sends_the_person_to_the_clinic(instance: Instance) -> None:
    reply = Talk(instance).say("I had the treatment 3 weeks ago. How long does swelling last?")
    assert entry(reply) == "swelling"
    assert reply["urgency"] == "contact_clinic"
    assert "no longer expected" in told(reply)


def test_malay_days_are_understood_and_answered_in_malay(instance: Instance) -> None:
    reply = Talk(instance).say("semalam baru buat microneedling, boleh pakai makeup tak?")
    assert "Ahad 22 November" in reply["text"]
    assert "belum boleh" in told(reply) or "biasanya boleh" in told(reply)


def test_where_the_clinic_set_no_price_it_is_said_to_be_unknown_and_staff_hear_of_it(instance: Instance) -> None:
    reply = Talk(instance).say("How much does a session cost?")
    assert entry(reply) == "price-of-a-session"
    assert "not set here" in reply["answers"][0]["text"]
    assert "staff" in reply["text"]


def test_hours_and_place_come_from_the_settings(instance: Instance) -> None:
    reply = Talk(instance).say("what time do you close and where are you")
    assert "10 am to 7 pm" in reply["text"] and "Jalan Contoh" in reply["text"]


def test_the_variants_of_a_question_are_offered_where_no_treatment_was_named(instance: Instance) -> None:
    reply = Talk(instance).say("when can i wear makeup?")
    assert any("RF" in choice["title"] for choice in reply["choices"])


def test_a_booked_session_does_not_hide_what_the_last_one_asks_for(instance: Instance) -> None:
    talk = Talk(instance)
    talk.say("I had it yesterday")
    talk.say("my next appointment is on 26 november")
    plan = talk.say("what can I do today?")["text"]
    assert "swimming" in plan
    assert "until your appointment" in plan


def test_after_a_booked_session_its_own_windows_count(instance: Instance) -> None:
    talk = Talk(instance)
    talk.say("had my treatment on 1 october")
    talk.say("my next appointment is on thursday")
    assert "not yet" in told(talk.say("when can I wear makeup on friday?"))


def test_of_two_treatments_at_once_the_longer_window_counts(instance: Instance) -> None:
    reply = Talk(instance).say("had prp and rf yesterday, when can I use retinol again?")
    assert entry(reply) == "retinoids-after-rf"


def test_a_prescribed_cream_is_never_simply_stopped(instance: Instance) -> None:
    reply = Talk(instance).say("my appointment is tomorrow, can I use my tretinoin tonight")
    assert entry(reply) == "retinoids-before"
    assert "prescriber" in told(reply)


def test_the_day_and_the_plan_can_be_asked_in_one_message(instance: Instance) -> None:
    reply = Talk(instance).say("had rf on saturday, what can I do today?")
    assert "RF microneedling" in reply["text"] and "Leave out for now" in reply["text"]
