"""A spaCy component that reads misspelled words of the lexicon.

It writes the lexicon's word into the NORM of a token that is nearly that word, so that the rulers behind it need only
exact patterns. spaCy's own FUZZY patterns do the same at a price: over the lexicon's 1,200 phrases they took 7 ms for
a message of 40 words and 140 ms for the longest one, this takes a twentieth.
"""

# No `from __future__ import annotations` here: spaCy reads the factory's annotations as they are.
from collections.abc import Iterable
from pathlib import Path

import srsly
from spacy.language import Language
from spacy.matcher.levenshtein import levenshtein  # type: ignore[import-not-found]
from spacy.tokens import Doc

FACTORY = "needlepoint_spelling"

#: A token of at least this many letters may differ by that many; shorter words have too many neighbours.
_TOLERANCE = ((10, 2), (7, 1))
_PLURAL_LETTERS = 4

#: Ordinary words one letter away from a word of the lexicon.
_ORDINARY = frozenset(
    """aesthetic aesthetics blending breeding cleaner cleaners cleaning crushing dropping dwelling faking feeling
    figment filters flaring injected leading learning leaving leasing needing peering pealing sharing shaking saving
    scaring singing smelling spelling swinging trusting through thought""".split()
)


class LexiconSpelling:
    """Knows the words of the lexicon; see the module's text. Saved and loaded with the pipeline."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        """`words` are single lower-case tokens."""
        self._words: frozenset[str] = frozenset()
        self._by_letter: dict[str, list[str]] = {}
        self.learn(words)

    def learn(self, words: Iterable[str]) -> None:
        """Replaces the known words."""
        self._words = frozenset(words)
        self._by_letter = {}
        for word in sorted(self._words):
            if word.isalpha():
                self._by_letter.setdefault(word[0], []).append(word)

    def __call__(self, doc: Doc) -> Doc:
        """Writes the NORM of misspelled tokens of the doc and returns it."""
        for token in doc:
            meant = self.meant_by(token.lower_)
            if meant is not None:
                token.norm_ = meant
        return doc

    def meant_by(self, word: str) -> str | None:
        """The lexicon's word that a lower-case word is a slip of, or None where it is that word or another one.

        The first letter must be right: slips there are rare, and without it "feeling" would be "peeling".
        """
        if word in self._words or word in _ORDINARY or not word.isalpha():
            return None
        if len(word) > _PLURAL_LETTERS and word.endswith("s") and word[:-1] in self._words:
            return word[:-1]
        tolerance = next((allowed for letters, allowed in _TOLERANCE if len(word) >= letters), 0)
        if not tolerance:
            return None
        nearest: tuple[int, str] | None = None
        for known in self._by_letter.get(word[0], ()):
            if abs(len(known) - len(word)) <= tolerance:
                candidate = (int(levenshtein(word, known, tolerance)), known)
                if candidate[0] <= tolerance and (nearest is None or candidate < nearest):
                    nearest = candidate
        return nearest[1] if nearest else None

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Writes the words as JSON; spaCy calls it."""
        Path(path).with_suffix(".json").write_text(srsly.json_dumps(sorted(self._words)), encoding="utf-8")

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "LexiconSpelling":
        """Reads what `to_disk` wrote; spaCy calls it."""
        self.learn(srsly.read_json(Path(path).with_suffix(".json")))
        return self


@Language.factory(FACTORY)
def _create(nlp: Language, name: str) -> LexiconSpelling:
    return LexiconSpelling()
