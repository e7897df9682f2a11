"""Search over the wordings of what may be given: by words (character n-grams) and by meaning (sentence vectors)."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from needlepoint.faq.published import Published, PublishedEntry
from needlepoint.language import guess_language

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Vectors = NDArray[np.float32]

#: Share of meaning in a similarity, the rest being words: the mix measured best on five public FAQ sets.
MEANING = 0.7

#: The same for Malay. The sentence model knows English only, and finds all Malay alike.
MEANING_IN_MALAY = 0.4

#: Stands where an entry has no further wording; below every similarity.
_NONE = -2.0


class Encoder(Protocol):
    """What turns sentences into unit vectors; `digest` names the model."""

    @property
    def digest(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class Hit(msgspec.Struct, frozen=True):
    """How near a question is to an entry.

    `similarity` mixes meaning and words (0..1) for the entry's nearest wording, which is `wording`; `meaning` is the
    largest cosine to one of its wordings, `meaning_of_three` the mean of the three largest, `words` the largest
    likeness in letters.
    """

    entry: PublishedEntry
    similarity: float
    wording: str
    meaning: float
    meaning_of_three: float
    words: float


class VectorCache:
    """Sentence vectors on disk, so that a start embeds only wordings it has not seen. Losing it costs only time.

    One that does not `keep` leaves the file as it is: for what is only tried.
    """

    def __init__(self, file: Path, keep: bool = True) -> None:
        self._file = file
        self._keep = keep

    def unchanged(self) -> VectorCache:
        """The same vectors to read from, and what is new is not kept."""
        return VectorCache(self._file, keep=False)

    def encode(self, encoder: Encoder, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, embedding those the cache lacks; the cache then holds exactly `texts`."""
        known = self._read(encoder.digest)
        missing = [text for text in dict.fromkeys(texts) if _key(text) not in known]
        if missing:
            known |= dict(zip(map(_key, missing), encoder.encode(missing), strict=True))
        keys = [_key(text) for text in texts]
        if missing and self._keep:
            self._write(encoder.digest, {key: known[key] for key in keys})
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, 384), dtype=np.float32)

    def _read(self, digest: str) -> dict[str, NDArray[np.float32]]:
        try:
            with np.load(self._file, allow_pickle=False) as stored:
                if str(stored["digest"]) != digest:
                    return {}
                return dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}

    def _write(self, digest: str, known: dict[str, NDArray[np.float32]]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(partial, digest=np.array(digest), keys=np.array(list(known)), vectors=np.stack(list(known.values())))
        partial.replace(self._file)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class SearchIndex:
    """The prepared index of one revision. Building it takes seconds, asking it a millisecond."""

    def __init__(self, published: Published, encoder: Encoder, cache: VectorCache) -> None:
        self.published = published
        self._encoder = encoder
        self.entries = [*published.entries, *published.withheld]
        by_entry = [
            list(dict.fromkeys([*(answer.question for answer in entry.answers.values()), *entry.wordings]))
            for entry in self.entries
        ]
        self._wordings = [wording for wordings in by_entry for wording in wordings]
        if not self._wordings:
            return
        # Here, because it takes a second to import, which commands that search nothing need not wait for.
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

        # A row of wording numbers for each entry; where it has fewer than the most, the number of none.
        self._rows = np.full((len(by_entry), max(3, *map(len, by_entry))), len(self._wordings))
        first = 0
        for number, wordings in enumerate(by_entry):
            self._rows[number, : len(wordings)] = np.arange(first, first + len(wordings))
            first += len(wordings)
        self._vectors = cache.encode(encoder, self._wordings)
        self._words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32)
        self._word_rows: csr_matrix = self._words.fit_transform(self._wordings)

    def encode(self, text: str) -> NDArray[np.float32]:
        """The unit vector of one more text, by the encoder that made those of the wordings."""
        return np.asarray(self.encode_all([text])[0], dtype=np.float32)

    def encode_all(self, texts: Sequence[str]) -> Vectors:
        """A row for each of several."""
        return np.asarray(self._encoder.encode(texts), dtype=np.float32)

    def by_meaning(self, vectors: Vectors) -> list[dict[str, tuple[float, str]]]:
        """For each of `vectors`, by entry id the largest cosine to one of its wordings, and that wording."""
        if not self._wordings or not len(vectors):
            return [{} for _ in vectors]
        found = []
        for row in vectors @ self._vectors.T:
            of_entries = self._by_entry(row)
            best = of_entries.argmax(axis=1)
            found.append(
                {
                    entry.id: (
                        float(of_entries[number, best[number]]),
                        self._wordings[self._rows[number, best[number]]],
                    )
                    for number, entry in enumerate(self.entries)
                }
            )
        return found

    def nearest_wordings(self, vectors: Vectors, but: str) -> list[tuple[str, str, float]]:
        """The wordings of other entries than `but` by how near the closest of `vectors` is to each: entry, wording and
        cosine, the nearest first."""
        owners = np.zeros(len(self._wordings), dtype=np.int64)
        for number, rows in enumerate(self._rows):
            owners[rows[rows < len(self._wordings)]] = number
        closeness = (self._vectors @ vectors.T).max(axis=1)
        found = [
            (self.entries[owners[number]].id, self._wordings[number], float(closeness[number]))
            for number in np.argsort(-closeness, kind="stable")
        ]
        return [one for one in found if one[0] != but]

    def centres(self) -> Vectors:
        """A unit vector for each of `entries`, the middle of its wordings."""
        middle = np.stack([self._vectors[rows[rows < len(self._wordings)]].mean(axis=0) for rows in self._rows])
        lengths = np.linalg.norm(middle, axis=1, keepdims=True)
        return np.asarray(middle / np.maximum(lengths, 1e-9), dtype=np.float32)

    def nearest(self, text: str, vector: NDArray[np.float32]) -> list[Hit]:
        """Every one of `entries`, in their order, with how near the question is to it."""
        if not self._wordings:
            return []
        meaning = self._vectors @ vector
        words = (self._word_rows @ self._words.transform([text]).T).toarray().ravel()
        share = MEANING_IN_MALAY if guess_language(text) == "ms" else MEANING
        similarity = self._by_entry(share * meaning + (1 - share) * words)
        best = similarity.argmax(axis=1)
        nearest = np.clip(similarity.max(axis=1), 0.0, 1.0).tolist()
        three = np.sort(self._by_entry(meaning), axis=1)[:, :-4:-1]
        three = np.where(three == _NONE, three[:, :1], three)
        meaning_of_three, largest = three.mean(axis=1).tolist(), three[:, 0].tolist()
        letters = self._by_entry(words).max(axis=1).tolist()
        return [
            Hit(
                entry=entry,
                similarity=nearest[number],
                wording=self._wordings[self._rows[number, best[number]]],
                meaning=largest[number],
                meaning_of_three=meaning_of_three[number],
                words=letters[number],
            )
            for number, entry in enumerate(self.entries)
        ]

    def _by_entry(self, of_wordings: NDArray[np.float32]) -> NDArray[np.float32]:
        padded: NDArray[np.float32] = np.append(of_wordings, np.float32(_NONE))
        return np.asarray(padded[self._rows], dtype=np.float32)
