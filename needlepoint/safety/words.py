"""A cleaned text as words: where each one stands, what it may mean however it is spelled, the pause before it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NO_PAUSE: Final = 0
COMMA: Final = 1
BREAK: Final = 2
SENTENCE: Final = 3

_SHORTEST_TYPO = 5
_LONGEST_TYPO = 20

_TOKEN = re.compile(
    r"(?P<word>\d+(?:[.,/:]\d+)*|[^\W_](?:[^\W_]|['’`ʼ‘](?=[^\W_])|[\u0300-\u036f])*)"
    r"|(?P<sentence>[.!?;\n]+|。|！|？)"
    r"|(?P<dash>\s-+\s|[–—…]+)"
    r"|(?P<comma>[,:()，、])"
    r"|(?P<or>/)"
    r"|(?P<and>[&+])"
)

# Letters of other scripts that are drawn like Latin ones (after case folding).
_LOOK_ALIKES = str.maketrans(
    dict(zip("авеһнікморсԁтухѕјӏԛԝ", "abehhikmopcdtyxsjlqw", strict=True))  # Cyrillic
    | dict(zip("αειοκρντυχ", "aeiokpvtux", strict=True))  # Greek
    | dict(zip("ոսցօɑɡı", "nugoagi", strict=True))  # Armenian, and Latin letters of phonetic and Turkish use
)
_APOSTROPHES = str.maketrans("", "", "'’`ʼ‘")
_DIGIT_LETTERS = str.maketrans("013457", "oieast")
_LONG_RUN = re.compile(r"(.)\1{2,}")
_DIGIT_INSIDE = re.compile(r"[a-z][013457]+[a-z]")
_DEGREES = re.compile(r"(\d+)[.,]\d+")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one text.

    All four have the same length: `spans` are character offsets into the cleaned text, `forms` the known words that
    each one may stand for (empty for a word no rule knows), `plain` the folded spelling, `pauses` the strongest pause
    before it (NO_PAUSE, COMMA, BREAK, SENTENCE).
    """

    spans: list[tuple[int, int]]
    forms: list[tuple[str, ...]]
    plain: list[str]
    pauses: list[int]


class Vocabulary:
    """The words that the rules know, found again in spite of case, accents, look-alikes and typing errors."""

    def __init__(self, words: Iterable[str], mistyped: Iterable[str], real_words: Iterable[str]) -> None:
        """`words` are all known words, `mistyped` those of them that are found at one letter's distance too,
        `real_words` the other words of the language that must never be taken for a typing error."""
        self._words = frozenset(words)
        self._real_words = frozenset(real_words)
        self._by_shortened: dict[str, set[str]] = {}
        for word in mistyped:
            for key in (word, *_shortened(word)):
                self._by_shortened.setdefault(key, set()).add(word)

    def forms(self, plain: str) -> tuple[str, ...]:
        """The known words that a folded word may stand for; itself alone where it is known."""
        if plain in self._words:
            return (plain,)
        if len(plain) > 2 and (spelled := self._respelled(plain)):
            return spelled
        if not _SHORTEST_TYPO <= len(plain) <= _LONGEST_TYPO or plain in self._real_words or not plain.isalpha():
            return ()
        near = {word for key in (plain, *_shortened(plain)) for word in self._by_shortened.get(key, ())}
        return tuple(sorted(word for word in near if one_error_apart(plain, word)))

    def _respelled(self, plain: str) -> tuple[str, ...]:
        """Known words behind drawn-out letters ("helpppp") and digits written for letters ("br3athe")."""
        candidates = []
        if _LONG_RUN.search(plain):
            candidates += [_LONG_RUN.sub(r"\1\1", plain), _LONG_RUN.sub(r"\1", plain)]
        if _DIGIT_INSIDE.search(plain):
            candidates.append(plain.translate(_DIGIT_LETTERS))
        return tuple(dict.fromkeys(word for word in candidates if word in self._words))


def fold(word: str) -> str:
    """One word in lower case without accents, apostrophes and look-alike letters; of "38.5" the "38" is kept."""
    word = word.casefold()
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
        word = word.translate(_LOOK_ALIKES)
    if degrees := _DEGREES.fullmatch(word):
        return degrees[1]
    return word.translate(_APOSTROPHES)


def split_words(text: str, vocabulary: Vocabulary) -> Words:
    """The words of a cleaned text, in time linear in its length."""
    words = Words([], [], [], [])
    known: dict[str, tuple[str, tuple[str, ...]]] = {}
    pause = SENTENCE
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind in ("word", "or", "and"):
            written = token[0] if kind == "word" else kind
            if written not in known:
                plain = fold(written)
                known[written] = plain, vocabulary.forms(plain)
            plain, forms = known[written]
            words.spans.append(token.span())
            words.forms.append(forms)
            words.plain.append(plain)
            words.pauses.append(pause)
            pause = NO_PAUSE
        else:
            pause = max(pause, {"sentence": SENTENCE, "dash": BREAK}.get(kind or "", COMMA))
    return words


def _shortened(word: str) -> list[str]:
    """The word with each one of its letters left out."""
    return [word[:at] + word[at + 1 :] for at in range(len(word))]


def one_error_apart(left: str, right: str) -> bool:
    """Whether one letter added, left out, replaced, or two neighbours swapped makes `left` into `right`."""
    if left == right or abs(len(left) - len(right)) > 1:
        return left == right
    at = 0
    while at < min(len(left), len(right)) and left[at] == right[at]:
        at += 1
    if len(left) == len(right):
        swapped = left[at : at + 2] == right[at : at + 2][::-1] and left[at + 2 :] == right[at + 2 :]
        return swapped or left[at + 1 :] == right[at + 1 :]
    longer, shorter = (left, right) if len(left) > len(right) else (right, left)
    return longer[at + 1 :] == shorter[at:]
