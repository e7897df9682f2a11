"""Which entry a question is about: a classifier over the entries, and what else speaks for or against each.

Two things are learnt, both from files of `data/ranking` and both by commands that anyone can run again
(docs/evaluation.md): the classifier over entries together with the sentence model (`sentence_encoder.fine_tune`), and
how its opinion is weighed against the other evidence (`needlepoint ranking fit`).
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from needlepoint.faq.published import PublishedEntry, in_language
from needlepoint.faq.search import Hit, SearchIndex
from sentence_encoder import continued

Numbers = NDArray[np.float64]

#: What speaks for an entry, in the order of the weights. `classifier` and `topic` are natural logarithms of
#: probabilities, `meaning` and `meaning_of_three` cosines, `words` the likeness in letters; `treatment` and `phase`
#: are -1 to 1; `follows` and `variant` say how the entry continues the talk, 0 to 1 (see the functions below);
#: `in_context` is what the classifier adds when it reads the message behind the question that was answered before.
EVIDENCE = (
    "classifier", "in_context", "meaning", "meaning_of_three", "words", "topic", "treatment", "phase", "follows",
    "variant",
)  # fmt: skip

#: What speaks for there being no answer: classifier and intent (logarithms), the largest cosine, 1, and 1 where
#: something was answered before.
EVIDENCE_ELSEWHERE = ("classifier", "in_context", "out_of_scope", "meaning", "always", "continued")

#: Label of the classifier for what no entry answers.
ELSEWHERE = "@decline"

#: Least logarithm of a probability; what lies below says no more.
LEAST = -12.0


class RankingError(RuntimeError):
    """A file of `data/ranking` cannot be used; the message says what to do."""


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The weights of the evidence and the thresholds, as `needlepoint ranking fit` writes them.

    A confidence is the probability that the entry is right, among all entries and there being none. From a
    probability of none of `decline_from` on nothing is answered. Else an answer is given from `answer_from` on;
    below it the question is asked back when the three likeliest entries together reach `clarify_from`. `classifier`
    is the digest of the classifier that they were learnt with.
    """

    classifier: str
    entries: dict[str, float]
    elsewhere: dict[str, float]
    answer_from: float
    clarify_from: float
    decline_from: float


def read_weights(file: Path, classifier: EntryClassifier) -> Weights:
    """The weights that were learnt with this classifier. Raises :class:`RankingError`."""
    mend = "run `needlepoint ranking fit` or restore it from the repository"
    try:
        weights = msgspec.json.decode(file.read_bytes(), type=Weights)
    except (OSError, msgspec.DecodeError) as error:
        raise RankingError(f"{file} cannot be read ({error}): {mend}") from error
    if set(weights.entries) != set(EVIDENCE) or set(weights.elsewhere) != set(EVIDENCE_ELSEWHERE):
        raise RankingError(f"{file} does not weigh the evidence that there is: {mend}")
    if weights.classifier != classifier.digest:
        raise RankingError(f"{file} was learnt with another classifier: {mend}")
    return weights


class Clues(msgspec.Struct, frozen=True):
    """What of a question is weighed.

    `vector` is the sentence's, `topics` the probabilities of the topics, `out_of_scope` that of the intent,
    `treatments` what was named or remembered, `side` of the treatment "before", "after" or None where it is not known,
    `about` the entry that was answered last.
    """

    text: str
    vector: NDArray[np.float32]
    topics: dict[str, float]
    out_of_scope: float
    treatments: list[str]
    side: str | None
    about: PublishedEntry | None = None


class Candidate(msgspec.Struct, frozen=True):
    """An entry, the probability that it is the right one, and the evidence."""

    hit: Hit
    probability: float
    evidence: dict[str, float]

    @property
    def entry(self) -> PublishedEntry:
        """The entry."""
        return self.hit.entry


class Ranked(msgspec.Struct, frozen=True):
    """All entries, likeliest first, and the probability that none of them answers the question."""

    candidates: list[Candidate]
    elsewhere: float


class EntryClassifier:
    """Directions in the space of the sentence vectors, one for each label: entries, and `@decline` and the like."""

    def __init__(self, labels: list[str], directions: NDArray[np.float32], offsets: NDArray[np.float32], scale: float):
        self.labels = labels
        self.directions = directions
        self.offsets = offsets
        self.scale = scale

    @property
    def digest(self) -> str:
        """Hash of what it learnt."""
        parts = (" ".join(self.labels).encode(), self.directions.tobytes(), self.offsets.tobytes())
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16]

    @classmethod
    def load(cls, file: Path, encoder: str) -> EntryClassifier:
        """Read a classifier made for the sentence model with digest `encoder`. Raises :class:`RankingError`."""
        try:
            with np.load(file, allow_pickle=False) as stored:
                made_for = str(stored["encoder"])
                classifier = cls(
                    stored["labels"].tolist(), stored["directions"], stored["offsets"], float(stored["scale"])
                )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise RankingError(f"{file} cannot be read ({error}): restore it from the repository") from error
        if made_for != encoder:
            raise RankingError(f"{file} is for another sentence model: both come from `sentence_encoder.fine_tune`")
        return classifier

    def extended(self, entries: list[str], centres: NDArray[np.float32]) -> EntryClassifier:
        """With entries that it was not trained on, such as new ones of the desk: their wordings' middle stands in."""
        new = [number for number, entry in enumerate(entries) if entry not in self.labels]
        if not new:
            return self
        return EntryClassifier(
            [*self.labels, *(entries[number] for number in new)],
            np.vstack([self.directions, centres[new]]),
            np.append(self.offsets, np.full(len(new), self.offsets.mean(), dtype=np.float32)),
            self.scale,
        )

    def log_probabilities(self, vector: NDArray[np.float32]) -> Numbers:
        """By label, natural logarithms."""
        scores = self.scale * (self.directions @ vector).astype(np.float64) + self.offsets
        largest = float(np.max(scores))
        logs: Numbers = scores - (largest + math.log(float(np.exp(scores - largest).sum())))
        return logs


class Ranker:
    """Weighs the evidence for one revision of the answers."""

    def __init__(self, index: SearchIndex, classifier: EntryClassifier, weights: Weights) -> None:
        self.weights = weights
        ids = [entry.id for entry in index.entries]
        self._index = index
        self._classifier = classifier.extended(ids, index.centres()) if ids else classifier
        place = {label: number for number, label in enumerate(self._classifier.labels)}
        self._places = np.array([place[one] for one in ids], dtype=np.int64)
        self._elsewhere = place[ELSEWHERE]
        self._of_entries = np.array([weights.entries[name] for name in EVIDENCE])
        self._of_elsewhere = np.array([weights.elsewhere[name] for name in EVIDENCE_ELSEWHERE])

    def rank(self, clues: Clues) -> Ranked:
        """All entries for a question."""
        hits, entries, elsewhere = self.evidence(clues)
        if not hits:
            return Ranked([], 1.0)
        scores = np.append(entries @ self._of_entries, elsewhere @ self._of_elsewhere)
        powers = np.exp(scores - scores.max())
        probabilities = powers / powers.sum()
        order = np.argsort(-probabilities[:-1], kind="stable")
        rounded = entries.round(3).tolist()
        candidates = [
            Candidate(
                hits[number],
                float(probabilities[number]),
                dict(zip(EVIDENCE, rounded[number], strict=True)),
            )
            for number in order
        ]
        return Ranked(candidates, float(probabilities[-1]))

    def evidence(self, clues: Clues) -> tuple[list[Hit], Numbers, Numbers]:
        """The entries, a row of `EVIDENCE` for each, and a row of `EVIDENCE_ELSEWHERE`."""
        hits = self._index.nearest(clues.text, clues.vector)
        if not hits:
            return [], np.zeros((0, len(EVIDENCE))), np.zeros(len(EVIDENCE_ELSEWHERE))
        logs = np.maximum(self._classifier.log_probabilities(clues.vector), LEAST)
        added = self._in_context(clues) - logs if clues.about is not None else np.zeros_like(logs)
        rows = [
            (
                logs[place],
                added[place],
                hit.meaning,
                hit.meaning_of_three,
                hit.words,
                _log(clues.topics.get(hit.entry.topic, 0.0)),
                _treatment_fit(hit.entry, clues.treatments),
                _phase_fit(hit.entry, clues.side),
                _follows(hit.entry, clues.about, clues.text),
                _variant(hit.entry, clues.about, clues.treatments),
            )
            for hit, place in zip(hits, self._places, strict=True)
        ]
        nearest = max(hit.meaning for hit in hits)
        continued_talk = float(clues.about is not None)
        elsewhere = (
            logs[self._elsewhere],
            added[self._elsewhere],
            _log(clues.out_of_scope),
            nearest,
            1.0,
            continued_talk,
        )
        return hits, np.array(rows), np.array(elsewhere)

    def _in_context(self, clues: Clues) -> Numbers:
        assert clues.about is not None
        before = in_language(clues.about.answers, "en").question
        vector = self._index.encode(continued(before, clues.text))
        return np.maximum(self._classifier.log_probabilities(vector), LEAST)


def _log(probability: float) -> float:
    return math.log(max(probability, 1e-3))


_PHASE_OF_TOPIC = {"preparation": "before", "side_effects": "after", "aftercare": "after"}


def _phase_fit(entry: PublishedEntry, side: str | None) -> float:
    """-1 when an entry is about the other side of the treatment than the person is on, else 0."""
    if side is None:
        return 0.0
    phases: set[str] = {timing.phase for windows in entry.timing.values() for timing in windows}
    if phase := _PHASE_OF_TOPIC.get(entry.topic):
        phases.add(phase)
    return -1.0 if phases and side not in phases else 0.0


def _follows(entry: PublishedEntry, about: PublishedEntry | None, text: str) -> float:
    """How much a message may lean on the talk before it, where the entry has the topic of what was answered last.

    "and how long?" says nothing by itself; who writes twenty words says what they mean.
    """
    if about is None or entry.topic != about.topic:
        return 0.0
    return 1.0 / (1.0 + len(text.split()) / 4)


def _variant(entry: PublishedEntry, about: PublishedEntry | None, treatments: list[str]) -> float:
    """1 for the question that was answered last, as it is for the treatment that is spoken of now ("and for RF?")."""
    if about is None or about.variant_group is None or entry.variant_group != about.variant_group:
        return 0.0
    return 1.0 if entry.id != about.id and set(treatments) & set(entry.treatments) else 0.0


def _treatment_fit(entry: PublishedEntry, treatments: list[str]) -> float:
    """1 when the entry is for a treatment that was named, -1 when it is only for others, 0 when nothing is known.

    Where no treatment is named, the clinic's own needling is meant more often than a variant of it.
    """
    if "any" in entry.treatments:
        return 0.0
    if treatments:
        return 1.0 if set(treatments) & set(entry.treatments) else -1.0
    return 0.0 if "clinic_microneedling" in entry.treatments else -0.5
