"""Search over the wordings of what may be given: by words (character n-grams) and by meaning (sentence vectors)."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from needlepoint.faq.published import Published, PublishedEntry
from needlepoint.language import guess_language

Vectors = NDArray[np.float32]

#: Share of meaning in a similarity, the rest being words: the mix measured best on five public FAQ sets.
MEANING = 0.7

#: The same for Malay. The sentence model knows English only, and finds all Malay alike.
MEANING_IN_MALAY = 0.4


class Encoder(Protocol):
    """What turns sentences into unit vectors; `digest` names the model."""

    @property
    def digest(self) -> str: ...

    def encode(self, texts: Sequence[str]) -> Vectors: ...


class Hit(msgspec.Struct, frozen=True):
    """How near a question is to an entry: similarity in 0..1 of its nearest wording, and that wording."""

    entry: PublishedEntry
    similarity: float
    wording: str


class VectorCache:
    """Sentence vectors on disk, so that a start embeds only wordings it has not seen. Losing it costs only time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def encode(self, encoder: Encoder, texts: Sequence[str]) -> Vectors:
        """The vectors of `texts`, embedding those the cache lacks; the cache then holds exactly `texts`."""
        known = self._read(encoder.digest)
        missing = [text for text in dict.fromkeys(texts) if _key(text) not in known]
        if missing:
            known |= dict(zip(map(_key, missing), encoder.encode(missing), strict=True))
        keys = [_key(text) for text in texts]
        if missing:
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
        self._wordings: list[str] = []
        owners: list[int] = []
        for number, entry in enumerate(published.entries):
            questions = [answer.question for answer in entry.answers.values()]
            for wording in dict.fromkeys([*questions, *entry.wordings]):
                self._wordings.append(wording)
                owners.append(number)
        self._owners = np.array(owners, dtype=np.int64)
        if not owners:
            return
        self._vectors = cache.encode(encoder, self._wordings)
        self._words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32)
        self._word_rows: csr_matrix = self._words.fit_transform(self._wordings)

    def nearest(self, text: str, vector: NDArray[np.float32]) -> list[Hit]:
        """Every entry with its similarity to the question, nearest first."""
        if not len(self._owners):
            return []
        meaning = self._vectors @ vector
        words = (self._word_rows @ self._words.transform([text]).T).toarray().ravel()
        share = MEANING_IN_MALAY if guess_language(text) == "ms" else MEANING
        similarity = share * meaning + (1 - share) * words
        hits = []
        for number, entry in enumerate(self.published.entries):
            rows = np.flatnonzero(self._owners == number)
            best = int(rows[np.argmax(similarity[rows])])
            hits.append(Hit(entry, float(np.clip(similarity[best], 0.0, 1.0)), self._wordings[best]))
        return sorted(hits, key=lambda hit: -hit.similarity)
