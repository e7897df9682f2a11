"""The suitability check without anything running: what an answer means, what is asked, and how it ends."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from functools import cache

import msgspec
import pytest

from needlepoint.answering import suitability_check as check
from needlepoint.answering.answerer import Answered
from needlepoint.answering.question import Question
from needlepoint.clinic import Policies, read_clinic
from needlepoint.faq.files import read_folder
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.reply import Answer, Reply
from needlepoint.settings import ROOT
from needlepoint.yes_or_no import asks, read_answer

CLINIC = read_clinic(ROOT / "clinic.toml")
PHRASES = read_phrases(ROOT / "data" / "phrases", CLINIC)
ASKED_AT = datetime(2026, 11, 26, 4, tzinfo=UTC)

#: What would be a verdict, or sound like one.
VERDICT = re.compile(
    r"you can|you may|suitable|suits you|safe (for|to)|go ahead|fine for you|no problem|you are ok|eligible|qualif"
    r"|anda boleh|sesuai|selamat|boleh buat|tiada masalah|layak|teruskan rawatan",
    re.IGNORECASE,
)
#: What would tell somebody to stop a medicine.
STOPPING = re.compile(
    r"\b(stop|pause|skip|discontinue|leave out|berhenti|hentikan|tangguhkan)\b(?! this check)", re.IGNORECASE
)


def hear(
    text: str = "",
    requested: str | None = "suitability_diabetes",
    slots: dict[str, str] | None = None,
    would_be: Reply | None = None,
    **question: object,
) -> dict[str, str | None] | None:
    asked = Question(text=text, vector=None, **question)  # type: ignore[arg-type]
    nothing = Reply(kind="decline", topic="out_of_scope")
    known = {"suitability_treatment": "rf_microneedling", check.REQUESTED: requested, **(slots or {})}
    return check.heard(asked, known, 18, lambda _: Answered(would_be or nothing))


def answer_about(*entries: str) -> Reply:
    return Reply(kind="answer", topic="suitability", answers=[Answer(one, 1, "en", "?", "text") for one in entries])


# -- reading an answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "Yes.", "ya", "YA!", "yup", "yes lah", "yesss", "ada", "yes doctor", "i do", "I have", "betul"),
        *("yes but long ago", "used to, stopped 3 months ago", "3 months ago", "no, stopped 3 months ago"),
        *("pernah dulu", "dah stop 2 bulan", "not anymore", "no longer", "sometimes", "last year", "5 months"),
        *("tak, tapi dulu pernah", "i used to", "Yes, both", "ya saya ada"),
    ],
)
def test_a_yes_is_a_yes_and_so_is_a_no_with_something_to_tell(text: str) -> None:
    assert read_answer(text) == "yes"


@pytest.mark.parametrize(
    "text",
    [
        *("no", "No.", "nope", "n", "x", "tak", "tidak", "takde", "tak ada", "never", "tiada", "no lah", "nooo"),
        *("i don't", "I have never", "no, none of them", "tak pernah", "x pernah", "belum", "bukan", "not at all"),
        *("saya tak ada", "no i don't have that", "I do not", "no, not in the last 12 months", "no?"),
    ],
)
def test_a_no_is_a_no(text: str) -> None:
    assert read_answer(text) == "no"


@pytest.mark.parametrize(
    "text",
    [
        *("not sure", "I'm not sure", "unsure", "tak pasti", "x pasti", "dunno", "i don't know", "skip", "maybe"),
        *("no idea", "tak tahu", "entah lah", "mungkin", "not really", "i think so", "I don't think so", "langkau"),
        *("can't remember", "tidak pasti", "i don't remember"),
    ],
)
def test_doubt_is_not_sure(text: str) -> None:
    assert read_answer(text) == "unsure"


@pytest.mark.parametrize(
    "text",
    ["stop", "Stop!", "cancel", "tak nak", "taknak", "stop it please", "berhenti", "batal", "never mind", "quit",
     "i want to stop", "tak nak dah", "x nak", "enough", "stop asking me", "saya nak berhenti", "i don't want to"],
)  # fmt: skip
def test_a_stop_is_a_stop(text: str) -> None:
    assert read_answer(text) == "stop"


@pytest.mark.parametrize(
    "text",
    ["does it hurt?", "sakit tak", "boleh tak", "no, can I swim?", "what is rf", "tak sakit ke", "ok", "banana", "",
     "how do I stop the bleeding", "no worries", "should i stop my medicine", "!!!", "berapa harga", "ya ke?",
     "is it normal", "warfarin", "no thanks"],
)  # fmt: skip
def test_what_is_no_answer_is_not_read_as_one(text: str) -> None:
    assert read_answer(text) is None


def test_a_question_is_known_with_and_without_its_mark() -> None:
    assert asks("sakit tak") and asks("does it hurt") and asks("RF?") and asks("do i need numbing cream")
    assert not asks("I do not") and not asks("tak") and not asks("i take warfarin")


# -- hearing ---------------------------------------------------------------------------------------------------------


def test_only_yes_no_or_unsure_is_kept_of_what_was_written() -> None:
    heard = hear("used to, stopped 3 months ago on Dr Lim's advice", "suitability_isotretinoin")
    assert heard == {"suitability_isotretinoin": "yes", check.NOTE: None}


@pytest.mark.parametrize(("text", "said"), [("17", "yes"), ("I'm 25", "no"), ("17 turning 18", "yes"), ("no", "no")])
def test_an_age_answers_whether_somebody_is_under_age(text: str, said: str) -> None:
    assert hear(text, "suitability_age") == {"suitability_age": said, check.NOTE: None}


def test_a_man_need_not_be_asked_twice_about_pregnancy() -> None:
    assert hear("I'm a man", "suitability_pregnancy") == {"suitability_pregnancy": "no", check.NOTE: None}


def test_a_statement_about_the_very_point_is_a_yes_and_a_denied_one_is_asked_again() -> None:
    about = answer_about("blood-thinners")
    assert hear("on warfarin", "suitability_blood", would_be=about) == {"suitability_blood": "yes", check.NOTE: None}
    assert hear("what about warfarin?", "suitability_blood", would_be=about) is None
    assert hear("warfarin, not me", "suitability_blood", would_be=about) is None


@pytest.mark.parametrize(
    ("text", "entities", "said"),
    [
        ("RF", ["rf_microneedling"], "rf_microneedling"),
        ("rf needling", ["rf_microneedling", "clinic_microneedling"], "rf_microneedling"),
        ("prp or rf", ["prp", "rf_microneedling"], "unsure"),
        ("the clinic one", [], "clinic_microneedling"),
        ("tak pasti", [], "unsure"),
    ],
)
def test_the_treatment_can_be_typed(text: str, entities: list[str], said: str) -> None:
    heard = hear(text, check.TREATMENT, entities={"treatment": entities})
    assert heard == {check.TREATMENT: said, check.NOTE: None}


def test_a_question_about_a_treatment_does_not_choose_it() -> None:
    about = answer_about("what-is-rf")
    assert hear("what is rf?", check.TREATMENT, would_be=about, entities={"treatment": ["rf_microneedling"]}) is None


def test_something_else_is_left_to_others() -> None:
    assert hear("does it hurt?", would_be=answer_about("pain-level")) is None
    assert hear("who won the match?") is None
    assert hear("thank you", intents={"chitchat_thanks": 0.9}) is None
    assert hear("a real person please", intents={"ask_human": 0.9}) is None
    assert hear(choice="makeup-after") is None


def test_what_concerns_safety_is_never_swallowed_as_an_answer() -> None:
    assert hear("yes, and my skin is hot", safety_level="contact_clinic") is None
    assert hear("no", safety_level="contact_clinic") == {"suitability_diabetes": "no", check.NOTE: None}


def test_the_second_misunderstanding_in_a_row_is_taken_for_not_sure() -> None:
    assert hear("banana") == {check.NOTE: "unclear"}
    assert hear("banana", slots={check.NOTE: "unclear"}) == {
        "suitability_diabetes": "unsure",
        check.NOTE: "assumed",
    }


def test_buttons_answer_their_own_question_also_later() -> None:
    assert hear(choice="suitability:diabetes:no") == {"suitability_diabetes": "no", check.NOTE: None}
    assert hear(choice="suitability:keloid:yes") == {"suitability_keloid": "yes", check.NOTE: None}
    assert hear(choice=check.STOP) == {check.NOTE: "stopped"}
    assert hear(choice="suitability:diabetes:perhaps") is None
    assert hear(choice="suitability:nothing:yes") is None


def test_a_treatment_named_at_the_start_is_not_asked_for_again() -> None:
    opening = hear("is rf for me", None, {check.TREATMENT: ""}, entities={"treatment": ["rf_microneedling"]})
    assert opening == {check.NOTE: "opened", check.TREATMENT: "rf_microneedling"}
    # "Microneedling" is also the word for all of it.
    opening = hear("can I do it", None, {check.TREATMENT: ""}, entities={"treatment": ["clinic_microneedling"]})
    assert opening == {check.NOTE: "opened"}


# -- asking ----------------------------------------------------------------------------------------------------------


def test_metal_is_asked_about_only_where_radio_energy_may_be_used() -> None:
    assert "suitability_metal" in check.required({check.TREATMENT: "rf_microneedling"})
    assert "suitability_metal" in check.required({check.TREATMENT: "unsure"})
    assert "suitability_metal" not in check.required({check.TREATMENT: "clinic_microneedling"})
    assert "suitability_metal" not in check.required({check.TREATMENT: "prp"})


@pytest.mark.parametrize("language", ["en", "ms"])
@pytest.mark.parametrize("slot", check.required({check.TREATMENT: "rf_microneedling"}))
def test_every_question_has_its_words_and_buttons(slot: str, language: str) -> None:
    reply = check.ask(slot, {check.TREATMENT: "rf_microneedling"}, PHRASES, language)
    assert reply.kind == "form" and reply.topic == "suitability"
    assert "{" not in reply.text and reply.text.count("?") == 1
    assert len({choice.token for choice in reply.choices}) == len(reply.choices) >= 4
    assert reply.choices[-1].token == check.STOP
    assert all(len(choice.token.encode()) <= 64 and ":" in choice.token for choice in reply.choices)


def test_the_age_that_is_asked_about_is_the_clinics_own() -> None:
    def phrases(minimum: str | None) -> Phrases:
        clinic = msgspec.structs.replace(CLINIC, policies=Policies(minimum_age=minimum))
        return read_phrases(ROOT / "data" / "phrases", clinic)

    assert check.least_age_of(phrases(None)) == 18
    assert check.least_age_of(phrases("21 years")) == 21
    assert check.least_age_of(phrases("16 with a parent")) == 18
    assert "21" in check.ask("suitability_age", {}, phrases("21"), "en").text


def test_every_point_knows_answers_that_exist() -> None:
    known = {item.entry.id for item in read_folder(ROOT / "data" / "faq")}
    assert set().union(*(point.entries for point in check.POINTS)) <= known
    assert not any(":" in entry for entry in known), "reserved ids of choices have a colon, ids of entries have none"


# -- the end ---------------------------------------------------------------------------------------------------------


class Remembered(Phrases):
    """Phrases that are filled in once, so that a hundred thousand texts are built in seconds."""

    say = cache(Phrases.say)  # type: ignore[assignment]
    date = cache(Phrases.date)  # type: ignore[assignment]


@pytest.mark.parametrize(("language", "treatment"), [("en", "rf_microneedling"), ("ms", "prp")])
def test_the_end_is_never_a_verdict_whatever_was_answered(
    language: str, treatment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 3^n combinations. No sentence runs over a line's end, so each different line is looked at once."""
    phrases = Remembered({one: PHRASES._texts[one] for one in PHRASES.languages}, CLINIC)
    monkeypatch.setattr(check, "least_age_of", lambda _: 18)
    points = check.points_for(treatment)
    lines: set[str] = set()
    count = 0
    for said in itertools.product(["yes", "no", "unsure"], repeat=len(points)):
        slots = {point.slot: one for point, one in zip(points, said, strict=True)} | {check.TREATMENT: treatment}
        text = check.summary_text(slots, phrases, language, ASKED_AT)
        # Each point that came up stands there twice: with the reason, and in the summary to take along.
        assert text.count("\n- ") + text.startswith("- ") == 2 + 2 * (len(said) - said.count("no"))
        assert text.count(CLINIC.phone) == 1
        lines.update(text.split("\n"))
        count += 1
    assert count == 3 ** len(points)
    for line in lines:
        assert not VERDICT.search(line), line
        assert not STOPPING.search(line), line


def test_the_summary_says_what_came_up_why_and_what_to_take_along() -> None:
    slots = {point.slot: "no" for point in check.POINTS}
    slots |= {check.TREATMENT: "rf_microneedling", "suitability_blood": "yes", "suitability_metal": "unsure"}
    reply = check.summary(slots, PHRASES, "en", ASKED_AT)
    assert reply.kind == "form" and reply.topic == "suitability" and reply.choices == []
    above, along = reply.text.split("**To take along to the clinic**")
    assert "please discuss these points with the clinician before you book" in above.lower()
    assert "Keep taking it as prescribed" in above
    assert "radio energy" in above and "Diabetes" not in reply.text
    assert along.strip().splitlines() == [
        "- Date: Thursday 26 November 2026",
        "- Treatment: RF microneedling",
        "- Blood thinner, daily aspirin or bleeding disorder: yes",
        "- Implant, metal, silicone or filler: not sure",
    ]


def test_nothing_came_up_is_no_verdict_either() -> None:
    slots = {point.slot: "no" for point in check.POINTS} | {check.TREATMENT: "prp"}
    text = check.summary_text(slots, PHRASES, "en", ASKED_AT)
    assert "None of these points came up" in text
    assert "decides nothing" in text and "clinician" in text
    assert text.splitlines()[-2:] == ["- Date: Thursday 26 November 2026", "- Treatment: Microneedling with PRP"]


def test_a_stopped_check_keeps_what_was_answered_and_can_go_on() -> None:
    reply = check.stopped({check.TREATMENT: "prp"}, PHRASES, "en")
    assert [choice.token for choice in reply.choices] == [check.START, check.AGAIN]
    assert not VERDICT.search(reply.text)
    resumed = hear("am i suitable", None, {check.TREATMENT: "prp"})
    assert resumed == {check.NOTE: "resumed"}
