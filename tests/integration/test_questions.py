"""Questions in people's own words, asked over HTTP of the really trained model.

The wording of `questions.yml` was written by somebody who had not seen the stored wordings or the safety rules. It is
a test set: nothing is tuned on it, and no message of it may be in the training data.
"""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from needlepoint.settings import ROOT
from tests.near_duplicates import similarity
from tests.running import Instance

QUESTIONS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "questions.yml").read_text())

#: Lowest shares that pass, with room for a retrained model's noise below what docs/evaluation.md reports.
FLOORS = {"right": 0.50, "right or offered": 0.75}
#: Highest share of wrong answers among questions that have one.
WRONG_AT_MOST = 0.15


def asked(instance: Instance, question: dict[str, Any]) -> dict[str, Any]:
    """The outcome of one question in a conversation of its own."""
    return instance.conversation().say(question["text"])


@pytest.fixture(scope="module")
def outcomes(instance: Instance) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every question with its outcome."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(zip(QUESTIONS, pool.map(lambda question: asked(instance, question), QUESTIONS), strict=True))


def of_kind(outcomes: list[tuple[dict[str, Any], dict[str, Any]]], kind: str) -> list[tuple[dict[str, Any], Any]]:
    """The questions that should end like this, with the Reply they got."""
    return [(question, outcome["reply"]) for question, outcome in outcomes if question["kind"] == kind]


def test_at_least_forty_questions_are_asked() -> None:
    assert Counter(question["kind"] for question in QUESTIONS)["answer"] >= 40


def test_no_question_is_in_the_training_data() -> None:
    trained = [
        wording
        for file in sorted((ROOT / "data" / "faq").glob("*.yml"))
        for entry in yaml.safe_load(file.read_text())["entries"]
        for wordings in entry["wordings"].values()
        for wording in wordings
    ]
    for file in sorted((ROOT / "data" / "nlu").glob("*.yml")):
        for item in yaml.safe_load(file.read_text())["nlu"]:
            trained += [line[2:] for line in item["examples"].splitlines()]
    for question in QUESTIONS:
        nearest = max(trained, key=lambda wording: similarity(question["text"], wording))
        assert similarity(question["text"], nearest) <= 0.5, (question["text"], nearest)


def test_most_questions_get_the_right_entry_and_few_a_wrong_one(outcomes: Any) -> None:
    verdicts: Counter[str] = Counter()
    lines = []
    for question, reply in of_kind(outcomes, "answer"):
        given = [answer["entry_id"] for answer in reply["answers"]]
        if set(given) & set(question["expect"]):
            verdict = "right"
        elif reply["kind"] == "clarify":
            verdict = "clarified"
        elif given:
            verdict = "wrong"
        else:
            verdict = "declined"
        verdicts[verdict] += 1
        if verdict != "right":
            lines.append(f"{verdict:9} {question['text'][:70]!r} expected {question['expect'][0]}, got {given or '-'}")
    total = sum(verdicts.values())
    print(f"\n{total} questions: {dict(verdicts)}\n" + "\n".join(lines))
    assert verdicts["right"] / total >= FLOORS["right"]
    assert (verdicts["right"] + verdicts["clarified"]) / total >= FLOORS["right or offered"]
    assert verdicts["wrong"] / total <= WRONG_AT_MOST


def test_questions_about_something_else_are_declined(outcomes: Any) -> None:
    answered = [question["text"] for question, reply in of_kind(outcomes, "decline") if reply["answers"]]
    assert not answered


def test_red_flags_get_their_card(outcomes: Any) -> None:
    order = ["none", "contact_clinic", "same_day", "emergency_now"]
    for question, reply in of_kind(outcomes, "urgent"):
        assert reply["kind"] == "urgent", question["text"]
        assert order.index(reply["urgency"]) >= order.index(question["urgency"]), question["text"]


def test_who_asks_for_a_person_is_promised_one(outcomes: Any) -> None:
    for question, reply in of_kind(outcomes, "handover"):
        assert reply["kind"] == "handover", question["text"]


def test_small_talk_is_answered_as_such(outcomes: Any) -> None:
    for question, reply in of_kind(outcomes, "smalltalk"):
        assert reply["kind"] == "smalltalk", question["text"]
