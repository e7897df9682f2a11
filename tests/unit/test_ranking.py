"""Which entry a question is about: the evidence, its weights, and the files they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from needlepoint.answering.ranking import (
    EVIDENCE,
    EVIDENCE_ELSEWHERE,
    Clues,
    EntryClassifier,
    Ranker,
    RankingError,
    Weights,
    read_weights,
)
from needlepoint.faq.published import Published, PublishedEntry
from needlepoint.faq.search import SearchIndex, VectorCache
from needlepoint.reply import Answer
from needlepoint.settings import ROOT
from sentence_encoder import SentenceEncoder

FOLDER = ROOT / "data" / "ranking"


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load()


@pytest.fixture(scope="module")
def classifier(encoder: SentenceEncoder) -> EntryClassifier:
    return EntryClassifier.load(FOLDER / "classifier.npz", encoder.digest)


@pytest.fixture(scope="module")
def weights(classifier: EntryClassifier) -> Weights:
    return read_weights(FOLDER / "weights.json", classifier)


def entry(name: str, topic: str, treatments: list[str], *wordings: str) -> PublishedEntry:
    answer = Answer(entry_id=name, version=1, language="en", question=wordings[0], text="An answer.")
    return PublishedEntry(name, topic, treatments, None, None, {"en": answer}, {"en": []}, list(wordings))


@pytest.fixture(scope="module")
def ranker(
    encoder: SentenceEncoder, classifier: EntryClassifier, weights: Weights, tmp_path_factory: pytest.TempPathFactory
) -> Ranker:
    entries = [
        entry("makeup-after", "aftercare", ["clinic_microneedling"], "When can I wear makeup?", "foundation when"),
        entry("makeup-after-rf", "aftercare", ["rf_microneedling"], "When can I wear makeup after RF?"),
        entry("does-it-hurt", "pain", ["clinic_microneedling"], "Does microneedling hurt?", "is it painful"),
        entry("tea-in-the-lounge", "procedure", ["any"], "Is there tea in the lounge?", "do you serve hot drinks"),
    ]
    published = Published(revision=1, withdrawn=False, entries=entries, withheld=[], unapproved=4)
    cache = VectorCache(tmp_path_factory.mktemp("cache") / "vectors.npz")
    return Ranker(SearchIndex(published, encoder, cache), classifier, weights)


def clues(encoder: SentenceEncoder, text: str, **others: object) -> Clues:
    neutral = {"topics": {}, "out_of_scope": 0.0, "treatments": [], "side": None} | others
    return Clues(text=text, vector=encoder.encode([text])[0], **neutral)  # type: ignore[arg-type]


def test_probabilities_of_the_entries_and_of_there_being_none_are_one_together(
    ranker: Ranker, encoder: SentenceEncoder
) -> None:
    ranked = ranker.rank(clues(encoder, "how long till foundation is ok"))
    assert sum(one.probability for one in ranked.candidates) + ranked.elsewhere == pytest.approx(1)
    assert [one.probability for one in ranked.candidates] == sorted(
        (one.probability for one in ranked.candidates), reverse=True
    )
    assert set(ranked.candidates[0].evidence) == set(EVIDENCE)


def test_a_named_treatment_speaks_for_its_variant(ranker: Ranker, encoder: SentenceEncoder) -> None:
    def of_rf(*treatments: str) -> float:
        ranked = ranker.rank(clues(encoder, "how long till foundation is ok", treatments=list(treatments)))
        return next(one.probability for one in ranked.candidates if one.entry.id == "makeup-after-rf")

    assert of_rf("rf_microneedling") > 3 * of_rf() > of_rf("clinic_microneedling")


def test_an_entry_that_the_classifier_never_saw_is_found_by_its_wordings(
    ranker: Ranker, classifier: EntryClassifier, encoder: SentenceEncoder
) -> None:
    assert "tea-in-the-lounge" not in classifier.labels
    assert ranker.rank(clues(encoder, "are hot drinks served in the lounge")).candidates[0].entry.id == (
        "tea-in-the-lounge"
    )


def test_what_is_about_something_else_is_likely_to_have_no_answer(ranker: Ranker, encoder: SentenceEncoder) -> None:
    far = ranker.rank(clues(encoder, "who won the badminton final last night", out_of_scope=0.95)).elsewhere
    near = ranker.rank(clues(encoder, "will the needles be painful")).elsewhere
    assert far > 0.9 > 0.5 > near


def test_every_shipped_entry_and_no_answer_have_a_direction(classifier: EntryClassifier) -> None:
    from needlepoint.faq.files import read_folder

    ids = {item.entry.id for item in read_folder(ROOT / "data" / "faq")}
    assert ids <= set(classifier.labels)
    assert "@decline" in classifier.labels
    lengths = np.linalg.norm(classifier.directions, axis=1)
    assert lengths == pytest.approx(np.ones(len(lengths)), abs=1e-4)


def test_a_classifier_of_another_sentence_model_is_refused() -> None:
    with pytest.raises(RankingError, match="another sentence model"):
        EntryClassifier.load(FOLDER / "classifier.npz", "0" * 64)


def test_a_damaged_classifier_is_named_with_the_mend(tmp_path: Path) -> None:
    file = tmp_path / "classifier.npz"
    shutil.copyfile(FOLDER / "classifier.npz", file)
    with file.open("r+b") as content:
        content.truncate(1000)
    with pytest.raises(RankingError, match=r"classifier.npz cannot be read .*restore it"):
        EntryClassifier.load(file, "0" * 64)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda w: msgspec.structs.replace(w, classifier="0" * 16), "another classifier"),
        (lambda w: msgspec.structs.replace(w, entries={"classifier": 1.0}), "does not weigh"),
    ],
)
def test_weights_that_do_not_belong_to_it_are_refused(
    tmp_path: Path, classifier: EntryClassifier, weights: Weights, change: object, complaint: str
) -> None:
    file = tmp_path / "weights.json"
    file.write_bytes(msgspec.json.encode(change(weights)))  # type: ignore[operator]
    with pytest.raises(RankingError, match=f"{complaint}.*needlepoint ranking fit"):
        read_weights(file, classifier)


def test_every_piece_of_evidence_speaks_for_an_entry_and_not_against_it(weights: Weights) -> None:
    assert all(weights.entries[name] > 0 for name in EVIDENCE)
    assert all(weights.elsewhere[name] > 0 for name in EVIDENCE_ELSEWHERE[:2])
    assert 0 < weights.clarify_from <= weights.answer_from < 1
