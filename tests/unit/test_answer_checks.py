"""`needlepoint faq check`: what it finds wrong with answers, and that it finds it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from needlepoint.clinic import read_clinic
from needlepoint.faq import check
from needlepoint.faq.files import EntryInFile, Timing, TopicEntry, read_folder
from needlepoint.faq.plain_language import read_terms, reading_grade
from needlepoint.faq.search import VectorCache
from needlepoint.located import FileError
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.safety import SafetyRules
from needlepoint.settings import ROOT
from sentence_encoder import SentenceEncoder

DATA = ROOT / "data"


@pytest.fixture(scope="module")
def shipped() -> list[TopicEntry]:
    return read_folder(DATA / "faq")


@pytest.fixture(scope="module")
def phrases() -> Phrases:
    return read_phrases(DATA / "phrases", read_clinic(ROOT / "clinic.toml"))


@pytest.fixture(scope="module")
def rules() -> SafetyRules:
    return SafetyRules.load(DATA / "safety")


def found_in(entries: list[TopicEntry], rules: SafetyRules, phrases: Phrases) -> list[FileError]:
    facts = check.read_fact_ids(DATA / "faq" / "fact-ids.txt")
    return check.problems(entries, rules, DATA / "safety", phrases, read_terms(DATA / "plain_terms.yml"), facts)


def with_answer(item: TopicEntry, answer: str) -> TopicEntry:
    text = msgspec.structs.replace(item.entry.version.texts["en"], answer=answer)
    version = msgspec.structs.replace(item.entry.version, texts=item.entry.version.texts | {"en": text})
    return with_entry(item, version=version)


def with_entry(item: TopicEntry, **changes: object) -> TopicEntry:
    entry: EntryInFile = msgspec.structs.replace(item.entry, **changes)
    return msgspec.structs.replace(item, entry=entry)


def test_the_shipped_answers_have_nothing_wrong(
    shipped: list[TopicEntry], rules: SafetyRules, phrases: Phrases
) -> None:
    assert found_in(shipped, rules, phrases) == []


def test_all_181_facts_are_covered_by_an_answer_of_their_own_name(shipped: list[TopicEntry]) -> None:
    facts = check.read_fact_ids(DATA / "faq" / "fact-ids.txt")
    assert len(facts) == len(set(facts)) == 181
    assert {fact for item in shipped for fact in item.entry.covers} == set(facts)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("One word is too many. " * 20, "words outside the list"),
        ("Yes.\n\n- one\n- two\n\nAnd:\n\n- three\n- four\n", "more than one list"),
        ("Yes.\n\n" + "- a long item with many small words in it\n" * 9, "the list has"),
        (
            "Notwithstanding considerable inflammatory manifestations, subsequent epithelialisation "
            "characteristically necessitates individualised professional reconsideration.",
            "reading grade",
        ),
    ],
)
def test_an_answer_that_is_too_long_or_too_hard_is_named(
    shipped: list[TopicEntry], rules: SafetyRules, phrases: Phrases, answer: str, complaint: str
) -> None:
    found = found_in([with_answer(shipped[0], answer), *shipped[1:]], rules, phrases)
    assert len(found) == 1
    assert shipped[0].entry.id in str(found[0]) and complaint in str(found[0])


def test_a_fact_without_answer_and_an_answer_without_fact_are_named(
    shipped: list[TopicEntry], rules: SafetyRules, phrases: Phrases
) -> None:
    renamed = with_entry(shipped[0], id="no-such-fact", covers=["no-such-fact"])
    found = "\n".join(map(str, found_in([renamed, *shipped[1:]], rules, phrases)))
    assert f"no answer covers the fact `{shipped[0].entry.id}`" in found
    assert "covers `no-such-fact`, which is no fact" in found


def test_dead_references_are_named(shipped: list[TopicEntry], rules: SafetyRules, phrases: Phrases) -> None:
    alone = with_entry(shipped[0], variant_group="nobody-else")
    assert "alone in the variant group" in str(found_in([alone, *shipped[1:]], rules, phrases)[0])
    timing = [Timing(phase="after", activity="juggling", rule="avoid", to_hours=1)]
    unnamed = with_entry(shipped[0], version=msgspec.structs.replace(shipped[0].entry.version, timing=timing))
    assert "activity_juggling" in str(found_in([unnamed, *shipped[1:]], rules, phrases)[0])
    without_cards = [item for item in shipped if item.topic != "urgent"]
    assert "which does not exist" in "\n".join(map(str, found_in(without_cards, rules, phrases)))


def test_too_few_wordings_are_named(shipped: list[TopicEntry], rules: SafetyRules, phrases: Phrases) -> None:
    item = with_entry(shipped[0], wordings={"en": shipped[0].entry.wordings["en"][:9]})
    assert "has 9 wordings" in str(found_in([item, *shipped[1:]], rules, phrases)[0])


def test_wordings_of_two_entries_that_mean_the_same_are_named(shipped: list[TopicEntry], tmp_path: Path) -> None:
    one = with_entry(shipped[0], wordings={"en": ["when can i wear makeup again"]}, variant_group=None)
    other = with_entry(shipped[1], wordings={"en": ["When can I wear makeup again??"]}, variant_group=None)
    encoder = SentenceEncoder.load()
    found = check.too_close([one, other], encoder, VectorCache(tmp_path / "vectors.npz"))
    assert len(found) == 1 and "means the same" in str(found[0])
    group = [with_entry(item, variant_group="makeup") for item in (one, other)]
    assert check.too_close(group, encoder, VectorCache(tmp_path / "vectors.npz")) == []


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        # By hand: 0.39 * words / sentences + 11.8 * syllables / words - 15.59.
        ("The cat sat on the mat.", 0.39 * 6 + 11.8 * 6 / 6 - 15.59),
        ("The cat sat. The dog ran.", 0.39 * 3 + 11.8 * 6 / 6 - 15.59),
        ("- the cat\n- the dog\n", 0.39 * 2 + 11.8 * 4 / 4 - 15.59),
        ("Call {clinic_phone} now.", 0.39 * 3 + 11.8 * 4 / 3 - 15.59),
        ("Take **ibuprofen** now.", 0.39 * 3 + 11.8 * 4 / 3 - 15.59),
    ],
)
def test_the_reading_grade_is_that_of_flesch_and_kincaid(text: str, grade: float) -> None:
    assert np.isclose(reading_grade(text, ["ibuprofen"]), grade)
