"""The evaluation messages are what they claim to be: frozen, apart from the training data, many, and well labelled."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy.sparse import csr_array

from needlepoint.evaluation.items import (
    AnswerConversation,
    AnswerTurn,
    Item,
    Paraphrase,
    SafetyConversation,
    SafetyTurn,
    read_items,
)
from needlepoint.evaluation.safety_report import URGENT
from needlepoint.faq.files import TopicEntry, read_folder
from needlepoint.safety import LEVELS
from needlepoint.settings import ROOT
from tests.near_duplicates import similarity

FOLDER = Path(__file__).parent
FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.glob("*/*.jsonl"))
TEST_FILES = [name for name in FILES if name.endswith("-test.jsonl")]

#: SHA-256 of each test half as it was committed, before anything was changed for it.
FROZEN = {
    "answers/conversations-test.jsonl": "ba66565bfd58a1de3ec581ab57c58cbfcbad71e9ff8fd0cf538472678c94b6a0",
    "answers/messages-test.jsonl": "92e7ac3912eec5ab1649b766ee1df973c65dcdc5ecd54016dfe10d5719dd1fc2",
    "answers/paraphrases-test.jsonl": "3178c5b02927775c543376339f79a838b279f585293bdc0927c3b8a430e4c8f1",
    "safety/conversations-test.jsonl": "5e386cb08caa9c90c619f53f7fa56dd2dac8e041a09306926cb719a02190e5d6",
    "safety/messages-test.jsonl": "bcd70742f603e2e5d15d337c3760da4d2b6b3c81b9448a86e0bd506f0c10c1c4",
}

#: Texts sharing more of their 4-grams than this are one text told twice.
ALIKE = 0.5

#: What `expect` may name besides entries (tests/evaluation/README.md).
OF_MESSAGES = {"@decline", "@smalltalk", "@human", "@clinic", "@today"}
OF_TURNS = OF_MESSAGES | {"@when", "@any"}


def items_of(*names: str) -> list[Any]:
    return [item for name in names for item in read_items(FOLDER / name)[1]]


def halves(of: str) -> list[Any]:
    """The items of the development and the test file, such as of `safety/messages`."""
    return items_of(f"{of}-development.jsonl", f"{of}-test.jsonl")


def parts_of(item: Item) -> Sequence[Paraphrase | SafetyTurn | AnswerTurn]:
    return item.turns if isinstance(item, SafetyConversation | AnswerConversation) else [item]


def texts_of(name: str) -> list[str]:
    return [part.text for item in items_of(name) for part in parts_of(item)]


def grams(texts: Sequence[str], columns: dict[str, int]) -> csr_array:
    """A row of ones and zeros for each text: which of the lower-cased character 4-grams it has."""
    rows, cols = [], []
    for row, text in enumerate(map(str.lower, texts)):
        for gram in {text[start : start + 4] for start in range(max(1, len(text) - 3))}:
            rows.append(row)
            cols.append(columns.setdefault(gram, len(columns)))
    return csr_array((np.ones(len(rows), dtype=np.float32), (rows, cols)), shape=(len(texts), 2**18))


def similarities(some: Sequence[str], others: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """For each of `some`, in order, its `tests.near_duplicates.similarity` with each of `others`."""
    columns: dict[str, int] = {}
    first, second = grams(some, columns), grams(others, columns)
    first_sizes, second_sizes = first.sum(axis=1), second.sum(axis=1)
    turned = second.T.tocsr()
    for start in range(0, len(some), 200):  # in parts, so that it stays small in memory
        shared = (first[start : start + 200] @ turned).toarray()
        yield from shared / (first_sizes[start : start + 200, None] + second_sizes[None, :] - shared)


def alike(some: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    """Each of `some` that is too near to one of `others`, with its nearest."""
    rows = zip(some, similarities(some, others), strict=True)
    return [(text, others[int(row.argmax())]) for text, row in rows if row.max() > ALIKE]


@pytest.fixture(scope="module")
def entries() -> list[TopicEntry]:
    return read_folder(ROOT / "data" / "faq")


@pytest.fixture(scope="module")
def trained_answers(entries: list[TopicEntry]) -> list[str]:
    """All that search and classifier learn from: wordings, questions and the examples of the intents."""
    texts = [text for item in entries for wordings in item.entry.wordings.values() for text in wordings]
    texts += [text.question for item in entries for text in item.entry.version.texts.values()]
    for file in sorted((ROOT / "data" / "nlu").glob("*.yml")):
        for intent in yaml.safe_load(file.read_text(encoding="utf-8"))["nlu"]:
            texts += [line.removeprefix("- ") for line in intent["examples"].splitlines()]
    return texts


def near_training() -> set[str]:
    """What two people write alike ("assalamualaikum", "opening hours pls"): there when the files were frozen, and
    nothing may join it."""
    return set((FOLDER / "near_training.txt").read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def ranking_messages() -> list[dict[str, Any]]:
    """The messages that sentence model and classifier over the entries learn from."""
    lines = (ROOT / "data" / "ranking" / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def trained_safety() -> list[str]:
    """The examples that the second reader learns from."""
    lines = (ROOT / "data" / "safety" / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def test_the_test_halves_are_as_they_were_frozen() -> None:
    assert {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in TEST_FILES} == FROZEN


def test_likeness_is_measured_as_everywhere_in_these_tests() -> None:
    some, others = texts_of("safety/messages-test.jsonl")[:30], ["", "pus", "Is PUS ok?", "my lips are swollen"]
    for text, row in zip([*some, *others], similarities([*some, *others], others), strict=True):
        assert row == pytest.approx([similarity(text, other) for other in others], abs=1e-6)


@pytest.mark.parametrize("name", FILES)
def test_no_two_texts_of_a_file_are_alike(name: str) -> None:
    texts = texts_of(name)
    pairs = [
        (text, texts[at])
        for number, (text, row) in enumerate(zip(texts, similarities(texts, texts), strict=True))
        for at in np.flatnonzero(row > ALIKE)
        if at > number
    ]
    assert not pairs


@pytest.mark.parametrize(
    "name", ["safety/conversations-test.jsonl", "safety/messages-test.jsonl", "safety/messages-unseen.jsonl"]
)
def test_no_safety_test_text_is_near_to_one_the_second_reader_learns_from(
    name: str, trained_safety: list[str], trained_answers: list[str]
) -> None:
    assert {text for text, _ in alike(texts_of(name), trained_safety + trained_answers)} <= near_training()


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("answers/")])
def test_hardly_a_text_about_answers_is_near_to_one_that_search_learns_from(
    name: str, trained_answers: list[str]
) -> None:
    assert {text for text, _ in alike(texts_of(name), trained_answers)} <= near_training()


@pytest.mark.parametrize("name", FILES)
def test_no_evaluated_text_is_near_to_one_the_ranking_learns_from(
    name: str, ranking_messages: list[dict[str, Any]]
) -> None:
    assert not alike(texts_of(name), [one["text"] for one in ranking_messages])


def test_the_follow_ups_that_the_ranking_learns_from_are_nobodys_else_and_come_after_shipped_questions(
    entries: list[TopicEntry],
) -> None:
    lines = (ROOT / "data" / "ranking" / "follow_ups.jsonl").read_text(encoding="utf-8").splitlines()
    follow_ups = [json.loads(line) for line in lines]
    texts = [one["text"] for one in follow_ups]
    assert not [name for name in FILES if alike(texts_of(name), texts)]
    questions = {item.entry.id: item.entry.version.texts["en"].question for item in entries}
    assert [one["question"] for one in follow_ups] == [questions[one["before"]] for one in follow_ups]
    assert {label for one in follow_ups for label in one["expect"]} <= set(questions) | OF_MESSAGES
    assert set(questions) - {one["before"] for one in follow_ups} == {
        item.entry.id for item in entries if item.topic == "urgent"
    }


def test_no_stored_wording_is_near_to_one_the_ranking_learns_from(
    trained_answers: list[str], ranking_messages: list[dict[str, Any]], entries: list[TopicEntry]
) -> None:
    """Else a wording that is hidden in the ten-fold test would still be known."""
    wordings = [text for item in entries for texts in item.entry.wordings.values() for text in texts]
    assert not alike(wordings, [one["text"] for one in ranking_messages])


def test_the_ranking_learns_every_answer_from_many_messages_that_differ(
    ranking_messages: list[dict[str, Any]], entries: list[TopicEntry]
) -> None:
    known = {item.entry.id for item in entries} | OF_MESSAGES
    assert {label for one in ranking_messages for label in one["expect"]} <= known
    counts = Counter(one["expect"][0] for one in ranking_messages)
    assert not [item.entry.id for item in entries if item.topic != "urgent" and counts[item.entry.id] < 50]
    texts = [one["text"] for one in ranking_messages]
    rows = enumerate(similarities(texts, texts))
    assert not [texts[number] for number, row in rows if (row > ALIKE).sum() > 1]


def test_there_are_enough_messages_about_safety() -> None:
    urgent = [item for item in halves("safety/messages") if item.level in URGENT]
    assert len(urgent) >= 700
    assert len(halves("safety/messages")) - len(urgent) >= 700
    assert len(halves("safety/conversations")) >= 60
    assert sum(item.level in URGENT for item in items_of("safety/messages-test.jsonl")) >= 300


def test_there_are_enough_messages_about_answers() -> None:
    messages = halves("answers/messages")
    assert len(messages) >= 800
    assert len(halves("answers/conversations")) >= 80
    assert sum(item.expect == ["@decline"] for item in messages) >= 150


def unknown(expected: Iterable[Any], known: set[str]) -> set[str]:
    return {name for part in expected for name in part.expect} - known


def test_every_expected_answer_is_an_entry_or_a_known_outcome(entries: list[TopicEntry]) -> None:
    ids = {item.entry.id for item in entries}
    assert not unknown(halves("answers/messages"), ids | OF_MESSAGES)
    turns = [turn for talk in halves("answers/conversations") for turn in parts_of(talk)]
    assert not unknown(turns, ids | OF_TURNS)
    assert all(part.expect for part in [*halves("answers/messages"), *turns])


def test_every_level_is_known_and_every_urgent_one_has_a_card_that_exists(entries: list[TopicEntry]) -> None:
    cards = {item.entry.id for item in entries if item.topic == "urgent"}
    items = [*halves("safety/messages"), *halves("safety/conversations")]
    parts: list[Any] = [part for item in items for part in parts_of(item)]
    assert {part.level for part in parts} == set(LEVELS)
    assert not {part.card for part in parts if part.card} - cards
    assert not [part.text for part in parts if part.level in URGENT and not part.card]
