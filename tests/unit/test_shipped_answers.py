"""The set of answers the project ships."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import pytest
import yaml

from needlepoint.clinic import read_clinic
from needlepoint.faq.files import TopicEntry, read_folder
from needlepoint.phrases import read_phrases
from needlepoint.reply import Answer, Reply
from needlepoint.safety import SELF_HARM, Assessment, SafetyFinding
from needlepoint.safety_question import FOREIGN, SURE, needs_no_question, safety_question
from needlepoint.settings import ROOT
from tests.near_duplicates import similarity

#: Everything the starting article speaks of.
SEED = """what-is-microneedling are-pores-open benefits-overview collagen-and-elastin acne-scars-benefit
wrinkles-benefit texture-and-pores dark-spots-benefit absorption-benefit retinoids-before
exfoliants-before arrive-with-clean-skin pain-tolerance-differs numbing-cream-timing
home-roller-pain what-is-normal-after redness-after-home-roller bleeding-after itch-after
makeup-after makeup-after-home-roller skincare-focus home-kit-what-is-it home-roller-does-it-work
home-roller-how-to-use home-roller-which-products price-of-the-home-kit clinic-versus-home-roller
device-types""".split()

TOPICS = """about benefits suitability preparation pain procedure side_effects aftercare home_use cost_booking
comparison urgent""".split()

PROMISES = re.compile(r"\b(guarantee[ds]?|will (cure|remove|erase)|100 ?%|miracle|completely safe)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def shipped() -> list[TopicEntry]:
    return read_folder(ROOT / "data" / "faq")


def test_everything_the_starting_article_says_has_an_answer(shipped: list[TopicEntry]) -> None:
    covered = {fact for item in shipped for fact in item.entry.covers}
    assert len(SEED) == 29
    assert set(SEED) - covered == set()


def test_every_topic_has_at_least_two_answers(shipped: list[TopicEntry]) -> None:
    counts = Counter(item.topic for item in shipped)
    assert all(counts[topic] >= 2 for topic in TOPICS), counts


def test_every_answer_has_ten_wordings_and_no_two_are_alike(shipped: list[TopicEntry]) -> None:
    for item in shipped:
        wordings = [wording for texts in item.entry.wordings.values() for wording in texts]
        assert len(wordings) >= 10, item.entry.id
        for one, other in combinations(wordings, 2):
            assert similarity(one, other) <= 0.5, (item.entry.id, one, other)


def test_the_first_choices_of_the_page_are_stored_words(shipped: list[TopicEntry]) -> None:
    stored = {text for item in shipped for texts in item.entry.wordings.values() for text in texts}
    stored |= {text.question for item in shipped for text in item.entry.version.texts.values()}
    for language in ("en", "ms"):
        phrases = yaml.safe_load((ROOT / "data" / "phrases" / f"{language}.yml").read_text())
        asked = [text for name, text in phrases.items() if name.startswith("first_ask_")]
        assert len(asked) == 4 and set(asked) <= stored, language


def test_urgent_cards_exist_in_english_and_malay_and_name_the_numbers(shipped: list[TopicEntry]) -> None:
    for item in shipped:
        if item.topic == "urgent":
            for language in ("en", "ms"):
                text = item.entry.version.texts[language]
                whole = text.answer + (text.when_to_contact or "")
                assert "{emergency_number}" in whole and "{clinic_phone}" in whole, (item.entry.id, language)


def test_no_answer_promises_a_result(shipped: list[TopicEntry]) -> None:
    for item in shipped:
        for text in item.entry.version.texts.values():
            found = PROMISES.search(re.sub(r"not (be )?guarantee\w*|no guarantee", "", text.answer))
            assert not found, (item.entry.id, found)


def test_the_price_is_the_clinics_and_stands_in_no_text(shipped: list[TopicEntry]) -> None:
    for item in shipped:
        for text in item.entry.version.texts.values():
            assert "RM 228" not in text.answer and "RM228" not in text.answer


def test_each_urgent_card_has_a_safety_question_of_its_own_that_can_be_answered_with_yes(
    shipped: list[TopicEntry],
) -> None:
    phrases = read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))
    cards = [item.entry.id for item in shipped if item.topic == "urgent"]
    for language in phrases.languages:
        asked = [safety_question(card, None, language, phrases, None, {}) for card in cards]
        assert len({reply.text for reply in asked}) == len(cards)
        assert all("?" in reply.text and "999" in reply.text and len(reply.text) < 480 for reply in asked)
        assert [reply.choices[0].token for reply in asked] == cards


def test_a_card_that_the_clinic_added_gets_the_general_safety_question() -> None:
    phrases = read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))
    assert "trouble breathing" in safety_question("a-new-card", None, "en", phrases, None, {}).text


def doubtful(card: str, *findings: str) -> Assessment:
    """An assessment in doubt about a card, with what rules found."""
    made = tuple(SafetyFinding(one, "none", ("a-rule",), ()) for one in findings)
    return Assessment(level="none", findings=made, cards=(), doubt=card, over=False, rules_version="1")


def test_a_sure_answer_or_decline_takes_the_safety_questions_place_but_not_with_thoughts_of_self_harm() -> None:
    sure, foreign = Reply("answer", "aftercare", confidence=SURE), Reply("decline", "out_of_scope", confidence=0.01)
    for reply in (sure, foreign):
        assert needs_no_question(reply, doubtful("bleeding-slow"))
        assert not needs_no_question(reply, doubtful(SELF_HARM))
    assert needs_no_question(sure, doubtful("bleeding-slow", "bleeding"))
    card = Answer(entry_id="bleeding-slow", version=1, language="en", question="?", text="Press.")
    assert needs_no_question(Reply("answer", "urgent", answers=[card], confidence=0.7), doubtful("bleeding-slow"))
    assert not needs_no_question(foreign, doubtful("bleeding-slow", "bleeding")), "what a rule found is asked after"
    for less in (
        Reply("answer", "aftercare", confidence=SURE - 0.01),
        Reply("answer", "aftercare"),
        Reply("answer", "urgent", confidence=1.0),
        Reply("clarify", "aftercare", confidence=1.0),
        Reply("decline", "out_of_scope", confidence=FOREIGN),
        Reply("decline", "human"),
    ):
        assert not needs_no_question(less, doubtful("bleeding-slow"))


def test_the_card_of_self_harm_that_the_code_names_exists(shipped: list[TopicEntry]) -> None:
    assert SELF_HARM in {item.entry.id for item in shipped if item.topic == "urgent"}
